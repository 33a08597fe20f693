"""Logits of photos against the places of a hierarchy: scaled products of their embeddings."""

from dataclasses import dataclass

import numpy as np

from geoclip.ranking.hierarchy import Hierarchy


@dataclass(frozen=True)
class Logits:
    """Logits of N photos: `country` (N, K), `region` (N, R), `city` (N, Q), as in a Hierarchy."""

    country: np.ndarray
    region: np.ndarray
    city: np.ndarray

    def rows(self, part: slice) -> "Logits":
        """The logits of some of the photos."""
        return Logits(self.country[part], self.region[part], self.city[part])


@dataclass(frozen=True)
class LevelEmbeddings:
    """Embeddings of a hierarchy's countries (K, d), regions (R, d) and cities (Q, d).

    They are taken out of an index once: float32, or float64 where the index is.
    """

    country: np.ndarray
    region: np.ndarray
    city: np.ndarray

    @classmethod
    def of(cls, places: np.ndarray, hierarchy: Hierarchy) -> "LevelEmbeddings":
        """Choose the hierarchy's rows from place embeddings (P, d) by gazetteer row."""
        kind = np.promote_types(places.dtype, np.float32)
        rows = (hierarchy.countries, hierarchy.regions, hierarchy.cities)
        return cls(*(np.asarray(places[level], dtype=kind) for level in rows))

    def logits(self, photos: np.ndarray, logit_scale: float) -> Logits:
        """Logits of photo embeddings (N, d): products times the scale, cosines of unit vectors."""
        photos = photos * np.float32(logit_scale)
        return Logits(*(photos @ level.T for level in (self.country, self.region, self.city)))
