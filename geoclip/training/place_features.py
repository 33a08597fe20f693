"""Where places lie, as vectors whose inner product falls with their distance."""

from dataclasses import dataclass

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.gazetteer import Gazetteer
from geoclip.sphere import EARTH_RADIUS_KM, unit_vectors


@dataclass(frozen=True)
class PlaceFeatureSettings:
    """Length scales and their shares of the vector.

    `dim` counts coordinates, cosines and sines in equal number for each scale in km, so it must
    be divisible by twice the number of scales (else GeoclipError). `country_weight`
    and `region_weight` are the squared lengths, relative to the coordinates' 1, of random
    vectors that members of a country or region share.
    """

    dim: int = 256
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


def place_features(gazetteer: Gazetteer, settings: PlaceFeatureSettings) -> np.ndarray:
    """Return unit vectors (P, dim) float32 of all gazetteer rows.

    A city's coordinates pass random Fourier features at each scale (Rahimi and Recht 2007), so
    that inner products approximate a mean of Gaussian kernels of the chord between two cities; the
    mean over all cities is removed. A region or country has the mean of its cities, weighted by
    the square root of their population, which is their kernel mean embedding, or its own
    coordinates' features where it has no city.
    """
    rng = np.random.default_rng(settings.seed)
    cities = gazetteer.level_rows("city")
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
    return _with_means(fourier, gazetteer, cities)


def _with_means(fourier: np.ndarray, gazetteer: Gazetteer, cities: np.ndarray) -> np.ndarray:
    features = fourier.copy()
    weights = np.sqrt(np.maximum(gazetteer.population[cities], 1))[:, None]
    for level in (0, 1):
        member = gazetteer.ancestors[cities, level]
        inside = member >= 0
        features[np.unique(member[inside])] = 0
        np.add.at(features, member[inside], (weights * fourier[cities])[inside])
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.maximum(lengths, 1e-12)).astype(np.float32)
