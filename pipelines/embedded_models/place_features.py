"""Positions of places as vectors whose inner product falls with distance."""

from dataclasses import dataclass

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import EARTH_RADIUS_KM, unit_vectors


@dataclass(frozen=True)
class PlaceFeatureSettings:
    """Length scales and their shares of the vector.

    `dim` counts coordinates, cosines and sines in equal number for each scale in km, so it must
    be divisible by twice the number of scales (else GeoclipError). `country_weight`
    and `region_weight` are the squared lengths, relative to the coordinates' 1, of random
    vectors that members of a country or region share. With known looks of places, `looks_share` is
    their share in the inner products, and the whole is reduced to its `reduced_dim` principal
    components.
    """

    dim: int = 256
    looks_share: float = 0.5
    reduced_dim: int = 192
    scales_km: tuple[float, ...] = (4000.0, 1500.0, 500.0, 150.0)
    country_weight: float = 0.15
    region_weight: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dim < 1 or self.dim % (2 * len(self.scales_km)):
            raise GeoclipError(
                f"dim is {self.dim}; use a multiple of {2 * len(self.scales_km)}, twice the number "
                "of scales."
            )


def place_features(
    gazetteer: Gazetteer, settings: PlaceFeatureSettings, looks: np.ndarray | None = None
) -> np.ndarray:
    """Return unit vectors (P, dim) float32 of all gazetteer rows.

    A city's coordinates pass random Fourier features at each scale (Rahimi and Recht 2007), so
    that inner products approximate a mean of Gaussian kernels of the chord between two cities; the
    mean over all cities is removed. A region or country has the mean of its cities, weighted by the
    square root of their population: its kernel mean embedding; without a city it has its own
    coordinates' features. With `looks` (P, m), unit vectors of places' looks (`place_looks`), both
    are concatenated and reduced to (P, reduced_dim).
    """
    cities = gazetteer.level_rows("city")
    where = _with_means(_coordinate_features(gazetteer, settings, cities), gazetteer, cities)
    if looks is None:
        return where
    centred = _unit(looks - looks[cities].mean(axis=0))
    shares = (1 - settings.looks_share, settings.looks_share)
    parts = (where, _with_means(centred, gazetteer, cities))
    both = np.concatenate(
        [np.sqrt(s) * part for s, part in zip(shares, parts, strict=True)], axis=1
    )
    deviation = both[cities] - both[cities].mean(axis=0)
    _, axes = np.linalg.eigh(deviation.T @ deviation)
    return _unit(both @ axes[:, : -settings.reduced_dim - 1 : -1]).astype(np.float32)


def _coordinate_features(
    gazetteer: Gazetteer, settings: PlaceFeatureSettings, cities: np.ndarray
) -> np.ndarray:
    rng = np.random.default_rng(settings.seed)
    xyz = unit_vectors(gazetteer.lat, gazetteer.lon)
    pairs = settings.dim // (2 * len(settings.scales_km))
    scales = np.repeat(EARTH_RADIUS_KM / np.array(settings.scales_km), pairs)
    angles = xyz @ (rng.standard_normal((3, len(scales))) * scales)
    fourier = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(len(scales))
    fourier -= fourier[cities].mean(axis=0)
    for level, weight in enumerate((settings.country_weight, settings.region_weight)):
        member = gazetteer.ancestors[:, level]
        shared = rng.standard_normal((len(gazetteer), settings.dim)) / np.sqrt(settings.dim)
        fourier += np.sqrt(weight) * np.where(member[:, None] >= 0, shared[member], 0)
    return np.asarray(fourier)


def _with_means(fourier: np.ndarray, gazetteer: Gazetteer, cities: np.ndarray) -> np.ndarray:
    features = fourier.copy()
    weights = np.sqrt(np.maximum(gazetteer.population[cities], 1))[:, None]
    for level in (0, 1):
        member = gazetteer.ancestors[cities, level]
        inside = member >= 0
        features[np.unique(member[inside])] = 0
        np.add.at(features, member[inside], (weights * fourier[cities])[inside])
    return _unit(features).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12))
