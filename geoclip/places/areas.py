"""Areas on the globe: polygons of shapely, geopandas, GeoJSON or a file of them.

This module imports geopandas; import it where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geoclip.errors import GeoclipError


def read_area(area: Any) -> BaseGeometry:
    """One geometry with an area, in degrees (WGS 84), from a user's polygon.

    `area` is a shapely geometry or GeoJSON (a mapping, or an object with `__geo_interface__`) in
    degrees, a GeoSeries or GeoDataFrame, or the path of a file that geopandas reads. An area with a
    coordinate system is projected to WGS 84. Raises GeoclipError for anything else, for an
    unreadable file, and where there is no area or a coordinate is out of range.

    >>> read_area({"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 1], [0, 0]]]}).area
    1.0
    """
    name = str(area) if isinstance(area, str | Path) else f"the {type(area).__name__}"
    shapes = _shapes(area, name)
    if shapes.crs is not None and shapes.crs != "EPSG:4326":
        shapes = shapes.to_crs("EPSG:4326")
    whole = shapely.union_all(shapely.make_valid(shapes.dropna().to_numpy()))
    if whole.area == 0:
        raise GeoclipError(f"{name} has no area: give a polygon, or several.")
    west, south, east, north = whole.bounds
    if south < -90 or north > 90 or west < -360 or east > 360:
        raise GeoclipError(
            f"{name} reaches from {west:g}, {south:g} to {east:g}, {north:g}, which are not "
            f"degrees of longitude and latitude: project it to EPSG:4326."
        )
    return whole


def _shapes(area: Any, name: str) -> gpd.GeoSeries:
    if isinstance(area, str | Path):
        return _read_file(Path(area))
    if isinstance(area, gpd.GeoDataFrame | gpd.GeoSeries):
        return area.geometry
    if isinstance(area, BaseGeometry):
        return gpd.GeoSeries([area])
    geojson = getattr(area, "__geo_interface__", area)
    try:
        if not isinstance(geojson, Mapping):
            raise TypeError("it is no geometry")
        found = geojson.get("features", [geojson])
        return gpd.GeoSeries([shapely.geometry.shape(one.get("geometry", one)) for one in found])
    except Exception as problem:  # shapely raises many kinds
        raise GeoclipError(
            f"{name} is no polygon ({problem}): give a shapely geometry, a GeoDataFrame, GeoJSON "
            "or the path of a file."
        ) from None


def _read_file(path: Path) -> gpd.GeoSeries:
    if not path.is_file():
        raise GeoclipError(f"{path} does not exist: check the path.")
    try:
        parquet = path.suffix.lower() in (".parquet", ".geoparquet")
        return (gpd.read_parquet(path) if parquet else gpd.read_file(path)).geometry
    except Exception as problem:  # every reader has its own kinds of errors
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")
        raise GeoclipError(
            f"{path} holds no readable polygons ({reason}): give GeoJSON, a GeoPackage, a "
            f"shapefile or GeoParquet."
        ) from None


def in_area(
    area: BaseGeometry, lat: NDArray[np.float64], lon: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which points (N,) in degrees lie in an area or on its edge.

    Its longitudes may pass ±180, as in a polygon across the date line.

    >>> across = shapely.box(170, -20, 190, -10)
    >>> in_area(across, np.array([-15.0, -15.0]), np.array([-175.0, 0.0])).tolist()
    [True, False]
    """
    shapely.prepare(area)
    inside = np.zeros(len(lat), dtype=bool)
    for turn in (-360.0, 0.0, 360.0):
        inside |= shapely.intersects_xy(area, lon + turn, lat)
    return inside
