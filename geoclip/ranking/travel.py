"""How far people travel between two photos."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.places.sphere import EARTH_RADIUS_KM

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TripSettings:
    """How people move, and how much a photo takes from its neighbours.

    Attributes:
        local_km: how far "about the same place" reaches.
        stay_hours: after h hours the photographer is still there with probability
            exp(-h / stay_hours).
        speeds_kmh, shares: else they have gone at one of these speeds, with these probabilities.
        lost: probability that they are anywhere: a wrong clock, another person's photo.
        neighbour_exponent: other photos' posteriors count to this power. It is below 1, since
    photos of one walk look alike and so err together. borrowed_cities, window: a photo's candidates
    are its own cities and this many of the best cities of the `window` photos before and after it.
    """

    local_km: float = 10.0
    stay_hours: float = 24.0
    speeds_kmh: tuple[float, ...] = (5.0, 60.0, 700.0)
    shares: tuple[float, ...] = (0.6, 0.3, 0.1)
    lost: float = 1e-3
    neighbour_exponent: float = 0.5
    borrowed_cities: int = 30
    window: int = 10

    def __post_init__(self) -> None:
        if min(self.local_km, self.stay_hours, *self.speeds_kmh) <= 0:
            raise GeoclipError("local_km, stay_hours and speeds_kmh must be above 0.")
        if len(self.shares) != len(self.speeds_kmh) or abs(sum(self.shares) - 1) > 1e-9:
            raise GeoclipError("shares must be as many as speeds_kmh and add up to 1.")
        if not 0 < self.lost < 1 or not 0 < self.neighbour_exponent <= 1 or min(self.shares) < 0:
            raise GeoclipError("lost, neighbour_exponent and shares must lie between 0 and 1.")
        if self.borrowed_cities < 0 or self.window < 0:
            raise GeoclipError("borrowed_cities and window must not be negative.")


CLUMPING = 0.7
"""Exponent by which cities cluster more than points spread evenly over the Earth.

Measured on the packaged gazetteer: for scales from 10 to 10,000 km the mean over its cities of
exp(-km / scale) is the evenly spread one to the power of 0.69 to 0.80.
"""


def travel_factor(km: Floats, hours: float, settings: TripSettings) -> Floats:
    """How much likelier two photos `hours` apart are at cities `km` (…) apart than at any two.

    A mixture of exp(-km / scale), each divided by about its mean over the world's cities. It is
    symmetric and at least `lost`.
    """
    stay = math.exp(-hours / settings.stay_hours)
    kernel = stay * _relative_density(km, settings.local_km)
    for speed, share in zip(settings.speeds_kmh, settings.shares, strict=True):
        scale = settings.local_km + speed * hours
        kernel = kernel + (1 - stay) * share * _relative_density(km, scale)
    return settings.lost + (1 - settings.lost) * kernel


def _relative_density(km: Floats, scale: float) -> Floats:
    # The integral of exp(-a t) sin t over t from 0 to pi is (1 + exp(-a pi)) / (1 + a²).
    a = EARTH_RADIUS_KM / scale
    even = 2 * (1 + a * a) / (1 + math.exp(-a * math.pi))
    density: Floats = np.exp(-km / scale) * even**CLUMPING
    return density
