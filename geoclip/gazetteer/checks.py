"""Checks on gazetteer tables while they are read: each failure is one sentence and a cure.

A table is a DataFrame of text cells whose index + 2 is the row as a spreadsheet counts it (the
header is row 1; for a file without a header the index is set accordingly).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError

MOST = 2**53
"""The largest count that a float holds exactly."""


def check_columns(table: pd.DataFrame, required: list[str], path: Path) -> None:
    """GeoclipError when a required column is missing."""
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise GeoclipError(
            f"{path}: the column {missing[0]!r} is missing from the header (row 1, which has "
            f"{', '.join(map(repr, table.columns))}); add or rename it."
        )


def check_not_empty(table: pd.DataFrame, path: Path) -> None:
    """GeoclipError for a file with no rows."""
    if table.empty:
        raise GeoclipError(f"{path}: the gazetteer is empty; give it at least one row of a place.")


def check_filled(table: pd.DataFrame, column: str, path: Path) -> None:
    """GeoclipError naming the first row in which a cell of the column is blank."""
    fail_at(table, table[column].str.strip() == "", path, f"the {column} is empty; fill it in")


def check_unique(ids: pd.Series, path: Path) -> None:
    """GeoclipError naming the first id that stands in two rows, and both rows."""
    again = ids.duplicated().to_numpy()
    if again.any():
        second = int(np.flatnonzero(again)[0])
        first = ids.index[(ids == ids.iloc[second]).to_numpy()][0]
        raise GeoclipError(
            f"{path}: row {ids.index[second] + 2} repeats the place_id {ids.iloc[second]!r} of row "
            f"{first + 2}{_and_more(again)}; give every place an id of its own."
        )


def check_parents(
    ids: pd.Series, known: pd.Series | pd.Index, kind: str, path: Path, parent_file: str
) -> None:
    """GeoclipError naming the first row whose parent (blank ones apart) is not known."""
    unknown = ~ids.isin(known).to_numpy() & (ids != "").to_numpy()
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise GeoclipError(
            f"{path}: row {ids.index[row] + 2} belongs to the {kind} {ids.iloc[row]!r}, which "
            f"{parent_file} does not have{_and_more(unknown)}; add it there or correct the row."
        )


def coordinates(table: pd.DataFrame, path: Path) -> tuple[pd.Series, pd.Series]:
    """Columns lat and lon as floats in range; GeoclipError for anything else.

    Longitudes from 0 to 360 are refused too: a silent wrap would hide swapped columns.
    """
    lat, lon = _numbers(table, "lat", path), _numbers(table, "lon", path)
    bad_lat, bad_lon = lat.abs() > 90, lon.abs() > 180
    if _looks_swapped(lat, lon):
        row = table.index[int(np.flatnonzero(bad_lat.to_numpy())[0])] + 2
        raise GeoclipError(
            f"{path}: the columns lat and lon look swapped (row {row} has the latitude "
            f"{lat[bad_lat].iloc[0]:g}, and every lon would be a possible latitude); exchange the "
            "two headers."
        )
    problem = "the latitude {} is not between -90 and 90; correct it (are lat and lon swapped?)"
    fail_at(table, bad_lat, path, problem, lat)
    fail_at(table, bad_lon, path, "the longitude {} is not between -180 and 180; correct it", lon)
    return lat, lon


def whole_numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """A column of counts as int64; a blank cell is 0."""
    filled = table.assign(**{column: table[column].where(table[column].str.strip() != "", "0")})
    values = _numbers(filled, column, path)
    fail_at(table, values < 0, path, f"the {column} {{}} is negative; correct it", values)
    too_large = values > MOST
    fail_at(table, too_large, path, f"the {column} {{}} is no count; correct it", values)
    return values.astype("int64")


def fail_at(
    table: pd.DataFrame,
    bad: pd.Series | np.ndarray,
    path: Path,
    problem: str,
    values: pd.Series | None = None,
) -> None:
    """GeoclipError for the first bad row, if any, with the count of the others.

    `problem` is "what is wrong; the cure", with {} where the value of the bad row goes.
    """
    wrong = np.asarray(bad, dtype=bool)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        text = problem if values is None else problem.format(_shown(values.iloc[row]))
        what, cure = text.rsplit("; ", 1)
        raise GeoclipError(f"{path}: row {table.index[row] + 2}: {what}{_and_more(wrong)}; {cure}.")


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _and_more(wrong: np.ndarray) -> str:
    others = int(wrong.sum()) - 1
    return f" (and {others:,} more rows have the same fault)" if others else ""


def _looks_swapped(lat: pd.Series, lon: pd.Series) -> bool:
    """True when exchanging the columns brings every row into range and several rows ask for it.

    One row out of range among many is a slip of that row, not of the header.
    """
    impossible = int((lat.abs() > 90).sum())
    fits = bool((lon.abs() <= 90).all() and (lat.abs() <= 180).all())
    return fits and impossible >= max(2, 0.05 * len(lat))


def _numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    values = pd.to_numeric(table[column], errors="coerce").astype("float64")
    unusable = ~np.isfinite(values.to_numpy())
    problem = f"the {column} {{}} is not a finite number; correct it or delete the row"
    fail_at(table, unusable, path, problem, table[column])
    return values


def checked_places(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table of text with lat, lon and population as numbers, once its places are sound.

    Every place has a place_id of its own and a name, else GeoclipError names the first row.
    """
    check_filled(table, "place_id", path)
    check_filled(table, "name", path)
    check_unique(table["place_id"], path)
    lat, lon = coordinates(table, path)
    population = whole_numbers(table, "population", path)
    return table.assign(lat=lat, lon=lon, population=population)
