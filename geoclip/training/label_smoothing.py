"""Label smoothing by distance: the nearer a region, the larger its target.

The captions of a batch are true or false: a caption of the neighbouring country is as false as one
of the antipodes, and a country without a training photo is never true. Here every region of the
gazetteer is a class, and its target falls off with distance (haversine smoothing: Haas, Skreta,
Alberti, Finn 2024, arXiv 2307.05845). So photos also teach about regions without a training photo.
"""

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
from geoclip.training.auxiliary import GlobalFeatures, at_least_float32
from geoclip.training.losses import soft_label_loss

CROWDING_KM = 300.0
"""Adjacent small regions share the target of one large region."""

SIZE_EXPONENT = 0.25
"""Exponent of a region's number of cities: an island of one city has fewer photos than a coast."""


class LabelSmoothing:
    """Auxiliary loss: cross entropy among regions, with targets that fall to 1/e over `km`.

    The classes are the R regions, and the countries without any. `rows` (R,) are their gazetteer
    rows and `embeddings` (R, d) the encoder's embeddings of their prompts, made once, on its
    device. The text tower must stay frozen: the embeddings of a tower in training would be out of
    date.
    """

    name = "label_smoothing"

    def __init__(self, encoder: Encoder, book: CaptionBook, km: float, weight: float = 1.0) -> None:
        book.gazetteer.check_has_positions()
        self.gazetteer = book.gazetteer
        self.rows = class_rows(book.gazetteer)
        embeddings = embed_rows(encoder, book, self.rows)
        self.embeddings = torch.from_numpy(embeddings).to(encoder.device)
        self.km = km
        self.weight = weight
        self._known: dict[int, np.ndarray] = {}

    def value(self, features: GlobalFeatures) -> Tensor:
        """`soft_label_loss` of the readable photos, in nats."""
        readable = features.readable
        images = at_least_float32(features.images[readable])
        labels = self.labels(features.rows)[readable]
        return soft_label_loss(images, self.embeddings, features.logit_scale, labels)

    def labels(self, rows: np.ndarray) -> Tensor:
        """Targets (N, R) of sum 1 for photos of the places in gazetteer rows (N,).

        If only a photo's country is known, distances count from the nearest of its classes.
        """
        labels = torch.from_numpy(np.stack([self._label(int(row)) for row in rows]))
        return labels.to(self.embeddings.device)

    def _label(self, row: int) -> np.ndarray:
        if row not in self._known:
            ancestors = self.gazetteer.ancestors
            spots = np.array([row])
            if row == ancestors[row, COUNTRY]:
                spots = self.rows[ancestors[self.rows, COUNTRY] == row]
            near = np.exp(-self._km_from(spots).min(axis=0) / self.km) * self._sizes
            self._known[row] = (near / near.sum()).astype(np.float32)
        return self._known[row]

    def _km_from(self, spots: np.ndarray) -> np.ndarray:
        lat, lon = self.gazetteer.lat, self.gazetteer.lon
        here, there = spots[:, None], self.rows[None]
        return np.asarray(great_circle_km(lat[here], lon[here], lat[there], lon[there]))

    @cached_property
    def _sizes(self) -> np.ndarray:
        crowding = np.exp(-self._km_from(self.rows) / CROWDING_KM).sum(axis=0)
        cities = np.maximum(cities_below(self.gazetteer, self.rows), 1)
        return np.asarray(cities**SIZE_EXPONENT / crowding)


def cities_below(gazetteer: Gazetteer, rows: np.ndarray) -> np.ndarray:
    """Count the cities (R,) of the regions or countries in gazetteer rows (R,)."""
    above = gazetteer.ancestors[gazetteer.level_rows("city")][:, [COUNTRY, REGION]]
    counts: np.ndarray = np.bincount(above[above >= 0], minlength=len(gazetteer))
    return np.asarray(counts[rows])


def class_rows(gazetteer: Gazetteer) -> np.ndarray:
    """Gazetteer rows (R,) of the regions, and of the countries without one."""
    regions, countries = gazetteer.level_rows("region"), gazetteer.level_rows("country")
    has_regions = np.isin(countries, gazetteer.ancestors[regions, COUNTRY])
    return np.sort(np.concatenate([regions, countries[~has_regions]]))
