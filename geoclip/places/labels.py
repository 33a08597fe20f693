"""The gazetteer place of a geotagged photo."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import unit_vectors


def place_rows(photos: pd.DataFrame, gazetteer: Gazetteer) -> NDArray[np.int64]:
    """Gazetteer rows (N,) of the places of photos (columns lat, lon, country_code, photo_id).

    A photo with a value in the optional column `place_id` has that place. Others have the nearest
    city of their country. The country is the given code, else the country of the point (see
    `Outlines.country_of`). A point inside the outline of a territory keeps the territory's nearest
    city: a photo of Réunion labelled French is one of Réunion. A photo without coordinates, or in a
    country without a city, has its country's row. A photo at sea has the nearest city of all.
    Raises GeoclipError for a given code or place_id that the gazetteer lacks, and for a photo
    without a place_id where the gazetteer has no coordinates.
    """
    ids = photos["place_id"] if "place_id" in photos else pd.Series("", index=photos.index)
    named = (ids != "").to_numpy(dtype=bool)
    if not named.any():
        return places_and_abroad(photos, gazetteer)[0]
    rows = np.empty(len(photos), dtype=np.int64)
    rows[named] = gazetteer.rows(ids[named])
    if not named.all():
        rows[~named] = places_and_abroad(photos[~named], gazetteer)[0]
    return rows


def places_and_abroad(
    photos: pd.DataFrame, gazetteer: Gazetteer
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """As `place_rows`, and a mask (N,) of places outside their photos' countries.

    A place is outside where the gazetteer lacks the photo's country or its cities, and where the
    photo is in no country: at sea, more than 100 km from any city.
    """
    gazetteer.check_has_positions()
    _check_codes(photos, gazetteer)
    lat, lon = photos["lat"].to_numpy(float), photos["lon"].to_numpy(float)
    codes = _country_codes(photos, lat, lon, gazetteer)
    located = ~np.isnan(lat)
    rows = np.empty(len(photos), dtype=np.int64)
    rows[~located] = gazetteer.rows(codes[~located])
    rows[located], _ = gazetteer.nearest_rows(lat[located], lon[located])
    # Near a border the nearest city may lie across it.
    abroad = located & (codes != "") & (gazetteer.country_codes[rows] != codes)
    abroad &= ~_in_territory(
        abroad & (gazetteer.sovereigns[rows] == codes), rows, lat, lon, gazetteer
    )
    across = np.flatnonzero(abroad)
    for code in np.unique(codes[across].astype(str)):
        photo = across[codes[across] == code]
        cities = _cities_of(code, gazetteer)
        if len(cities):
            cosine = unit_vectors(lat[photo], lon[photo]) @ _vectors(cities, gazetteer).T
            rows[photo] = cities[cosine.argmax(axis=1)]
        elif code in gazetteer:
            rows[photo] = gazetteer.rows([code])
    of_place = gazetteer.country_codes[rows], gazetteer.sovereigns[rows]
    return rows, np.asarray((of_place[0] != codes) & (of_place[1] != codes))


def _country_codes(
    photos: pd.DataFrame, lat: np.ndarray, lon: np.ndarray, gazetteer: Gazetteer
) -> NDArray[np.object_]:
    codes: NDArray[np.object_] = photos["country_code"].to_numpy(dtype=object, copy=True)
    unnamed = np.flatnonzero((codes == "") & ~np.isnan(lat))
    if len(unnamed):
        codes[unnamed] = _outlined(lat[unnamed], lon[unnamed], gazetteer)
    return codes


def _in_territory(
    candidates: NDArray[np.bool_],
    rows: NDArray[np.int64],
    lat: np.ndarray,
    lon: np.ndarray,
    gazetteer: Gazetteer,
) -> NDArray[np.bool_]:
    """Mask (N,) of candidates inside the outline of the territory of their nearest city."""
    inside = np.zeros(len(rows), dtype=bool)
    photo = np.flatnonzero(candidates)
    if len(photo):
        outlined = _outlined(lat[photo], lon[photo], gazetteer)
        inside[photo] = outlined == gazetteer.country_codes[rows[photo]]
    return inside


def _outlined(lat: np.ndarray, lon: np.ndarray, gazetteer: Gazetteer) -> NDArray[np.object_]:
    from geoclip.places.outlines import Outlines  # noqa: PLC0415 (geopandas)

    return Outlines.default().country_of(lat, lon, gazetteer.country_points())


def _check_codes(photos: pd.DataFrame, gazetteer: Gazetteer) -> None:
    countries = gazetteer.ids[gazetteer.level_rows("country")]
    needed = (photos["country_code"] != "") | photos["lat"].isna()
    unknown = photos[needed & ~photos["country_code"].isin(countries)]
    if len(unknown):
        photo, code = unknown[["photo_id", "country_code"]].iloc[0]
        raise GeoclipError(
            f"photo {photo} has the country_code {code!r}, which the gazetteer does not list "
            f"(photos with such codes: {len(unknown):,}); use the ISO 3166 two-letter code or "
            "drop the row."
        )


def _cities_of(code: str, gazetteer: Gazetteer) -> NDArray[np.int64]:
    cities = gazetteer.level_rows("city")
    inside: NDArray[np.bool_] = gazetteer.country_codes[cities] == code
    return cities[inside]


def _vectors(rows: NDArray[np.int64], gazetteer: Gazetteer) -> NDArray[np.float64]:
    return unit_vectors(gazetteer.lat[rows], gazetteer.lon[rows])
