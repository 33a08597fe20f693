"""Photos of known place with their embeddings: the data of a calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import pandas as pd

from geoclip.photos.embedding import mean_of_views
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.labels import place_rows
from geoclip.places.sphere import degree_blocks
from geoclip.ranking.ranker import PlaceRanker
from geoclip.support.seeds import seeded_uniforms

FOLD_KINDS = ("block", "country", "source")
FOLDS = 5
MOST_SOURCES = 8
"""Up to this number sources are left out one by one, more of them in as many groups."""


@dataclass(frozen=True)
class Columns:
    """A table: its fields are arrays of one length, with a row per photo."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of several tables, one after another."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, which: slice | np.ndarray) -> Self:
        """Some of the rows, by position or mask."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))


def first_views(location_ids: np.ndarray) -> np.ndarray:
    """The rows, in order, of the first view of each location; `location_ids` are (N,)."""
    _, first = np.unique(location_ids.astype(str), return_index=True)
    return np.sort(first)


@dataclass(frozen=True)
class KnownPhotos(Columns):
    """N photos of known place.

    Attributes: embeddings: (N, d) unit rows. lat, lon: (N,) in degrees, NaN where only the country
    is known. country_codes: (N,) ISO codes, "" where the outline about the point gives the country.
    sources: (N,) origin of each photo: a collection, a camera, a web site. location_ids: (N,)
    shared by views of a location.
    """

    embeddings: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    country_codes: np.ndarray
    sources: np.ndarray
    location_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.embeddings)

    def by_location(self) -> KnownPhotos:
        """One row for each location: the mean of its views, the rest from the first view."""
        means = mean_of_views(self.embeddings, self.location_ids)
        return replace(self, embeddings=means).take(first_views(self.location_ids))

    def place_rows(self, gazetteer: Gazetteer) -> np.ndarray:
        """Gazetteer rows (N,) of their places; see `places.labels.place_rows`."""
        table = pd.DataFrame(
            {
                "photo_id": self.location_ids,
                "lat": self.lat,
                "lon": self.lon,
                "country_code": self.country_codes,
            }
        )
        return place_rows(table, gazetteer)

    def folds(self, kind: str, countries: np.ndarray) -> Iterator[np.ndarray]:
        """Masks (N,) of photos to leave out together; each photo is in exactly one.

        `kind` is "block" (1°, for photos without coordinates the location), "country" (by
        `countries` (N,)) or "source".
        """
        number = self._fold_numbers(kind, countries)
        return (number == fold for fold in np.unique(number))

    def _fold_numbers(self, kind: str, countries: np.ndarray) -> np.ndarray:
        if kind == "source":
            names, number = np.unique(self.sources.astype(str), return_inverse=True)
            if len(names) <= MOST_SOURCES:
                return number
            return _balanced(number, MOST_SOURCES)
        if kind == "country":
            return drawn_folds("country", countries)
        blocks = [str(block) for block in degree_blocks(self.lat, self.lon)]
        return drawn_folds("block", np.where(np.isnan(self.lat), self.location_ids, blocks))


@dataclass(frozen=True)
class TruePlaces(Columns):
    """True places of N photos, as positions in a hierarchy.

    `country` (N,), -1 for one without a city; `city` (N,), -1 where only the country is known.
    """

    country: np.ndarray
    city: np.ndarray

    @classmethod
    def of(cls, photos: KnownPhotos, ranker: PlaceRanker) -> TruePlaces:
        """The places of photos in a ranker's hierarchy."""
        h, gazetteer = ranker.hierarchy, ranker.gazetteer
        rows = photos.place_rows(gazetteer)
        countries = gazetteer.ancestors[rows, 0]
        return cls(positions_among(countries, h.countries), positions_among(rows, h.cities))


def positions_among(rows: np.ndarray, of_level: np.ndarray) -> np.ndarray:
    """Positions (N,) of gazetteer rows among those of a level; -1 for others."""
    order = np.argsort(of_level)
    at = np.searchsorted(of_level[order], rows).clip(max=len(of_level) - 1)
    return np.where(of_level[order][at] == rows, order[at], -1)


def drawn_folds(kind: str, keys: np.ndarray) -> np.ndarray:
    """Random fold (N,) of each key, which depends only on the key."""
    names, which = np.unique(keys.astype(str), return_inverse=True)
    folds = [int(FOLDS * seeded_uniforms(1, "fold", kind, name)[0]) for name in names.tolist()]
    return np.asarray(np.array(folds, dtype=np.int64)[which])


def _balanced(number: np.ndarray, groups: int) -> np.ndarray:
    """Sources (N,) joined into groups of about equal size, the largest source first."""
    sizes, total = np.bincount(number), np.zeros(groups)
    group = np.zeros(len(sizes), dtype=np.int64)
    for source in np.argsort(-sizes, kind="stable"):
        group[source] = total.argmin()
        total[group[source]] += sizes[source]
    return np.asarray(group[number])
