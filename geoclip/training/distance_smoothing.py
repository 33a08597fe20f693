"""Regions as classes that are the truer of a photo the nearer they lie to where it was taken.

Among the captions of a batch those of another country are simply false, whether it is the next
one or one at the antipodes, and a country without a training photo is never true. Here every region
of the gazetteer is a class and the target falls off with distance (haversine smoothing of labels:
Haas, Skreta, Alberti, Finn 2024, arXiv 2307.05845): regions never trained on are told to be near.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from geoclip.encoders import Encoder
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.place import COUNTRY, REGION
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.place_index import embed_rows

CROWDING_KM = 300.0
"""Small regions side by side share what one large region would have."""

SIZE_POWER = 0.25
"""Of a region's number of cities: an island of one is less often photographed than a coast."""


@dataclass(frozen=True)
class SoftClasses:
    """Classes of embeddings (R, d) and how true they are of photos: (N, R), of sum 1 each.

    `weight` is that of their loss beside the others.
    """

    embeddings: Tensor
    truth: Tensor
    weight: float


class DistanceSmoothing:
    """Targets that fall to 1/e over `km`, over the regions and the countries that have none.

    `embeddings` (R, d) are those of the prompts of `rows` (R,) by the encoder as it is now, on its
    device; they stay as they are, so its text tower must not be trained meanwhile.
    """

    def __init__(self, encoder: Encoder, book: CaptionBook, km: float, weight: float = 1.0) -> None:
        self.gazetteer = book.gazetteer
        self.rows = class_rows(book.gazetteer)
        embeddings = embed_rows(encoder, book, self.rows)
        self.embeddings = torch.from_numpy(embeddings).to(encoder.device)
        self.km = km
        self.weight = weight
        self._known: dict[int, np.ndarray] = {}

    def classes(self, rows: np.ndarray) -> SoftClasses:
        """The classes for photos of the places in gazetteer rows (N,).

        Of a photo whose country alone is known the nearest of its country's classes counts.
        """
        truth = torch.from_numpy(np.stack([self._truth(int(row)) for row in rows]))
        return SoftClasses(self.embeddings, truth.to(self.embeddings.device), self.weight)

    def _truth(self, row: int) -> np.ndarray:
        if row not in self._known:
            ancestors = self.gazetteer.ancestors
            spots = np.array([row])
            if row == ancestors[row, COUNTRY]:
                spots = self.rows[ancestors[self.rows, COUNTRY] == row]
            near = np.exp(-self._km_from(spots).min(axis=0) / self.km) * self._weights
            self._known[row] = (near / near.sum()).astype(np.float32)
        return self._known[row]

    def _km_from(self, spots: np.ndarray) -> np.ndarray:
        lat, lon = self.gazetteer.lat, self.gazetteer.lon
        here, there = spots[:, None], self.rows[None]
        return great_circle_km(lat[here], lon[here], lat[there], lon[there])

    @cached_property
    def _weights(self) -> np.ndarray:
        crowding = np.exp(-self._km_from(self.rows) / CROWDING_KM).sum(axis=0)
        sizes = np.maximum(cities_below(self.gazetteer, self.rows), 1)
        return sizes**SIZE_POWER / crowding


def cities_below(gazetteer: Gazetteer, rows: np.ndarray) -> np.ndarray:
    """Count the cities (R,) of the regions or countries in gazetteer rows (R,)."""
    above = gazetteer.ancestors[gazetteer.level_rows("city")][:, [COUNTRY, REGION]]
    return np.bincount(above[above >= 0], minlength=len(gazetteer))[rows]


def class_rows(gazetteer: Gazetteer) -> np.ndarray:
    """Gazetteer rows (R,) of the regions, and of the countries without one."""
    regions, countries = gazetteer.level_rows("region"), gazetteer.level_rows("country")
    has_regions = np.isin(countries, gazetteer.ancestors[regions, COUNTRY])
    return np.sort(np.concatenate([regions, countries[~has_regions]]))
