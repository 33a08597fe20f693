"""Read tables of text and coordinates, with errors that name the file, the row and the cure.

Row numbers are those of a spreadsheet: the header is row 1, the next line row 2. They are the index
of the frames that `read_text_table` returns, so that later checks can name the row too.
"""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geoclip.errors import GeoclipError
from geoclip.support.angles import decimal_degrees
from geoclip.support.paths import encode_path
from geoclip.support.table_layout import UTF8, TableLayout, layout_of

Source = Path | str
"""The name of a table in errors: its file, or a few words for one in memory."""


def read_text_table(path: Path) -> pd.DataFrame:
    """A CSV file (header first) as a frame of text; blank lines are left out.

    Encoding and separator are detected (see `table_layout`); decimal commas become points where
    commas separate no cells. Column names are stripped and lower-cased. No text means a missing
    value ("NA" is Namibia); fields that a row lacks at its end are empty. Raises GeoclipError for a
    file that is absent, unreadable, empty or no text, or that has a row longer than its header or a
    column twice.
    """
    try:
        layout = layout_of(path)
        written = _read_cells_of(path, layout, header=None, nrows=1).iloc[0]
        frame = _read_cells_of(path, layout)
    except FileNotFoundError:
        raise GeoclipError(f"{path} does not exist: check the path.") from None
    except UnicodeError:  # only UTF-16 can fail here: other encodings were checked
        raise GeoclipError(f"{path} is cut off or no text: save it as CSV in UTF-8.") from None
    except pd.errors.EmptyDataError:
        raise GeoclipError(f"{path} is empty: it needs a header and rows.") from None
    except ValueError as error:  # a ParserError is one
        raise GeoclipError(
            f"{path} is not a well-formed CSV table ({first_line(error)}): give every row as many "
            "fields as the header and quote fields that hold commas."
        ) from None
    except OSError as error:
        raise GeoclipError(f"{path} cannot be read: {error.strerror}.") from None
    # The written header: pandas renames a second `lat` to `lat.1`.
    plain_names(pd.Index([name for name in written if name.strip()]), path)
    frame.columns = plain_names(frame.columns, path)
    frame.index = frame.index + layout.lines_above + 2
    return layout.with_decimal_points(frame[(frame != "").any(axis=1)])


def _read_cells_of(path: Path, layout: TableLayout, **options: Any) -> pd.DataFrame:
    return read_cells(
        path,
        encoding=layout.encoding,
        sep=layout.separator,
        skiprows=layout.lines_above,
        **options,
    )


def read_cells(path: Path, encoding: str = UTF8, **layout: Any) -> pd.DataFrame:
    """A CSV file as text cells; raises the errors of pandas.

    `layout` is passed to pandas, for a file that is not a CSV with a header. A row longer than the
    first is a ParserError too. (pandas itself takes its first cells for an index, or drops its last
    ones.)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                path,
                dtype=str,
                encoding=encoding,
                keep_default_na=False,  # NA is Namibia
                na_filter=False,
                skip_blank_lines=False,  # or row numbers would shift
                index_col=False,
                **layout,
            )
        except pd.errors.ParserWarning as warning:
            raise pd.errors.ParserError(str(warning)) from None


def plain_names(names: pd.Index, path: Source) -> pd.Index:
    """Column names stripped and in lower case; GeoclipError where two become the same."""
    plain = pd.Index([str(name).strip().lower() for name in names])
    if plain.has_duplicates:
        name = plain[plain.duplicated()][0]
        raise GeoclipError(
            f"{path} has more than one column {name} (upper and lower case are the same): rename "
            "one of them."
        )
    return plain


def cell_text(value: Any) -> str:
    """A cell as text: paths as `encode_path` writes them, "" for a missing value."""
    if isinstance(value, str | os.PathLike):
        return encode_path(value)
    return "" if value is None or pd.isna(value) else str(value)


def first_line(error: Exception) -> str:
    """The first line of a reader's error, without its full stop, to quote inside a sentence."""
    text = str(error).strip().splitlines()[0]
    return text.removeprefix("Error tokenizing data. C error: ").rstrip(".")


def require_columns(frame: pd.DataFrame, names: Iterable[str], path: Source) -> None:
    """Raise GeoclipError unless all columns `names` are there."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise GeoclipError(
            f"{path} has no column {', '.join(missing)} (it has: {', '.join(frame.columns)}): "
            "name the columns in the first row, separated by commas."
        )


def refuse_rows(
    path: Source, bad: pd.Series, what: str, cure: str, values: pd.Series | None = None
) -> None:
    """Raise GeoclipError if any row is marked in `bad`; it names the first and counts the others.

    `what` describes the first bad row; {} stands for its cell of `values`.
    """
    rows = np.flatnonzero(bad.to_numpy(dtype=bool))
    if len(rows) == 0:
        return
    if values is not None:
        value = values.iloc[rows[0]]
        what = what.format(f"{value:g}" if isinstance(value, float) else repr(value))
    others = f" (and {len(rows) - 1:,} more rows)" if len(rows) > 1 else ""
    raise GeoclipError(f"{path}, row {bad.index[rows[0]]}{others}: {what}: {cure}.")


def refuse_duplicates(
    path: Source, values: pd.Series, noun: str, cure: str = "keep one row for each"
) -> None:
    """Raise GeoclipError when a value occurs twice, naming the first one and both of its rows."""
    again = values.duplicated()
    if not again.any():
        return
    earlier = values.index[(values == values[again].iloc[0]).to_numpy(dtype=bool)][0]
    refuse_rows(path, again, f"{noun} {{}} stands in row {earlier} already", cure, values)


def numbers(values: pd.Series, path: Source) -> pd.Series:
    """Text as float64, "" as NaN; GeoclipError for text that is no finite number."""
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    result = pd.to_numeric(values, errors="coerce").astype(float)
    bad = ~np.isfinite(result)
    if bad.any():  # `bad` includes empty cells
        bad &= values.where(values.notna(), "").astype(str).str.strip() != ""
        what = f"{values.name} {{}} is not a number"
        refuse_rows(path, bad, what, "correct or drop it", values)
    return result


def coordinates(frame: pd.DataFrame, path: Source) -> tuple[pd.Series, pd.Series]:
    """Columns lat and lon in degrees; NaN in both where a row has neither.

    Raises GeoclipError for text (degrees, minutes and seconds too), for half a pair, for values out
    of range (latitude ±90, longitude ±180; up to 360 is not accepted, as it hides swapped columns)
    and for swapped column names. The error says what to write instead.
    """
    for name in ("lat", "lon"):
        _refuse_angles(frame[name], path)
    lat, lon = numbers(frame["lat"], path), numbers(frame["lon"], path)
    half = lat.isna() ^ lon.isna()
    refuse_rows(path, half, "only one of lat and lon is given", "give both or leave both empty")
    refuse_swapped(lat, lon, path)
    exchange = ", or exchange LAT and LON in the header" if _valid_exchanged(lat, lon) else ""
    for name, values, limit in (("lat", lat, 90), ("lon", lon, 180)):
        what = f"{name} {{}} is not between -{limit} and {limit}"
        bad = values.abs() > limit
        cure = _within(values[bad], limit) + exchange
        refuse_rows(path, bad, what, cure, values)
    return lat, lon


def _refuse_angles(values: pd.Series, path: Source) -> None:
    """Raise GeoclipError for the first text that is an angle but not decimal degrees."""
    if pd.api.types.is_numeric_dtype(values):
        return
    unread = pd.to_numeric(values, errors="coerce").isna()
    angles = values[unread].map(lambda text: decimal_degrees(str(text)))
    bad = unread & angles.reindex(values.index).notna()
    if bad.any():
        degrees = angles[angles.notna()].iloc[0]
        cure = f"write decimal degrees with a point, here {degrees:.7g}"
        refuse_rows(path, bad, f"{values.name} {{}} is not a number", cure, values)


def _within(values: pd.Series, limit: int) -> str:
    """What to write instead of the first of `values`, which are out of range."""
    if limit == 180 and len(values) and 180 < values.iloc[0] <= 360:
        first = values.iloc[0]
        return (
            f"longitudes above 180 are written less 360, here {first - 360:.7g}, unless the row is "
            "wrong"
        )
    return "correct or drop the row"


def refuse_swapped(lat: pd.Series, lon: pd.Series, path: Source) -> None:
    """Raise GeoclipError when the names lat and lon must be swapped.

    They are when at least two rows, and at least 5 % of all, have a lat out of range while every
    row is valid after the swap. Fewer rows are called out of range, and the swap is offered as a
    second cure. Overlooking a swap thus costs little. A false swap because of a few slips would
    cost much: the table passes every check with all its places wrong. A swap is invisible where all
    places lie between 90° west and 90° east.
    """
    out = lat.abs() > 90
    if out.sum() >= max(2, 0.05 * len(lat)) and _valid_exchanged(lat, lon):
        cure = "LAT and LON are swapped in the header, exchange the two names"
        refuse_rows(path, out, "lat is {} while no lon is beyond 90", cure, lat)


def _valid_exchanged(lat: pd.Series, lon: pd.Series) -> bool:
    return not (lon.abs() > 90).any() and not (lat.abs() > 180).any()


def refuse_no_coordinates(lat: ArrayLike, rows: pd.Index, path: Source) -> None:
    """Raise GeoclipError when a row has no coordinates."""
    empty: NDArray[np.bool_] = np.isnan(np.asarray(lat, dtype=float))
    bad = pd.Series(empty, index=rows)
    refuse_rows(path, bad, "lat and lon are missing", "fill them in or drop the row")
