"""Logits of photos for the places of a hierarchy: scaled products of their embeddings."""

import numpy as np

from geoclip.ranking.hierarchy import Hierarchy


class _Levels:
    """An array for each level of a hierarchy, topmost first; places in the hierarchy's order."""

    def __init__(self, *levels: np.ndarray) -> None:
        self.levels = levels

    @property
    def country(self) -> np.ndarray:
        """The array of the topmost level."""
        return self.levels[0]

    @property
    def region(self) -> np.ndarray:
        """The array of the level above the deepest."""
        return self.levels[-2]

    @property
    def city(self) -> np.ndarray:
        """The array of the deepest level."""
        return self.levels[-1]


class Logits(_Levels):
    """Logits of N photos: countries (N, K), regions (N, R) and cities (N, Q), or other levels."""

    def rows(self, part: slice) -> "Logits":
        """The logits of some of the photos."""
        return Logits(*(level[part] for level in self.levels))


class LevelEmbeddings(_Levels):
    """Embeddings of countries (K, d), regions (R, d) and cities (Q, d), or other levels.

    They are copied from an index once: float32, or float64 as in the index.
    """

    @classmethod
    def of(cls, places: np.ndarray, hierarchy: Hierarchy) -> "LevelEmbeddings":
        """Choose the hierarchy's rows from place embeddings (P, d) by gazetteer row."""
        kind = np.promote_types(places.dtype, np.float32)
        return cls(*(np.asarray(places[rows], dtype=kind) for rows in hierarchy.levels))

    def logits(self, photos: np.ndarray, logit_scale: float) -> Logits:
        """Logits of photo embeddings (N, d): products times the scale, cosines of unit vectors."""
        photos = photos * np.float32(logit_scale)
        return Logits(*(photos @ level.T for level in self.levels))
