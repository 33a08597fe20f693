"""Results of a calibration for the ranking: radii with the stated coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.places.sphere import FARTHEST_KM

SMALLEST_KM = 5.0
"""A narrower credible radius is raised to this: photos lie about a city, not in its centre."""


@dataclass(frozen=True)
class ConformalRadii:
    """Radii as multiples of a posterior's credible radii, in bins of the latter.

    A credible radius up to `bounds_km[0]` is multiplied by `factors[0]`, one up to `bounds_km[1]`
    by `factors[1]` and so on, a wider one by the last factor. Fitted as the quantiles of split
    conformal prediction within bins (Vovk et al. 2005, chapter 4; Angelopoulos and Bates 2021,
    arXiv 2107.07511, section 4), they hold for sure and unsure photos alike.

    >>> ConformalRadii((100.0,), (2.0, 1.5)).of(np.array([50.0, 1000.0])).tolist()
    [100.0, 1500.0]
    """

    bounds_km: tuple[float, ...] = ()
    factors: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise((0.0, *self.bounds_km, math.inf)))
        if len(self.factors) != len(self.bounds_km) + 1 or not rising:
            raise GeoclipError(
                f"{self} needs rising bounds above 0 and one factor more than these."
            )
        if not all(0 < factor < math.inf for factor in self.factors):
            raise GeoclipError(f"{self} has a factor that is no number above 0.")

    def of(self, credible_km: np.ndarray) -> np.ndarray:
        """The radii (N,) for credible radii (N,), in km, at most half the Earth's circumference."""
        base = np.fmax(credible_km, SMALLEST_KM)  # NaN: of a single city
        factors = np.array(self.factors)[np.searchsorted(self.bounds_km, base)]
        return np.asarray(np.minimum(base * factors, FARTHEST_KM))


@dataclass(frozen=True)
class Calibration:
    """Results of `geoclip calibrate` on photos of known place, beside the temperatures and priors.

    Attributes:
        photos: number of photos that it was fitted on, none of which the encoder was trained on.
        radius: the radii that hold half the photos' true points.
        radius_90: those that hold 90 %.
    """

    photos: int
    radius: ConformalRadii = field(default_factory=ConformalRadii)
    radius_90: ConformalRadii = field(default_factory=ConformalRadii)

    def __post_init__(self) -> None:
        if self.photos < 1:
            raise GeoclipError(f"a calibration is fitted on photos, not on {self.photos}.")

    def radii_of(self, half: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The two radii (N,) in km for the credible radii (N,) of half and 90 % of a posterior."""
        radius = self.radius.of(half)
        return radius, np.maximum(self.radius_90.of(most), radius)
