"""Checks of gazetteers only, beside those of `geoclip.support.tables`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.support.tables import coordinates, numbers, refuse_duplicates, refuse_rows

MOST = 2**53
"""The largest count that a float64 holds exactly."""
OWN_ID = "give every place an id of its own"


def check_exists(path: Path) -> None:
    """GeoclipError where a file is absent that must lie beside the others."""
    if not path.exists():
        raise GeoclipError(f"{path} does not exist: add it, this gazetteer needs it.")


def check_not_empty(table: pd.DataFrame, path: Path) -> None:
    """GeoclipError for a file without rows."""
    if table.empty:
        raise GeoclipError(f"{path} is empty: give it at least one row of a place.")


def check_filled(table: pd.DataFrame, column: str, path: Path) -> None:
    """GeoclipError with the first row whose cell of the column is blank."""
    refuse_rows(path, table[column].str.strip() == "", f"the {column} is empty", "fill it in")


def check_own_ids(ids: pd.Series, taken: pd.Series, level: str, path: Path) -> None:
    """GeoclipError with the first row whose id belongs to a place of a higher level."""
    refuse_rows(path, ids.isin(taken), f"place_id {{}} is also the id of a {level}", OWN_ID, ids)


def check_parents(
    ids: pd.Series, known: pd.Series, kind: str, path: Path, parent_file: str
) -> None:
    """GeoclipError with the first row whose parent is unknown; a blank parent is allowed."""
    what = f"the {kind} {{}} is not in {parent_file}"
    unknown = ~ids.isin(known) & (ids != "")
    refuse_rows(path, unknown, what, "add it there or correct the row", ids)


def whole_numbers(values: pd.Series, path: Path) -> pd.Series:
    """Counts as int64; a blank cell is 0."""
    counts = numbers(values, path).fillna(0)
    for bad, fault in ((counts < 0, "negative"), (counts > MOST, "no count")):
        refuse_rows(path, bad, f"{values.name} {{}} is {fault}", "correct it", counts)
    return counts.astype("int64")


def checked_places(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table of text, checked, with lat, lon and population as numbers.

    Every place has its own place_id, a name and coordinates, else GeoclipError names the first row.
    """
    for column in ("place_id", "name", "lat", "lon"):
        check_filled(table, column, path)
    refuse_duplicates(path, table["place_id"], "place_id", OWN_ID)
    lat, lon = coordinates(table, path)
    population = whole_numbers(table["population"], path)
    return table.assign(lat=lat, lon=lon, population=population)
