"""The nearest of many points on the sphere, and the country of the nearest one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geoclip.errors import GeoclipError
from geoclip.places.sphere import chord_to_km, unit_vectors


class PointTree:
    """Finds the nearest of M points on the sphere.

    It is a KD-tree of unit vectors. The straight-line neighbour of a unit vector is its
    great-circle neighbour, so neither the date line nor a pole is special.

    >>> lyon_and_suva = PointTree([45.75, -18.14], [4.85, 178.44])
    >>> positions, km = lyon_and_suva.nearest([46.2, -18.14], [6.15, -181.56])
    >>> positions.tolist(), km.round().tolist()
    ([0, 1], [112.0, 0.0])
    """

    def __init__(self, lat: ArrayLike, lon: ArrayLike) -> None:
        from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

        self._tree = cKDTree(unit_vectors(lat, lon))

    def nearest(
        self, lat: ArrayLike, lon: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions of the nearest points and their great-circle distances in km.

        Shapes are those of `lat` and `lon` broadcast. Raises GeoclipError for an invalid latitude
        or longitude.
        """
        phi, lam = np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)
        if not (np.isfinite(phi).all() and np.isfinite(lam).all() and (np.abs(phi) <= 90).all()):
            raise GeoclipError(
                "nearest needs latitudes from -90 to 90 and finite longitudes; leave out the "
                "points without coordinates."
            )
        chord, position = self._tree.query(unit_vectors(phi, lam), workers=-1)
        return position, chord_to_km(chord)


@dataclass(frozen=True)
class CountryPoints:
    """Points of known country: `codes` (M,) are the country codes of the points in `tree`."""

    tree: PointTree
    codes: NDArray[np.object_]

    def country_of(
        self, lat: NDArray[np.float64], lon: NDArray[np.float64], max_km: float
    ) -> NDArray[np.object_]:
        """Country codes (N,) of the nearest points within `max_km`, "" for none.

        >>> points = CountryPoints(PointTree([45.75], [4.85]), np.array(["FR"], dtype=object))
        >>> points.country_of(np.array([46.2, 0.0]), np.array([6.15, -30.0]), 200.0).tolist()
        ['FR', '']
        """
        positions, km = self.tree.nearest(lat, lon)
        return np.where(km <= max_km, self.codes[positions], "").astype(object)
