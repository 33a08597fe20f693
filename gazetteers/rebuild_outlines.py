"""Country outlines: Natural Earth's admin-0 polygons, given our codes and simplified."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from rebuild_names import ANCHORS

from geoclip.places.sphere import great_circle_km

TOLERANCE_DEGREES = 0.02
DECIMALS = 4  # about 10 m

# Polygons without a code in Natural Earth, by its own three letters. Polygons that belong to no
# entry of the gazetteer (reefs, no man's land) are left out.
CODES = {
    "CYN": "CY", "ESB": "CY", "WSB": "CY", "SOL": "SO", "KAB": "KZ", "USG": "CU", "CLP": "FR",
}  # fmt: skip

# Islands whose nearest listed city is in another territory of the same country.
ISLANDS = {"SJ": [(71.0, -8.4)]}  # Jan Mayen


def build_outlines(shapes: Path, countries: pd.DataFrame, cities: pd.DataFrame) -> gpd.GeoDataFrame:
    """One row per country code: country_code and its (multi)polygon; neighbours share borders."""
    parts = coded_parts(shapes, countries, cities)
    parts["geometry"] = shapely.coverage_simplify(parts.geometry.to_numpy(), TOLERANCE_DEGREES)
    whole = parts.dissolve("country_code").reset_index()
    whole["geometry"] = whole.geometry.set_precision(10.0**-DECIMALS)
    return whole[["country_code", "geometry"]]


def coded_parts(shapes: Path, countries: pd.DataFrame, cities: pd.DataFrame) -> gpd.GeoDataFrame:
    """Natural Earth's polygons in full detail, each with the code of one of `countries`."""
    source = gpd.read_file(shapes, encoding="utf-8")
    known = set(countries["place_id"])
    source["country_code"] = source["ADM0_A3"].map(CODES).fillna(source["ISO_A2_EH"])
    source = source[source["country_code"].isin(known)][["country_code", "geometry"]]
    parts = source.explode(index_parts=False, ignore_index=True)
    parts["country_code"] = codes_of_parts(parts, countries, cities)
    return parts


def codes_of_parts(
    parts: gpd.GeoDataFrame, countries: pd.DataFrame, cities: pd.DataFrame
) -> np.ndarray:
    """Codes of polygons; territories drawn with their country get their own codes.

    A part gets the code, of its country or one of that country's undrawn territories, whose nearest
    city (or known island) is nearest.
    """
    codes = parts["country_code"].to_numpy(dtype=object).copy()
    undrawn = countries[~countries["place_id"].isin(codes)]
    for sovereign, territories in undrawn.groupby("sovereign")["place_id"]:
        marks = landmarks([sovereign, *territories], cities)
        for part in np.flatnonzero(codes == sovereign):
            point = parts.geometry.iloc[part].representative_point()
            away = great_circle_km(point.y, point.x, marks["lat"], marks["lon"])
            codes[part] = marks["country_code"].iloc[int(np.argmin(away))]
    return codes


def landmarks(codes: list[str], cities: pd.DataFrame) -> pd.DataFrame:
    """Cities of some codes; anchors and islands replace missing ones."""
    points = {code: [point] for code, point in ANCHORS.items()} | ISLANDS
    extra = [(code, *point) for code in codes for point in points.get(code, [])]
    columns = ["country_code", "lat", "lon"]
    listed = cities.loc[cities["country_code"].isin(codes), columns]
    added = pd.DataFrame(extra, columns=columns).astype({"lat": "float64", "lon": "float64"})
    return pd.concat([listed, added], ignore_index=True)
