"""Weights of a gallery, fitted to photos of known place by maximum likelihood.

Every photo is asked about with the others as its gallery: all but itself, then without its 1°
block, its country, its source. So the weights learn what likeness means where the gallery covers a
place and where it does not, and the gallery's part falls to nothing where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize
from scipy.special import expit

from geoclip.evaluation.fitting.known_photos import Columns, KnownPhotos, TruePlaces
from geoclip.places.sphere import degree_blocks
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.mixture import (
    GalleryEvidence,
    GalleryTerms,
    GalleryWeights,
    log_evidence,
)
from geoclip.ranking.gallery.photo_gallery import SCHEMA, Gallery
from geoclip.ranking.ranker import PlaceRanker

SHARES = {"photo": 0.7, "block": 0.15, "country": 0.075, "source": 0.075}
"""How much a photo counts that is asked about without itself, its block, its country, its source.

A gallery is taken to cover the blocks of most photos. On 263 places of 15 sources, apart from those
that the figures in README are of, it gains as much as one taken to cover nearly all, and where it
covers nothing it loses less.
"""
RIDGE = 1e-3
ROUNDED = 3
BLOCK = 16


@dataclass(frozen=True)
class KnownTerms(Columns):
    """What is known of N photos beside their gallery photos: shares of the true city.

    `text` (N,), `near` and `far` (N, k) are the shares that the posterior, and each gallery photo
    by either kernel, give to the true city.
    """

    likeness: np.ndarray
    log_factor: np.ndarray
    text: np.ndarray
    near: np.ndarray
    far: np.ndarray

    @classmethod
    def of(
        cls, terms: GalleryTerms, text: np.ndarray, city: np.ndarray, group: np.ndarray
    ) -> KnownTerms:
        """Those of terms, by the share `text` (N,) of the true `city` (N,), in `group` (N,)."""
        near = (terms.near * (terms.cities == city[:, None, None])).sum(axis=2)
        far = text[:, None] * terms.far[np.arange(len(city)), :, group]
        return cls(terms.likeness, terms.log_factor, text, near, far)

    def log_likelihood(self, x: np.ndarray) -> np.ndarray:
        """Log probability (N,) of the true city; `x` as in `_weights_of`."""
        offset, slope, agreement, near = x[0], x[1], x[2], expit(x[3])
        e = np.exp(log_evidence(self.likeness, self.log_factor, offset, slope, agreement))
        share = self.text + (e * (near * self.near + (1 - near) * self.far)).sum(axis=1)
        return np.asarray(np.log(share / (1 + e.sum(axis=1)) + 1e-12))


def gallery_of(photos: KnownPhotos) -> Gallery:
    """Photos of known place as a gallery in memory."""
    table = {
        "photo_id": [str(i) for i in range(len(photos))],
        "lat": photos.lat.astype(float),
        "lon": photos.lon.astype(float),
    }
    empty = [""] * len(photos)
    columns = [table.get(name, empty) for name in SCHEMA.names]
    rows = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)
    return Gallery.in_memory(photos.embeddings, rows)


def fit_gallery(ranker: PlaceRanker, photos: KnownPhotos) -> GalleryWeights:
    """Weights of largest likelihood of the true cities of photos of known position.

    `photos` have one row for each location (`by_location`); those without coordinates are left out.
    A place weighs by its share of all places and of its country's.
    """
    places = photos.take(np.isfinite(photos.lat))
    true = TruePlaces.of(places, ranker)
    known = true.city >= 0
    places, true = places.take(known), true.take(known)
    evidence = ranker.gallery_evidence(GalleryLookup(gallery_of(places)))
    by_kind = {k: _terms(ranker, evidence, places, true, k) for k in SHARES}

    weights = _weights(true.country)

    def loss(x: np.ndarray) -> float:
        fits = sum(s * (weights @ by_kind[k].log_likelihood(x)) for k, s in SHARES.items())
        return float(RIDGE * (x[1:] ** 2 * _UNITS[1:] ** 2).sum() - fits)

    start = np.array([-2.0, 10.0, 0.3, 0.0])
    bounds = [(-12, 6), (0, 160), (0, 3), (-6, 6)]
    return _weights_of(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x)


_UNITS = np.array([1, 0.05, 1, 1])
"""Of the four parameters, for the ridge."""


def _weights(countries: np.ndarray) -> np.ndarray:
    """Weights (N,) that sum to 1: the mean of each one's share of all places and of its country."""
    _, which = np.unique(countries, return_inverse=True)
    by_country = 1 / np.bincount(which)[which]
    return np.asarray((1 / len(which) + by_country / by_country.sum()) / 2)


def _weights_of(x: np.ndarray) -> GalleryWeights:
    values = [*x[:3], expit(x[3])]
    return GalleryWeights(*(round(float(value), ROUNDED) for value in values))


def _terms(
    ranker: PlaceRanker,
    evidence: GalleryEvidence,
    places: KnownPhotos,
    true: TruePlaces,
    kind: str,
) -> KnownTerms:
    """What a gallery without each photo's own block, country or source says of it."""
    keys = _keys(places, true, kind)
    group = ranker.hierarchy.city_group[true.city]
    parts, order = [], []
    for key in np.unique(keys):
        own = np.flatnonzero(keys == key)
        allowed = None if kind == "photo" else keys != key
        for start in range(0, len(own), BLOCK):
            rows = own[start : start + BLOCK]
            text = ranker.posterior(places.embeddings[rows])
            ids = [str(row) for row in rows]
            terms = evidence.terms(places.embeddings[rows], text, ids, allowed)
            share = np.exp(text.log_cities[np.arange(len(rows)), true.city[rows]]).astype(float)
            parts.append(KnownTerms.of(terms, share, true.city[rows], group[rows]))
            order.append(rows)
    return KnownTerms.joined(parts).take(np.argsort(np.concatenate(order)))


def _keys(places: KnownPhotos, true: TruePlaces, kind: str) -> np.ndarray:
    """What a photo shares with those that are left out with it."""
    if kind == "block":
        return np.array([str(block) for block in degree_blocks(places.lat, places.lon)])
    if kind == "country":
        return true.country
    return places.sources.astype(str) if kind == "source" else np.zeros(len(places), dtype=int)
