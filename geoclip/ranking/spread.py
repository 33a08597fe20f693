"""How far from a point a posterior lies: the radius that holds a share of it, and what is near.

A posterior is taken by its groups of cities (`Hierarchy`), each at the root mean square distance of
those of its cities that may have a part of it, so that a region does not shrink to its centre.
"""

import numpy as np

from geoclip.places.sphere import chord_to_km, unit_vectors
from geoclip.ranking.posterior import Posterior

_SAME_PLACE_KM = 0.1  # above what rounding leaves of no distance


def radius_km(posterior: Posterior, cities: np.ndarray, share: float) -> np.ndarray:
    """Radius (N,) in km about the cities (N,), by position, that holds `share` of each posterior.

    Of a calibrated posterior a photo's true place is inside with this probability. NaN where a
    group of a single city holds it: how far from that city its photos lie is not known.
    """
    h = posterior.hierarchy
    km = _group_km(posterior, h.lat[cities], h.lon[cities])
    nearest = np.argsort(km, axis=1)
    mass = np.cumsum(np.take_along_axis(posterior.groups, nearest, axis=1), axis=1)
    enough = np.argmax(mass >= share * mass[:, -1:], axis=1)
    last = np.take_along_axis(nearest, enough[:, None], axis=1)
    radius = np.take_along_axis(km, last, axis=1)[:, 0]
    return np.where(radius < _SAME_PLACE_KM, np.nan, radius)


def mass_within(posterior: Posterior, lat: np.ndarray, lon: np.ndarray, km: float) -> np.ndarray:
    """Share (N,) of each posterior within `km` of a point (N,); NaN where the point is.

    One posterior may stand for all points.
    """
    distances = _group_km(posterior, lat, lon)
    mass: np.ndarray = (posterior.groups * (distances <= km)).sum(axis=1)
    return np.where(np.isnan(lat) | np.isnan(lon), np.nan, mass)


def _group_km(posterior: Posterior, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Root mean square distance (N, G) of points (N,) from each group's cities; NaN without any.

    The mean of |p - x|² over unit vectors x is 2 - 2 p · mean(x).
    """
    h, allowed = posterior.hierarchy, posterior.allowed
    means = h.group_means if allowed.all() else h.means_of(allowed)
    squared = 2 - 2 * (unit_vectors(lat, lon) @ means.T)
    return chord_to_km(np.sqrt(np.maximum(squared, 0)))
