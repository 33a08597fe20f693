"""The gazetteer place of a geotagged photo."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.gazetteer import Gazetteer
from geoclip.sphere import unit_vectors


def place_rows(photos: pd.DataFrame, gazetteer: Gazetteer) -> NDArray[np.int64]:
    """Gazetteer rows (N,) of the places of photos (columns lat, lon, country_code, photo_id).

    The nearest city of the photo's country: the given code, else the outline that holds the
    point. A photo without coordinates has its country's row. Raises GeoclipError for a country
    code that the gazetteer does not know.
    """
    lat, lon = photos["lat"].to_numpy(float), photos["lon"].to_numpy(float)
    codes = _country_codes(photos, lat, lon, gazetteer)
    located = ~np.isnan(lat)
    rows = np.empty(len(photos), dtype=np.int64)
    rows[~located] = _country_rows(photos[~located], codes[~located], gazetteer)
    rows[located], _ = gazetteer.nearest_rows(lat[located], lon[located])
    # Near a border the nearest city may lie across it.
    across = np.flatnonzero(located & (codes != "") & (gazetteer.country_codes[rows] != codes))
    for code in np.unique(codes[across].astype(str)):
        photo = across[codes[across] == code]
        cities = _cities_of(code, gazetteer)
        if len(cities):
            away = unit_vectors(lat[photo], lon[photo]) @ _vectors(cities, gazetteer).T
            rows[photo] = cities[away.argmax(axis=1)]
    return rows


def _country_codes(
    photos: pd.DataFrame, lat: np.ndarray, lon: np.ndarray, gazetteer: Gazetteer
) -> NDArray[np.object_]:
    codes = photos["country_code"].to_numpy(dtype=object, copy=True)
    unnamed = np.flatnonzero((codes == "") & ~np.isnan(lat))
    if len(unnamed):
        from geoclip.outlines import Outlines  # noqa: PLC0415 (geopandas)

        codes[unnamed] = Outlines.default().country_of(lat[unnamed], lon[unnamed], gazetteer)
    return codes


def _country_rows(
    photos: pd.DataFrame, codes: NDArray[np.object_], gazetteer: Gazetteer
) -> NDArray[np.int64]:
    for photo, code in zip(photos["photo_id"], codes, strict=True):
        if code not in gazetteer:
            raise GeoclipError(
                f"Photo {photo} has country_code {code!r}, which the gazetteer does not list; "
                "use the ISO 3166 two-letter code or drop the row."
            )
    return gazetteer.rows(codes)


def _cities_of(code: str, gazetteer: Gazetteer) -> NDArray[np.int64]:
    cities = gazetteer.level_rows("city")
    return cities[gazetteer.country_codes[cities] == code]


def _vectors(rows: NDArray[np.int64], gazetteer: Gazetteer) -> NDArray[np.float64]:
    return unit_vectors(gazetteer.lat[rows], gazetteer.lon[rows])
