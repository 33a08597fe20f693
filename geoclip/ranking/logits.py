"""Logits of photos against the places of a hierarchy: scaled products of their embeddings."""

from dataclasses import dataclass

import numpy as np

from geoclip.ranking.hierarchy import Hierarchy


class Logits:
    """Logits of N photos by level, topmost first: (N, K) countries, (N, R) regions, (N, Q) cities.

    They are in the order of a `Hierarchy`, whose levels may be others.
    """

    def __init__(self, *levels: np.ndarray) -> None:
        self.levels = levels

    @property
    def country(self) -> np.ndarray:
        """Those of the topmost level."""
        return self.levels[0]

    @property
    def region(self) -> np.ndarray:
        """Those of the level above the deepest."""
        return self.levels[-2]

    @property
    def city(self) -> np.ndarray:
        """Those of the deepest level."""
        return self.levels[-1]

    def rows(self, part: slice) -> "Logits":
        """The logits of some of the photos."""
        return Logits(*(level[part] for level in self.levels))


@dataclass(frozen=True)
class LevelEmbeddings:
    """Embeddings of a hierarchy's places by level: countries (K, d), regions (R, d), cities (Q, d).

    They are taken out of an index once: float32, or float64 where the index is.
    """

    levels: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, places: np.ndarray, hierarchy: Hierarchy) -> "LevelEmbeddings":
        """Choose the hierarchy's rows from place embeddings (P, d) by gazetteer row."""
        kind = np.promote_types(places.dtype, np.float32)
        return cls(tuple(np.asarray(places[rows], dtype=kind) for rows in hierarchy.levels))

    def logits(self, photos: np.ndarray, logit_scale: float) -> Logits:
        """Logits of photo embeddings (N, d): products times the scale, cosines of unit vectors."""
        photos = photos * np.float32(logit_scale)
        return Logits(*(photos @ level.T for level in self.levels))
