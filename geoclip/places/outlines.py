"""Country outlines: the country or territory in which a point lies.

This module imports geopandas; import it where it is needed.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer_tables import default_folder
from geoclip.places.nearest import CountryPoints
from geoclip.places.sphere import wrap_longitude

COAST_DEGREES = 0.2  # 12 nautical miles of latitude, the breadth of the territorial sea
COAST_KM = 100.0
# Natural Earth's borders are off by up to 2 km. Checked on 200,902 smaller places of GeoNames:
# within 1 km the nearest city's country is right for most, beyond 1.5 km for fewer.
CITY_KM = 1.0


class Outlines:
    """Polygons of countries; `frame` has the columns country_code and geometry, in WGS 84.

    >>> Outlines.default().country_of([45.75, 0.0], [4.85, -30.0]).tolist()
    ['FR', '']
    """

    def __init__(self, frame: gpd.GeoDataFrame) -> None:
        self.frame = frame

    @classmethod
    def default(cls) -> Outlines:
        """The packaged outlines: Natural Earth's, simplified."""
        return cls.read(default_folder() / "outlines.parquet")

    @classmethod
    def read(cls, path: str | Path) -> Outlines:
        """Outlines from a GeoParquet file (or any file geopandas reads) with country_code."""
        try:
            parquet = Path(path).suffix == ".parquet"
            frame = gpd.read_parquet(path) if parquet else gpd.read_file(path)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise GeoclipError(
                f"{path}: the outlines cannot be read ({reason}); correct or replace the file."
            ) from error
        if "country_code" not in frame.columns:
            raise GeoclipError(
                f"{path}: the column 'country_code' is missing; add it, with two-letter codes."
            )
        if frame.crs is not None and frame.crs != "EPSG:4326":
            frame = frame.to_crs("EPSG:4326")
        return cls(frame[["country_code", "geometry"]])

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"Outlines({len(self)} countries, {len(self._parts):,} polygons)"

    def country_of(
        self,
        lat: ArrayLike,
        lon: ArrayLike,
        cities: CountryPoints | None = None,
        max_km: float = COAST_KM,
    ) -> NDArray[np.object_]:
        """Country codes of points, in the broadcast shape of `lat` and `lon` (a str for scalars).

        A point has the country of the nearest of `cities` (see `Gazetteer.country_points`) within 1
        km, else that of its polygon. Coasts are simplified, so a point outside all polygons gets
        the nearest one within 0.2 degrees, then the nearest of `cities` within `max_km`. A point at
        sea and one without coordinates (NaN) get "".
        """
        phi, lam = np.broadcast_arrays(np.asarray(lat, np.float64), np.asarray(lon, np.float64))
        codes = np.full(phi.size, "", dtype=object)
        known = np.flatnonzero(np.isfinite(phi.ravel()) & np.isfinite(lam.ravel()))
        flat_lat, flat_lon = phi.ravel()[known], wrap_longitude(lam.ravel()[known])
        found = self._inside(flat_lat, flat_lon)
        if cities is not None and len(known):
            in_city = cities.country_of(flat_lat, flat_lon, CITY_KM)
            found = np.where(in_city == "", found, in_city)
        left = np.flatnonzero(found == "")
        found[left] = self._beside(flat_lat[left], flat_lon[left])
        left = np.flatnonzero(found == "")
        if cities is not None and len(left):
            found[left] = cities.country_of(flat_lat[left], flat_lon[left], max_km)
        codes[known] = found
        return codes.reshape(phi.shape)[()]

    @cached_property
    def _parts(self) -> pd.DataFrame:
        """Single polygons, prepared: each has a small box; a whole country's may span the globe."""
        parts = self.frame.explode(index_parts=False, ignore_index=True)
        shapely.prepare(parts.geometry.to_numpy())
        return parts

    def _inside(self, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.object_]:
        """Codes of the polygons that hold the points; on a shared border the first."""
        # The tree holds the points: shapely then tests each polygon once, prepared.
        points = shapely.STRtree(shapely.points(lon, lat))
        part, point = points.query(self._parts.geometry.to_numpy(), predicate="intersects")
        return self._codes(len(lat), part[::-1], point[::-1])

    def _beside(self, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.object_]:
        """Codes of the nearest polygons within the coastal tolerance."""
        polygons = self._parts.geometry.to_numpy()
        points = shapely.points(lon, lat)
        part, point = shapely.STRtree(points).query(
            polygons, predicate="dwithin", distance=COAST_DEGREES
        )
        away = shapely.distance(polygons[part], points[point])
        farthest_first = np.lexsort([part, away])[::-1]  # the nearest is written last and stays
        part, point = part[farthest_first], point[farthest_first]
        return self._codes(len(lat), part, point)

    def _codes(
        self, n_points: int, part: NDArray[np.int64], point: NDArray[np.int64]
    ) -> NDArray[np.object_]:
        """Codes (n_points,) from pairs of polygon and point; later pairs override."""
        codes = np.full(n_points, "", dtype=object)
        codes[point] = self._parts["country_code"].to_numpy(dtype=object)[part]
        return codes
