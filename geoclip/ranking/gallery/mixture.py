"""The posterior of the places, mixed with the evidence of the nearest gallery photos.

A gallery photo j similar to the photo has the weight

    e_j = exp(offset + slope · likeness_j + agreement · ln B_j)

where B_j is the Bayes factor of the places about j: how much more probable they are for this photo
than for an uninformative one. It supports the cities about it: `near_share` of its weight by
exp(−km / 10), the rest by exp(−km / 600) times the posterior, for the region around it. The
posterior itself has weight 1, so the mixture is

    p = (p_text + Σ e_j κ_j) / (1 + Σ e_j)

and the gallery's part of it, Σ e / (1 + Σ e), is a logistic function that vanishes where no gallery
photo resembles the photo. The weights are fitted (`evaluation.fitting.gallery_fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from geoclip.places.sphere import chord_to_km, cosine_to_km, unit_vectors
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.neighbours import Neighbours
from geoclip.ranking.gallery_weights import GalleryWeights
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.posterior import Posterior

NEIGHBOURS = 30
CANDIDATES = 100
"""Photos of largest cosine among which the `NEIGHBOURS` of largest likeness are chosen."""
NEAR_KM, FAR_KM, ABOUT_KM = 10.0, 600.0, 300.0
NEAR_CITIES = 32
MOST_LOG_WEIGHT = 20.0


@dataclass(frozen=True)
class GalleryTerms:
    """The evidence of the k gallery photos most like each of N photos, before weighting.

    Attributes:
        rows: (N, k) of the gallery, best first, -1 where there are fewer.
        likeness: (N, k), -inf there.
        lat, lon: (N, k) where they are, in degrees; of no meaning there.
        log_factor: (N, k) the logarithm of the Bayes factor of the places about them.
        far: (N, k, G) what each group's posterior is multiplied by; the products sum to 1.
        cities, near: (N, k, C) the cities about each, by position, and shares that sum to 1.
    """

    rows: np.ndarray
    likeness: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    log_factor: np.ndarray
    far: np.ndarray
    cities: np.ndarray
    near: np.ndarray

    def evidence(self, weights: GalleryWeights) -> np.ndarray:
        """The weights e (N, k) of the gallery photos; 0 for absent ones."""
        log_e = log_evidence(
            self.likeness, self.log_factor, weights.offset, weights.slope, weights.agreement
        )
        return np.asarray(np.exp(log_e))

    def mixture(self, text: Posterior, weights: GalleryWeights) -> Mixture:
        """The posterior of the places mixed with the gallery, and the gallery's part in it."""
        h, e, near = text.hierarchy, self.evidence(weights), weights.near_share
        of_groups = 1 + (1 - near) * np.einsum("nk,nkg->ng", e, self.far)
        about = near * e[:, :, None] * self.near  # (N, k, C)
        cities = np.exp(text.log_cities.astype(np.float64)) * of_groups[:, h.city_group]
        photo = np.broadcast_to(np.arange(len(e))[:, None, None], self.cities.shape)
        np.add.at(cities, (photo, self.cities), about)
        total = cities.sum(axis=1, keepdims=True)
        cities /= total
        groups = np.add.reduceat(cities, h.group_starts, axis=1)
        with np.errstate(divide="ignore"):
            posterior = Posterior(np.log(groups), np.log(cities), h, text.allowed)
        return Mixture(posterior, about.sum(axis=2) / total, text.groups * of_groups / total)


@dataclass(frozen=True)
class Mixture:
    """The places' posterior mixed with the gallery, and its parts.

    Attributes:
        posterior: of the cities.
        near: (N, k) the probability that a photo was taken about each of its gallery photos.
        rest: (N, G) that it was taken elsewhere, by group of cities; all of a row sum to 1.
    """

    posterior: Posterior
    near: np.ndarray
    rest: np.ndarray


def log_evidence(
    likeness: np.ndarray, log_factor: np.ndarray, offset: float, slope: float, agreement: float
) -> np.ndarray:
    """Logarithms of the weights e of gallery photos, bounded so that their sums stay finite."""
    linear = slope * np.where(np.isneginf(likeness), 0, likeness) + agreement * log_factor
    return np.where(np.isneginf(likeness), -np.inf, np.minimum(offset + linear, MOST_LOG_WEIGHT))


class GalleryEvidence:
    """The evidence of a gallery for photos; `nothing` (1, G) are the groups' probabilities for an
    uninformative photo.
    """

    def __init__(self, lookup: GalleryLookup, hierarchy: Hierarchy, nothing: np.ndarray) -> None:
        self.lookup = lookup
        self.hierarchy = hierarchy
        self.nothing = nothing

    @cached_property
    def _centres(self) -> np.ndarray:
        means = self.hierarchy.group_means
        return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12))

    @cached_property
    def _cities(self) -> cKDTree:
        return cKDTree(unit_vectors(self.hierarchy.lat, self.hierarchy.lon))

    def terms(
        self,
        photos: np.ndarray,
        text: Posterior,
        photo_ids: Sequence[str] | np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> GalleryTerms:
        """The gallery's evidence for embeddings (N, d) with these posteriors.

        `photo_ids` and `allowed` are those of `GalleryLookup.neighbours`. Call it for some ten
        photos at a time: the result takes 0.5 MB per photo.
        """
        return self.terms_of(photos, text, self.neighbours(photos, photo_ids, allowed))

    def neighbours(
        self,
        photos: np.ndarray,
        photo_ids: Sequence[str] | np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> Neighbours:
        """Candidate gallery photos for embeddings (N, d); as `GalleryLookup.neighbours`."""
        return self.lookup.neighbours(photos, CANDIDATES, photo_ids, allowed)

    def terms_of(self, photos: np.ndarray, text: Posterior, found: Neighbours) -> GalleryTerms:
        """The evidence of these neighbours for embeddings (N, d) with these posteriors."""
        likeness = self.lookup.likeness.between(photos, found.rows)
        order = np.argsort(-likeness, axis=1, kind="stable")[:, :NEIGHBOURS]
        rows = np.take_along_axis(found.rows, order, axis=1)
        likeness = np.take_along_axis(likeness, order, axis=1)
        gallery, which = np.unique(rows, return_inverse=True)
        which = which.reshape(rows.shape)
        lat, lon = (axis[np.maximum(gallery, 0)] for axis in self._positions)
        points = unit_vectors(lat, lon)
        km = cosine_to_km(points @ self._centres.T)
        about = np.exp(-km / ABOUT_KM)
        groups = text.groups.astype(np.float64)
        mass = np.einsum("ng,nkg->nk", groups, about[which])
        factor = np.log(mass + 1e-12) - np.log((about @ self.nothing[0])[which] + 1e-12)
        far = np.exp(-(km - km.min(axis=1, keepdims=True)) / FAR_KM)[which]
        far /= np.maximum(np.einsum("ng,nkg->nk", groups, far), 1e-300)[:, :, None]
        cities, near = self._near(points, text.allowed)
        return GalleryTerms(
            rows, likeness, lat[which], lon[which], factor, far, cities[which], near[which]
        )

    @property
    def _positions(self) -> tuple[np.ndarray, np.ndarray]:
        return self.lookup.gallery.lat, self.lookup.gallery.lon

    def _near(self, points: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cities (U, C) about points (U, 3) and their shares; shares 0 without a city."""
        most = min(NEAR_CITIES, len(self.hierarchy.cities))
        chord, cities = self._cities.query(points, most)
        chord, cities = chord.reshape(len(points), most), cities.reshape(len(points), most)
        km = chord_to_km(chord)
        near = np.exp(-(km - km[:, :1]) / NEAR_KM) * allowed[cities]
        return cities, near / np.maximum(near.sum(axis=1, keepdims=True), 1e-12)
