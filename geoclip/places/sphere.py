"""Geometry on a sphere: distances, unit vectors, longitudes, means.

Latitudes and longitudes are degrees, distances are kilometres on a sphere of radius 6371.0 km.
Every function takes scalars or broadcastable arrays, and returns numpy arrays or scalars.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_RADIUS_KM = 6371.0
FARTHEST_KM = float(np.pi * EARTH_RADIUS_KM)
"""The distance between antipodes."""

Floats = NDArray[np.float64]


def great_circle_km(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> Floats:
    """Great-circle distance in km by the haversine formula; the inputs broadcast.

    hav(d/R) = hav(Δlat) + cos(lat1) cos(lat2) hav(Δlon), with hav(x) = sin²(x/2).

    >>> great_circle_km(48.85, 2.35, [45.75, 48.85], [4.85, 2.35]).round().tolist()  # from Paris
    [393.0, 0.0]
    """
    phi1, phi2 = np.radians(lat1), np.radians(lat2)
    half_dlat = (phi2 - phi1) / 2
    half_dlon = (np.radians(lon2) - np.radians(lon1)) / 2
    hav = np.sin(half_dlat) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin(half_dlon) ** 2
    # Rounding can lift the haversine of antipodes slightly above 1.
    km: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(hav, 0.0, 1.0)))
    return km


def unit_vectors(lat: ArrayLike, lon: ArrayLike) -> Floats:
    """Points of the unit sphere, (..., 3): x to lon 0, y to lon 90, z to the north pole."""
    phi, lam = np.broadcast_arrays(np.radians(lat), np.radians(lon))
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def to_lat_lon(xyz: ArrayLike) -> tuple[Floats, Floats]:
    """Latitude and longitude in [-180, 180) of vectors (..., 3) of any non-zero length."""
    x, y, z = np.moveaxis(np.asarray(xyz, dtype=np.float64), -1, 0)
    return np.degrees(np.arctan2(z, np.hypot(x, y))), wrap_longitude(np.degrees(np.arctan2(y, x)))


def wrap_longitude(lon: ArrayLike) -> Floats:
    """The same meridians in [-180, 180).

    >>> wrap_longitude([181.0, -180.0, 540.0]).tolist()
    [-179.0, -180.0, -180.0]
    """
    wrapped = (np.asarray(lon, dtype=np.float64) + 180.0) % 360.0 - 180.0
    # A tiny negative sum rounds up to 360 under `%`, which would give 180 itself.
    return np.where(wrapped >= 180.0, -180.0, wrapped)[()]


def spherical_mean(
    lat: ArrayLike, lon: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """Latitude and longitude of the mean direction of N points, weighted when weights are given.

    The sum of the unit vectors, projected back to the sphere. Where it vanishes (antipodes, weights
    that are all zero) no direction is best and the first point is returned. Raises ValueError
    without points.

    >>> lat, lon = spherical_mean([0.0, 0.0], [170.0, -150.0])  # across the date line
    >>> round(lat), round(lon)
    (0, -170)
    """
    points = unit_vectors(np.atleast_1d(lat), np.atleast_1d(lon))
    if len(points) == 0:
        raise ValueError("the mean of no points is not defined; give at least one")
    shares = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = shares @ points
    if np.linalg.norm(total) <= 1e-12 * max(np.abs(shares).sum(), 1.0):
        total = points[0]
    mean_lat, mean_lon = to_lat_lon(total)
    return float(mean_lat), float(mean_lon)


def chord_to_km(chord: ArrayLike) -> Floats:
    """Great-circle km of a straight-line distance (0 to 2) between points of the unit sphere."""
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(np.asarray(chord) / 2, 0.0, 1.0))


def cosine_to_km(cosine: ArrayLike) -> Floats:
    """Great-circle km between unit vectors from their scalar product, to about 0.1 m.

    >>> cosine_to_km([1.0, 0.0]).round().tolist()
    [0.0, 10008.0]
    """
    km: Floats = EARTH_RADIUS_KM * np.arccos(np.clip(cosine, -1.0, 1.0))
    return km


def degree_blocks(lat: ArrayLike, lon: ArrayLike) -> list[list[float]]:
    """The south-western corner of each point's 1° block; NaN for a NaN point.

    >>> degree_blocks([48.9, -0.5], [2.4, 181.5])
    [[48.0, 2.0], [-1.0, -179.0]]
    """
    degrees = [np.asarray(lat, dtype=float), wrap_longitude(np.asarray(lon, dtype=float))]
    blocks: list[list[float]] = (np.floor(np.stack(degrees, axis=1)) + 0.0).tolist()
    return blocks  # without -0.0, which would name another block
