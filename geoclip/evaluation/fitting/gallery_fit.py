"""Weights of a gallery, fitted to photos of known place by maximum likelihood.

Every photo is a query to a gallery, which may be the other photos: all but itself, then without its
1° block, its country, its source. So the weights learn the meaning of likeness with and without
coverage by the gallery, and the gallery's part vanishes without coverage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

from geoclip.evaluation.fitting.known_photos import Columns, KnownPhotos, TruePlaces
from geoclip.evaluation.fitting.radius_fit import fit_radii
from geoclip.places.sphere import degree_blocks, great_circle_km
from geoclip.ranking.confidence import LevelRule
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.mixture import (
    CANDIDATES,
    GalleryEvidence,
    GalleryTerms,
    log_evidence,
)
from geoclip.ranking.gallery.neighbours import Neighbours
from geoclip.ranking.gallery.photo_gallery import Gallery
from geoclip.ranking.gallery_ranking import GalleryRanker
from geoclip.ranking.gallery_weights import GallerySettings, GalleryWeights
from geoclip.ranking.point_estimate import HALF_SHARE, WIDE_SHARE
from geoclip.ranking.posterior import Posterior
from geoclip.ranking.ranker import PlaceRanker

SHARES = {"photo": 0.7, "block": 0.15, "country": 0.075, "source": 0.075}
"""Weights of a photo's queries without itself, its block, its country, its source.

They assume that a gallery covers the blocks of most photos. On 263 places of 15 sources, apart from
those in the README's figures, this gains as much as assuming nearly full coverage, and it loses
less where the gallery covers nothing.
"""
RIDGE = 1e-3
ROUNDED = 3
BLOCK = 16
SAME_PLACE = 3
"""Decimals of degrees at which photos count as one place: some 100 m."""


@dataclass(frozen=True)
class KnownTerms(Columns):
    """The true city's shares for N photos, beside their gallery terms.

    `text` (N,), `near` and `far` (N, k) are the shares of the true city in the posterior, and in
    each gallery photo's two kernels.
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
        """The known terms, from the share `text` (N,) of the true `city` (N,), in `group` (N,)."""
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
    ids = [str(i) for i in range(len(photos))]
    rows = pd.DataFrame({"photo_id": ids, "lat": photos.lat, "lon": photos.lon})
    return Gallery.in_memory(photos.embeddings, rows)


def fit_gallery(
    ranker: PlaceRanker, photos: KnownPhotos, gallery: Gallery | None = None
) -> GalleryWeights:
    """Gallery weights of largest likelihood of the true cities of photos of known position.

    `photos` have one row for each location (`by_location`); those without coordinates are left out.
    They are queries to a gallery, or to one another. A place's weight is the mean of its share of
    all places and of its country's.
    """
    return _Asked.of(ranker, photos, gallery).weights()


def calibrate_gallery(
    ranker: PlaceRanker, photos: KnownPhotos, gallery: Gallery | None = None
) -> GallerySettings:
    """The weights of `fit_gallery`, and radii calibrated with these.

    The radii use the same queries, with the weights of the fit.
    """
    asked = _Asked.of(ranker, photos, gallery)
    return asked.calibrated(asked.weights())


@dataclass(frozen=True)
class _Asked:
    """Photos of known position, and the gallery for their queries.

    `pairs` holds for each kind of `SHARES` the keys of photos (N,) and gallery photos (M,): a
    gallery photo with a key in common is left out. There `ids` are the photos' own.
    """

    ranker: PlaceRanker
    places: KnownPhotos
    true: TruePlaces
    lookup: GalleryLookup
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]]
    ids: list[str] | None

    @classmethod
    def of(cls, ranker: PlaceRanker, photos: KnownPhotos, gallery: Gallery | None) -> _Asked:
        places = photos.take(np.isfinite(photos.lat))
        true = TruePlaces.of(places, ranker)
        known = true.city >= 0
        places, true = places.take(known), true.take(known)
        own = _keys(ranker, places)
        if gallery is None:
            pairs = {kind: [(own[kind],) * 2] if kind != "photo" else [] for kind in SHARES}
            ids = [str(row) for row in range(len(places))]
            return cls(ranker, places, true, GalleryLookup(gallery_of(places)), pairs, ids)
        others = _keys(ranker, known_photos_of(gallery))
        same = own["photo"], others["photo"]
        pairs = {kind: [same, (own[kind], others[kind])] for kind in SHARES}
        return cls(ranker, places, true, GalleryLookup(gallery), pairs, None)

    @cached_property
    def evidence(self) -> GalleryEvidence:
        """The gallery's evidence for photos."""
        return self.ranker.gallery_evidence(self.lookup)

    def terms(self, kind: str) -> Iterator[tuple[slice, Posterior, GalleryTerms]]:
        """Rows of some photos, their posterior, and the evidence of a gallery without their kin."""
        found = self._neighbours(kind)
        for start in range(0, len(self.places), BLOCK):
            rows = slice(start, start + BLOCK)
            values = self.places.embeddings[rows]
            text = self.ranker.posterior(values)
            yield rows, text, self.evidence.terms_of(values, text, found.take(rows))

    def _neighbours(self, kind: str) -> Neighbours:
        """The neighbours of all photos, searched together for photos with the same kin."""
        pairs, values = self.pairs[kind], self.places.embeddings
        if not pairs:
            return self.evidence.neighbours(values, self.ids)
        keys = [np.unique(own, return_inverse=True)[1] for own, _ in pairs]
        _, group = np.unique(np.column_stack(keys), axis=0, return_inverse=True)
        found = Neighbours.none(len(values), CANDIDATES)
        for key in range(group.max() + 1):
            alike = np.flatnonzero(group.ravel() == key)
            allowed = np.all([others != own[alike[0]] for own, others in pairs], axis=0)
            ids = None if self.ids is None else [self.ids[row] for row in alike]
            found.put(alike, self.evidence.neighbours(values[alike], ids, allowed))
        return found

    def weights(self) -> GalleryWeights:
        """The weights of largest likelihood."""
        by_kind = {kind: self._known_terms(kind) for kind in SHARES}
        weights = _weights(self.true.country)

        def loss(x: np.ndarray) -> float:
            fits = sum(s * (weights @ by_kind[k].log_likelihood(x)) for k, s in SHARES.items())
            return float(RIDGE * (x[1:] ** 2 * _UNITS[1:] ** 2).sum() - fits)

        start = np.array([-2.0, 10.0, 0.3, 0.0])
        bounds = [(-12, 6), (0, 160), (0, 3), (-6, 6)]
        return _weights_of(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x)

    def _known_terms(self, kind: str) -> KnownTerms:
        group = self.ranker.hierarchy.city_group[self.true.city]
        parts = []
        for rows, text, terms in self.terms(kind):
            city = self.true.city[rows]
            share = np.exp(text.log_cities[np.arange(len(city)), city]).astype(float)
            parts.append(KnownTerms.of(terms, share, city, group[rows]))
        return KnownTerms.joined(parts)

    def calibrated(self, weights: GalleryWeights) -> GallerySettings:
        """The settings with the radii of answers under these weights."""
        number = len(self.places)
        credible = GallerySettings(weights, Calibration(number))
        settings = replace(self.ranker.settings, gallery=credible)
        by_gallery = GalleryRanker(self.ranker.with_settings(settings), self.lookup)
        radius, radius_90, km, shares = [], [], [], []
        weigh = (_weights(self.true.country) + _weights(self.places.sources.astype(str))) / 2
        for kind, share in SHARES.items():
            for rows, text, terms in self.terms(kind):
                mixture = terms.mixture(text, weights)
                found = by_gallery.answers_of(terms, mixture, LevelRule(), 1)
                true = self.places.lat[rows], self.places.lon[rows]
                km.append(great_circle_km(found.lat, found.lon, *true))
                radius.append(found.ranking.radius)
                radius_90.append(found.ranking.radius_90)
                shares.append(share * weigh[rows])
        off, counts = np.concatenate(km), np.concatenate(shares)
        fitted = Calibration(
            number,
            fit_radii(np.concatenate(radius), off, counts, HALF_SHARE),
            fit_radii(np.concatenate(radius_90), off, counts, WIDE_SHARE),
        )
        return GallerySettings(weights, fitted)


_UNITS = np.array([1, 0.05, 1, 1])
"""Units of the four parameters, for the ridge."""


def _weights(countries: np.ndarray) -> np.ndarray:
    """Weights (N,) of sum 1: the mean of each photo's share of all places and of its country."""
    _, which = np.unique(countries, return_inverse=True)
    by_country = 1 / np.bincount(which)[which]
    return np.asarray((1 / len(which) + by_country / by_country.sum()) / 2)


def _weights_of(x: np.ndarray) -> GalleryWeights:
    values = [*x[:3], expit(x[3])]
    return GalleryWeights(*(round(float(value), ROUNDED) for value in values))


def known_photos_of(gallery: Gallery) -> KnownPhotos:
    """A gallery's photos without their embeddings."""
    columns = ("country_code", "source", "photo_id")
    told = (np.array(gallery.photos[name].to_pylist(), dtype=object) for name in columns)
    return KnownPhotos(np.empty((len(gallery), 0)), gallery.lat, gallery.lon, *told)


def _keys(ranker: PlaceRanker, photos: KnownPhotos) -> dict[str, np.ndarray]:
    """Keys (N,) that photos share with those left out together; "" for an unknown source."""
    blocks = [str(block) for block in degree_blocks(photos.lat, photos.lon)]
    at = zip(photos.lat.round(SAME_PLACE), photos.lon.round(SAME_PLACE), strict=True)
    return {
        "photo": np.array([f"{lat} {lon}" for lat, lon in at]),
        "block": np.array(blocks),
        "country": TruePlaces.of(photos, ranker).country,
        "source": photos.sources.astype(str),
    }
