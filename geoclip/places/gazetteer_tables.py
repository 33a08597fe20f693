"""Gazetteer tables: the reader of our own layout, and functions that all readers share.

Every reader returns one table of places, ordered countries, regions, cities, with the columns
place_id, name, ascii_name, level, parent_id (empty for a country), country_code, sovereign,
continent, lat, lon, population; and a table of alternate names (place_id, name) or None.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.places import gazetteer_checks as checks
from geoclip.places.sphere import great_circle_km, spherical_mean
from geoclip.support.tables import first_line, read_text_table, refuse_rows, require_columns

Tables = tuple[pd.DataFrame, pd.DataFrame | None]
TABLES = ("countries.csv", "regions.csv", "cities.csv")
"""Tables of our own layout, by level."""
ALTERNATE_NAMES = "alternate_names.parquet"


def default_folder() -> Path:
    """The folder of the packaged gazetteer: inside an installed wheel, else beside the package."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "_gazetteers"
    return inside if inside.is_dir() else here.parent / "gazetteers"


def read_folder(folder: Path) -> Tables:
    """Our own layout: countries.csv, regions.csv, cities.csv and, if there, alternate names."""
    files = [folder / name for name in TABLES]
    countries = read_countries(files[0])
    regions = _read_level(files[1], level=1, may_be_empty=True)
    cities = _read_level(files[2], level=2)
    _check_ids_across(folder, countries, regions, cities)
    _check_parents(folder, countries, regions, cities)
    regions["parent_id"] = regions["country_code"]
    cities["parent_id"] = cities["region_id"].where(
        cities["region_id"] != "", cities["country_code"]
    )
    return join_levels(countries, regions, cities), read_alternate_names(folder / ALTERNATE_NAMES)


def read_countries(path: Path) -> pd.DataFrame:
    """Countries and territories, one per row, checked; also columns unused by captions."""
    table = _read_level(path, level=0)
    require_columns(table, ["continent", "sovereign"], path)
    ids = table["place_id"]
    checks.check_parents(table["sovereign"], ids, "sovereign", path, path.name)
    return table.assign(parent_id="", country_code=ids)


@lru_cache(maxsize=1)
def packaged_countries() -> pd.DataFrame:
    """The countries table of the packaged gazetteer, read once; do not change it."""
    return read_countries(default_folder() / "countries.csv")


def join_levels(
    countries: pd.DataFrame, regions: pd.DataFrame, cities: pd.DataFrame
) -> pd.DataFrame:
    """One table from three; each place takes its country's sovereign and continent."""
    columns = ["place_id", "name", "ascii_name", "level", "parent_id", "country_code"]
    columns += ["lat", "lon", "population"]
    levels = (frame.reindex(columns=columns) for frame in (countries, regions, cities))
    places = pd.concat(levels, ignore_index=True)
    by_code = countries.set_index("place_id")[["sovereign", "continent"]]
    for column in by_code:
        places[column] = places["country_code"].map(by_code[column])
    return places


def representative_points(cities: pd.DataFrame, by: str) -> pd.DataFrame:
    """lat, lon and population of each group of cities, indexed by the column `by`.

    The point is the population-weighted spherical mean of the group's cities, moved to the nearest
    of those cities so that it is on land. The population is the sum over the cities.
    """
    groups = cities.groupby(by, sort=True)
    rows = {key: _representative(group) for key, group in groups}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["lat", "lon", "population"])
    table.index = table.index.astype(cities[by].dtype).rename(by)  # numbers if empty
    return table.astype({"lat": "float64", "lon": "float64", "population": "int64"})


def _representative(group: pd.DataFrame) -> tuple[float, float, int]:
    lat, lon = group["lat"].to_numpy(), group["lon"].to_numpy()
    population = group["population"].to_numpy()
    weights = np.maximum(population, 1)  # some cities are listed without a population
    middle = spherical_mean(lat, lon, weights)
    nearest = int(np.argmin(great_circle_km(*middle, lat, lon)))
    return float(lat[nearest]), float(lon[nearest]), int(population.sum())


def read_alternate_names(path: Path) -> pd.DataFrame | None:
    """Columns place_id and name of a Parquet file; None where there is no file."""
    if not path.exists():
        return None
    try:
        return pd.read_parquet(path, columns=["place_id", "name"])
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise GeoclipError(
            f"{path} cannot be read ({first_line(error)}): replace or remove it."
        ) from error


def _read_level(path: Path, level: int, may_be_empty: bool = False) -> pd.DataFrame:
    checks.check_exists(path)
    table = read_text_table(path)
    parents = {0: [], 1: ["country_code"], 2: ["country_code", "region_id"]}[level]
    require_columns(table, ["place_id", "name", "lat", "lon", "population", *parents], path)
    if not may_be_empty:
        checks.check_not_empty(table, path)
    table = checks.checked_places(table, path)
    ascii_name = table["ascii_name"] if "ascii_name" in table else table["name"]
    return table.assign(level=level, ascii_name=ascii_name)


def _check_parents(
    folder: Path, countries: pd.DataFrame, regions: pd.DataFrame, cities: pd.DataFrame
) -> None:
    codes = countries["place_id"]
    for table, name in ((regions, "regions.csv"), (cities, "cities.csv")):
        path = folder / name
        checks.check_filled(table, "country_code", path)
        checks.check_parents(table["country_code"], codes, "country", path, "countries.csv")
    path = folder / "cities.csv"
    checks.check_parents(cities["region_id"], regions["place_id"], "region", path, "regions.csv")
    country_of_region = regions.set_index("place_id")["country_code"]
    expected = cities["region_id"].map(country_of_region).fillna(cities["country_code"])
    what = "the region lies in another country than the country_code says"
    refuse_rows(path, expected != cities["country_code"], what, "correct one of them")


def _check_ids_across(
    folder: Path, countries: pd.DataFrame, regions: pd.DataFrame, cities: pd.DataFrame
) -> None:
    above = pd.concat([countries["place_id"], regions["place_id"]])
    ids = regions["place_id"], cities["place_id"]
    checks.check_own_ids(ids[0], countries["place_id"], "country", folder / "regions.csv")
    checks.check_own_ids(ids[1], above, "country or region", folder / "cities.csv")
