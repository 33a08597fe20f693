"""Reader of a GeoNames dump: cities500.txt and the like with admin1CodesASCII.txt."""

from __future__ import annotations

import csv
import logging
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.places import gazetteer_checks as checks
from geoclip.places.gazetteer_tables import (
    Tables,
    join_levels,
    packaged_countries,
    representative_points,
)
from geoclip.support.tables import first_line, read_cells, refuse_duplicates

# The dump's 19 columns by position; unread ones have no name here.
COLUMNS = {
    0: "place_id", 1: "name", 2: "ascii_name", 4: "lat", 5: "lon", 6: "feature_class",
    7: "feature_code", 8: "country_code", 10: "admin1", 14: "population",
}  # fmt: skip
N_COLUMNS = 19
REGION_COLUMNS = {0: "place_id", 1: "name", 2: "ascii_name"}
FILES = ("cities500.txt", "cities1000.txt", "cities5000.txt", "cities15000.txt")
REGIONS_FILE = "admin1CodesASCII.txt"
NO_ANSWERS = {
    "PPLH": "historic", "PPLQ": "abandoned", "PPLW": "destroyed", "PPLX": "a section of another",
}  # fmt: skip
"""GeoNames' feature codes of places that are no answer for a photo of today."""

log = logging.getLogger(__name__)


def read_dump(path: Path, keep: Collection[str] = ()) -> Tables:
    """Places of a dump's file, or of a folder's most detailed cities file; no alternate names.

    The regions come from admin1CodesASCII.txt beside it, the countries from the packaged gazetteer;
    both need a city. A city whose admin-1 code has no name has no region. Cities of no country or
    of a former one are left out, and those with feature codes in `NO_ANSWERS` but not in `keep`;
    the log counts them. Raises GeoclipError for bad files and for other codes in `keep`.
    """
    unknown = set(keep) - set(NO_ANSWERS)
    if unknown:
        raise GeoclipError(f"{min(unknown)} is no code to keep: use {', '.join(NO_ANSWERS)}.")
    file = _cities_file(path)
    table = _read_cities(file, set(NO_ANSWERS) - set(keep))
    countries = packaged_countries()
    codes = countries["place_id"]
    names = _read_regions(file.parent / REGIONS_FILE)
    region_id = table["country_code"] + "." + table["admin1"]
    table["region_id"] = region_id.where(region_id.isin(names["place_id"]), "")
    regions = _regions_with_cities(table, names)
    table["parent_id"] = table["region_id"].where(table["region_id"] != "", table["country_code"])
    countries = countries[codes.isin(table["country_code"])]
    return join_levels(countries, regions, table.assign(level=2)), None


def _cities_file(path: Path) -> Path:
    if path.is_file():
        return path
    found = [path / name for name in FILES if (path / name).exists()]
    if not found:
        raise GeoclipError(
            f"{path}: the folder holds no gazetteer; it needs cities.csv (with countries.csv and "
            f"regions.csv) or one of GeoNames' {', '.join(FILES)}."
        )
    return found[0]


def _read_cities(path: Path, left_out: Collection[str]) -> pd.DataFrame:
    table = _read_tabs(path)
    if not table.empty and table.shape[1] != N_COLUMNS:
        raise GeoclipError(
            f"{path}: row 1 has {table.shape[1]} columns separated by tabs and a GeoNames dump has "
            f"{N_COLUMNS}; give the unpacked .txt file as GeoNames offers it."
        )
    checks.check_not_empty(table, path)
    table = table[list(COLUMNS)].set_axis(list(COLUMNS.values()), axis="columns")
    table = table[table["feature_class"].isin(["P", ""])]  # populated places
    checks.check_not_empty(table, path)
    table = _of_today(checks.checked_places(table, path), left_out, path)
    checks.check_not_empty(table, path)
    return table


def _of_today(table: pd.DataFrame, left_out: Collection[str], path: Path) -> pd.DataFrame:
    """The rows whose country and feature can be answers; the log counts the others."""
    code, feature = table["country_code"].str.strip(), table["feature_code"]
    unknown = ~code.isin(packaged_countries()["place_id"])
    reason = feature.where(feature.isin(left_out), "").map(NO_ANSWERS).fillna("")
    reason = reason.mask(unknown, "of a former country, " + code)
    reason = reason.mask(code == "", "of no country")
    counts = reason[reason != ""].value_counts()
    if len(counts):
        told = "; ".join(f"{number:,} {what}" for what, number in counts.items())
        log.warning("%s: %s rows are left out: %s.", path, f"{counts.sum():,}", told)
    return table[reason == ""]


def _read_regions(path: Path) -> pd.DataFrame:
    checks.check_exists(path)
    table = _read_tabs(path)
    if table.shape[1] < len(REGION_COLUMNS):
        raise GeoclipError(
            f"{path}: row 1 has {table.shape[1]} columns separated by tabs and needs a code, "
            "a name and an ASCII name; give the file as GeoNames offers it."
        )
    table = table[list(REGION_COLUMNS)].set_axis(list(REGION_COLUMNS.values()), axis="columns")
    refuse_duplicates(path, table["place_id"], "code")
    return table


def _read_tabs(path: Path) -> pd.DataFrame:
    """Text cells without a header; the index is the row number and begins with 1."""
    try:
        table = read_cells(path, sep="\t", header=None, quoting=csv.QUOTE_NONE)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise GeoclipError(
            f"{path} cannot be read ({first_line(error)}): give the unpacked .txt file as GeoNames "
            "offers it."
        ) from error
    table.index = table.index + 1
    return table[(table != "").any(axis=1)]


def _regions_with_cities(cities: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    points = representative_points(cities[cities["region_id"] != ""], "region_id")
    regions = names[names["place_id"].isin(points.index)].join(points, on="place_id")
    code = regions["place_id"].str.split(".").str[0]
    return regions.assign(level=1, country_code=code, parent_id=code)
