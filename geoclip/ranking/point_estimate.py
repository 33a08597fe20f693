"""The reported point of a posterior, and its credible radius.

The credible radius uses a posterior's groups of cities (`Hierarchy`), each at the root mean square
distance of its possible cities, so that a region does not shrink to its centre.
"""

import numpy as np

from geoclip.places.geoscore import geoscore
from geoclip.places.sphere import chord_to_km, cosine_to_km, unit_vectors
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.posterior import Posterior
from geoclip.ranking.settings import RankingSettings

HALF_SHARE, WIDE_SHARE = 0.5, 0.9
"""Shares of the posterior inside the two stated radii."""
_ROUNDING = 1e-9
"""Rounding of a sum of probabilities: halves may add up to 0.4999999999999998."""
_SAME_PLACE_KM = 0.1  # above the rounding of a zero distance


def expected_score_city(
    candidates: np.ndarray, probabilities: np.ndarray, hierarchy: Hierarchy
) -> np.ndarray:
    """The candidate of each photo with the largest expected GeoScore and a probability above 0.

    `candidates` and `probabilities` (N, m) come from `top_cities`. Returns city positions (N,).
    """
    xyz = unit_vectors(hierarchy.lat[candidates], hierarchy.lon[candidates])  # (N, m, 3)
    km = cosine_to_km(xyz @ xyz.transpose(0, 2, 1))
    gain = np.einsum("nij,nj->ni", geoscore(km), probabilities)
    best = np.where(probabilities > 0, gain, -np.inf).argmax(axis=1)
    return np.asarray(candidates[np.arange(len(candidates)), best])


def expected_score_group(posterior: Posterior, temperature: float = 1.0) -> np.ndarray:
    """The group (N,) of cities with the largest expected GeoScore over the whole posterior.

    In a posterior spread over many countries, the hundred best cities lie in one or two countries
    and miss most of it; all groups cover it.
    """
    gain = expected_scores(posterior, temperature)
    return np.asarray(np.where(posterior.groups > 0, gain, -np.inf).argmax(axis=1))


def expected_scores(posterior: Posterior, temperature: float = 1.0) -> np.ndarray:
    """Expected GeoScore (N, G) of each group's centre over the whole posterior, up to a factor.

    The groups' log probabilities are divided by `temperature` first.
    """
    groups = posterior.groups
    weights = groups if temperature == 1 else groups ** (1 / temperature)
    return np.asarray(weights @ posterior.hierarchy.group_geoscores)


def stated_radii_km(
    posterior: Posterior, cities: np.ndarray, settings: RankingSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The stated radii (N,) in km about the cities (N,), by position.

    The narrower holds half the photos' true points, or `radius_share` of the posterior if that is
    set, the wider 90 %. All are NaN where the settings state none.
    """
    calibration = settings.calibration
    if calibration is not None:
        half, most = credible_radius_km(posterior, cities, HALF_SHARE, WIDE_SHARE)
        return calibration.radii_of(half, most)
    if settings.radius_share:
        radius, wide = credible_radius_km(posterior, cities, settings.radius_share, WIDE_SHARE)
        return radius, wide
    return np.full(len(cities), np.nan), np.full(len(cities), np.nan)


def credible_radius_km(posterior: Posterior, cities: np.ndarray, *shares: float) -> np.ndarray:
    """Radii (S, N) in km about the cities (N,), by position, that hold S shares of each posterior.

    For a calibrated posterior a photo's true place is inside with this probability. NaN where a
    group of a single city holds it: the spread of photos about that city is unknown.
    """
    h = posterior.hierarchy
    km = group_km(posterior, h.lat[cities], h.lon[cities])
    radius = quantile_km(km, posterior.groups, *shares)
    return np.where(radius < _SAME_PLACE_KM, np.nan, radius)


def quantile_km(km: np.ndarray, masses: np.ndarray, *shares: float) -> np.ndarray:
    """The distances (S, N) that hold S shares of the masses (N, M), at `km` (N, M)."""
    nearest = np.argsort(km, axis=1)
    mass = np.cumsum(np.take_along_axis(masses, nearest, axis=1), axis=1)
    wanted = [(share - _ROUNDING) * mass[:, -1:] for share in shares]
    enough = np.stack([np.argmax(mass >= least, axis=1) for least in wanted], axis=1)
    last = np.take_along_axis(nearest, enough, axis=1)
    return np.asarray(np.take_along_axis(km, last, axis=1).T)


def mass_within(posterior: Posterior, lat: np.ndarray, lon: np.ndarray, km: float) -> np.ndarray:
    """Share (N,) of each posterior within `km` of a point (N,); NaN for a NaN point.

    One posterior may serve all points.
    """
    distances = group_km(posterior, lat, lon)
    mass: np.ndarray = (posterior.groups * (distances <= km)).sum(axis=1)
    return np.where(np.isnan(lat) | np.isnan(lon), np.nan, mass)


def group_km(posterior: Posterior, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Root mean square distance (N, G) of points (N,) from each group's cities; NaN without any.

    The mean of |p - x|² over unit vectors x is 2 - 2 p · mean(x).
    """
    h, allowed = posterior.hierarchy, posterior.allowed
    means = h.group_means if allowed.all() else h.means_of(allowed)
    squared = 2 - 2 * (unit_vectors(lat, lon) @ means.T)
    return chord_to_km(np.sqrt(np.maximum(squared, 0)))
