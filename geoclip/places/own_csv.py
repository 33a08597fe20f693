"""Reader of a user's own CSV of places; it builds the parents from names."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd

from geoclip.places import gazetteer_checks as checks
from geoclip.places.country_names import country_codes
from geoclip.places.gazetteer_tables import (
    Tables,
    default_folder,
    join_levels,
    packaged_countries,
    read_folder,
    representative_points,
)
from geoclip.places.nearest import CountryPoints, PointTree
from geoclip.support.tables import read_text_table, require_columns

OPTIONAL = ("place_id", "region", "country", "country_code", "population")


def read_own_csv(path: Path) -> Tables:
    """Places of a CSV with name, lat, lon and optionally place_id, region, country, country_code,
    population; no alternate names.

    The country comes from the code, else from the name (see `country_names`), else from the
    coordinates by the packaged outlines and cities. A region gets the id of the packaged region of
    its name in that country, or a new one. A place without an id gets "row" and its row number.
    """
    table = _read_rows(path)
    table["country_code"] = _country_codes(table, path)
    table["region_id"] = _region_ids(table)
    table["parent_id"] = table["region_id"].where(table["region_id"] != "", table["country_code"])
    regions = _regions(table)
    countries = packaged_countries()
    countries = countries[countries["place_id"].isin(table["country_code"])]
    above = pd.concat([countries["place_id"], regions["place_id"]])
    checks.check_own_ids(table["place_id"], above, "country or region", path)
    return join_levels(countries, regions, table.assign(level=2)), None


def folded(names: pd.Series) -> pd.Series:
    """Names in comparable form: without marks, case and surrounding spaces."""
    return names.map(
        lambda name: "".join(
            char
            for char in unicodedata.normalize("NFKD", name.strip()).casefold()
            if not unicodedata.combining(char)
        )
    )


def _read_rows(path: Path) -> pd.DataFrame:
    table = read_text_table(path)
    require_columns(table, ["name", "lat", "lon"], path)
    checks.check_not_empty(table, path)
    table = table.assign(**{column: "" for column in OPTIONAL if column not in table.columns})
    numbered = "row" + table.index.to_series().astype(str)
    table["place_id"] = table["place_id"].where(table["place_id"].str.strip() != "", numbered)
    table = checks.checked_places(table, path)
    return table.assign(ascii_name=_ascii(table["name"]))


def _ascii(names: pd.Series) -> pd.Series:
    """Names in ASCII if dropping marks is enough, else unchanged."""
    plain = names.map(
        lambda name: "".join(
            char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char)
        )
    )
    return plain.where(plain.map(str.isascii), names)


def _country_codes(table: pd.DataFrame, path: Path) -> pd.Series:
    """A packaged code for every row: given, by country name, or by coordinates."""
    codes = country_codes(table["country_code"], path)
    names = table["country"].where(codes == "", "")
    codes = codes.where(codes != "", country_codes(names, path))
    known = packaged_countries()["place_id"]
    checks.check_parents(codes, known, "country", path, "geoclip's countries.csv")
    blank = codes == ""
    if blank.any():
        codes[blank] = _located_codes(table[blank])
    return codes


def _located_codes(table: pd.DataFrame) -> list[str]:
    from geoclip.places.outlines import Outlines  # noqa: PLC0415  (geopandas is slow to import)

    cities = _packaged_level(2)
    tree = PointTree(cities["lat"], cities["lon"])
    points = CountryPoints(tree, cities["country_code"].to_numpy(dtype=object))
    lat, lon = table["lat"].to_numpy(), table["lon"].to_numpy()
    return list(Outlines.default().country_of(lat, lon, points, max_km=float("inf")))


def _packaged_level(level: int) -> pd.DataFrame:
    places, _ = read_folder(default_folder())
    return places[places["level"] == level]


def _region_ids(table: pd.DataFrame) -> pd.Series:
    """Ids of the packaged regions of these names, else new ids from country and name."""
    regions = table["region"].str.strip()
    if (regions == "").all():
        return regions
    packaged = _packaged_level(1)
    by_name = {
        (code, name): region_id
        for names in (packaged["ascii_name"], packaged["name"])
        for code, name, region_id in zip(
            packaged["country_code"], folded(names), packaged["place_id"], strict=True
        )
    }
    ids = [
        by_name.get((code, name), f"{code}.{name}") if name else ""
        for code, name in zip(table["country_code"], folded(regions), strict=True)
    ]
    return pd.Series(ids, index=table.index, dtype=object)


def _regions(table: pd.DataFrame) -> pd.DataFrame:
    """One row per region, named as in its first row."""
    within = table[table["region_id"] != ""]
    first = within.drop_duplicates("region_id").set_index("region_id")
    points = representative_points(within, "region_id")
    regions = points.assign(
        name=first["region"].str.strip(), country_code=first["country_code"], level=1
    )
    regions = regions.reset_index(names="place_id")
    return regions.assign(ascii_name=_ascii(regions["name"]), parent_id=regions["country_code"])
