"""Spots: the places of gallery photos near which a photo was probably taken.

A spot is all land within `SPOT_KM` of a gallery photo's place; its probability is that of the
mixture's near kernels there. The point of an answer lies at the likeliest spot if that is likely
enough, so it may lie between cities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoclip.places.sphere import chord_to_km, unit_vectors
from geoclip.ranking.gallery.mixture import NEAR_KM, GalleryTerms, Mixture
from geoclip.ranking.point_estimate import group_km, quantile_km

SPOT_KM = NEAR_KM
SAME_SCENE = 0.55
"""Likeness from which two photos are assumed to show the same scene.

Among 505 photos of 15 collections no two so alike were taken more than 25 km apart.
"""
DECIDING = 3
DECIDING_SHARE = 0.1
"""At most this many photos are named as deciding; each after the first has at least this share."""


@dataclass(frozen=True)
class Spots:
    """The k likeliest spots of each of N photos, best first.

    Attributes:
        which: (N, k) the gallery photo in the middle, by its position in the photos' terms.
        probabilities: (N, k) 0 where there is none.
        lat, lon: (N, k) in degrees.
        cities: (N, k) the nearest city to each, by position.
        same_scene: (N,) whether the first one is that of a photo of the same scene.
        decided: (N, 3) rows of the gallery photos that make the first one likely, -1 for none.
    """

    which: np.ndarray
    probabilities: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    cities: np.ndarray
    same_scene: np.ndarray
    decided: np.ndarray

    @classmethod
    def of(cls, terms: GalleryTerms, mixture: Mixture, k: int) -> Spots:
        """The spots of photos with these terms."""
        near, rows = mixture.near, np.arange(len(mixture.near))
        km = _between(terms.lat, terms.lon)
        close = km <= SPOT_KM  # (N, m, m)
        mass = np.einsum("nij,nj->ni", close, near)
        same = (terms.likeness >= SAME_SCENE) & (near > 0)
        # The likeliest photo of a spot is its centre; a photo of the same scene comes first.
        order = mass + 1e-9 * near + np.where(same, 1 + terms.likeness, 0)
        left, which = np.where(near > 0, order, -1.0), []
        for _ in range(min(k, near.shape[1])):
            best = left.argmax(axis=1)
            which.append(np.where(left[rows, best] < 0, -1, best))
            left = np.where(close[rows, best], -1.0, left)
        chosen = np.stack(which, axis=1)
        there = chosen >= 0
        probabilities = np.where(there, np.take_along_axis(mass, chosen, axis=1), 0.0)
        first = chosen[:, 0]
        own = near * close[rows, first] * there[:, :1]
        strongest = np.argsort(-own, axis=1, kind="stable")[:, :DECIDING]
        share = np.take_along_axis(own, strongest, axis=1)
        enough = share > DECIDING_SHARE * probabilities[:, :1]
        enough[:, :1] = share[:, :1] > 0  # among many similar ones none may reach that share
        return cls(
            chosen,
            probabilities,
            np.take_along_axis(terms.lat, chosen, axis=1),
            np.take_along_axis(terms.lon, chosen, axis=1),
            np.take_along_axis(terms.cities[:, :, 0], chosen, axis=1),
            same[rows, first] & there[:, 0],
            np.where(enough, np.take_along_axis(terms.rows, strongest, axis=1), -1),
        )


def credible_radii_km(
    terms: GalleryTerms,
    mixture: Mixture,
    lat: np.ndarray,
    lon: np.ndarray,
    *shares: float,
) -> np.ndarray:
    """Radii (S, N) in km about points (N,) that hold S shares of each mixture.

    Gallery photos count at their position, the rest as groups of cities, as in
    `credible_radius_km`.
    """
    posterior = mixture.posterior
    points = unit_vectors(lat, lon)
    photos = unit_vectors(terms.lat, terms.lon)
    chord = np.linalg.norm(photos - points[:, None], axis=2)
    km = np.hstack([chord_to_km(chord), group_km(posterior, lat, lon)])
    return quantile_km(km, np.hstack([mixture.near, mixture.rest]), *shares)


def _between(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Distances (N, m, m) in km between the points of each row (N, m)."""
    points = unit_vectors(lat, lon)
    squared = 2 - 2 * np.einsum("nic,njc->nij", points, points)
    return np.asarray(chord_to_km(np.sqrt(np.maximum(squared, 0))))
