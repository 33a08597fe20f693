"""Smooth fields over the globe: random ones of a stated wavelength, and a rough climate.

All values depend only on (seed, name, lat, lon). They are the same on every machine and in every
order of calls.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geoclip.places.sphere import EARTH_RADIUS_KM, unit_vectors

Array = NDArray[np.float64]

# (lat, lon, reach in km, strength) of the Earth's large deserts and mountain chains. The reach is
# the standard deviation of a Gaussian of the great-circle distance.
_DRY = (
    (24, 2, 1500, 1.0),
    (23, 28, 1200, 1.0),
    (23, 46, 1000, 1.0),
    (31, 60, 900, 0.7),
    (42, 64, 1000, 0.7),
    (41, 100, 900, 0.8),
    (-25, 132, 1200, 0.9),
    (-24, 18, 700, 0.8),
    (-22, -69, 600, 0.8),
    (33, -112, 700, 0.8),
    (-45, -69, 600, 0.6),
    (8, 46, 700, 0.6),
)
_HIGH = (
    (31, 86, 1000, 1.0),
    (38, 72, 500, 0.9),
    (46, 10, 350, 0.9),
    (42, 44, 350, 0.9),
    (40, -108, 600, 0.8),
    (52, -120, 600, 0.8),
    (3, -76, 450, 0.9),
    (-13, -73, 500, 0.9),
    (-32, -70, 500, 0.9),
    (9, 39, 450, 0.8),
    (36, 138, 350, 0.7),
    (-6, 144, 400, 0.8),
    (63, 10, 400, 0.6),
    (-30, 29, 250, 0.6),
    (19, -99, 400, 0.6),
    (32, -5, 300, 0.6),
    (39, 38, 450, 0.5),
    (34, 50, 500, 0.5),
)


def generator(*key: object) -> np.random.Generator:
    """A random generator that depends only on the key (its text, hashed with BLAKE2b)."""
    text = "\x1f".join(str(part) for part in key)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


@dataclass(frozen=True)
class SmoothField:
    """A random function on the sphere with mean 0 and variance 1 over the whole globe.

    It is a sum of plane waves in three dimensions, on the surface of the Earth. All waves have the
    same `wavelength_km`; their directions and phases are random. Places much nearer to each other
    than a quarter of the wavelength get about the same value. Places farther apart get unrelated
    ones.
    """

    seed: int
    name: str
    wavelength_km: float
    waves: int = 24

    def __call__(self, lat: ArrayLike, lon: ArrayLike) -> Array:
        """Values at lat, lon (degrees, broadcast together), of their shape."""
        mean, deviation = _moments(self)
        return (self._sum(unit_vectors(lat, lon)) - mean) / deviation

    def _sum(self, xyz: Array) -> Array:
        rng = generator(self.seed, "field", self.name)
        directions = rng.normal(size=(self.waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        wave_vectors = directions * (2 * np.pi * EARTH_RADIUS_KM / self.wavelength_km)
        phases = rng.uniform(0, 2 * np.pi, self.waves)
        waves: Array = np.cos(xyz @ wave_vectors.T + phases)
        return np.asarray(waves.sum(axis=-1))


@lru_cache(maxsize=256)
def _moments(field: SmoothField) -> tuple[float, float]:
    """Mean and standard deviation of the raw sum over an even (Fibonacci) grid of the globe."""
    n = 4096
    index = np.arange(n) + 0.5
    lat = np.degrees(np.arcsin(1 - 2 * index / n))
    lon = np.degrees(index * np.pi * (3 - np.sqrt(5))) % 360 - 180
    raw = field._sum(unit_vectors(lat, lon))
    return float(raw.mean()), float(raw.std())


@dataclass(frozen=True)
class Climate:
    """Rough climate of one place.

    `temperature` in °C (mean of the year), `aridity` and `hilliness` in 0..1, `sun` the sine of
    the sun's height at noon at the equinox (the cosine of the latitude).
    """

    temperature: float
    aridity: float
    hilliness: float
    sun: float


@dataclass(frozen=True)
class Climates:
    """The climates of n places: arrays (n,) of the values of `Climate`."""

    temperature: Array
    aridity: Array
    hilliness: Array
    sun: Array

    def __getitem__(self, index: int) -> Climate:
        columns = (self.temperature, self.aridity, self.hilliness, self.sun)
        return Climate(*(float(column[index]) for column in columns))


def climate_at(lat: ArrayLike, lon: ArrayLike, seed: int = 0) -> Climates:
    """Climates of places at lat, lon (arrays of degrees).

    Temperature falls with the height and, outside the tropics, with the latitude. Deserts and
    mountain chains are Gaussian bumps where the Earth has them, changed by smooth random fields.
    """
    lat = np.asarray(lat, dtype=float)
    hilliness = _bumps(lat, lon, _HIGH) + 0.15 * SmoothField(seed, "hills", 2500)(lat, lon) + 0.1
    hilliness = np.clip(hilliness, 0, 1)
    aridity = _bumps(lat, lon, _DRY) + 0.15 * SmoothField(seed, "drought", 4000)(lat, lon) + 0.1
    beyond_tropics = np.maximum(np.abs(lat) - 12, 0)
    warmth = 27 - 0.42 * beyond_tropics - 8 * np.maximum(hilliness - 0.3, 0)
    warmth = warmth + 2 * SmoothField(seed, "warmth", 5000)(lat, lon)
    return Climates(warmth, np.clip(aridity, 0, 1), hilliness, np.cos(np.radians(lat)))


def _bumps(
    lat: ArrayLike, lon: ArrayLike, bumps: tuple[tuple[float, float, float, float], ...]
) -> Array:
    """Value of the strongest Gaussian bump at each place, in 0..1."""
    table = np.array(bumps, dtype=float)
    cosines = unit_vectors(lat, lon) @ unit_vectors(table[:, 0], table[:, 1]).T
    km = EARTH_RADIUS_KM * np.arccos(np.clip(cosines, -1, 1))
    values: Array = table[:, 3] * np.exp(-0.5 * (km / table[:, 2]) ** 2)
    return np.asarray(values.max(axis=-1))
