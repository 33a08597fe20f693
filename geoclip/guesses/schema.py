"""The one schema of guesses: table, GeoDataFrame, readers and writers by file ending.

One row per photo and rank. `lat`, `lon` is the reported point (NaN, without a geometry, where there
is no answer), `place_lat`, `place_lon` the place's own; `probability` runs from 0 to 1; texts that
do not apply are "". `path` is always valid UTF-8: other file names stand as `file:` URIs
(`geoclip.support.paths`).
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.support.paths import encode_path, gdal_takes
from geoclip.support.tables import (
    Source,
    coordinates,
    numbers,
    plain_names,
    read_text_table,
    refuse_rows,
)

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True)
class Guess:
    """One place that a photo may have been taken at; the fields are the columns of the table.

    Positions are degrees, `radius_km` is NaN where it is not known.
    """

    path: str
    rank: int
    source: str
    place_id: str
    city: str
    region: str
    country: str
    country_code: str
    lat: float
    lon: float
    place_lat: float
    place_lon: float
    probability: float
    radius_km: float
    status: str

    def __str__(self) -> str:
        place = ", ".join(name for name in (self.city, self.region, self.country) if name)
        return f"{place} ({self.probability:.1%})" if place else self.status


COLUMNS = tuple(field.name for field in fields(Guess))
NUMBERS = ("lat", "lon", "place_lat", "place_lon", "probability", "radius_km")
TEXTS = tuple(name for name in COLUMNS if name not in NUMBERS and name != "rank")
ENDINGS = (".parquet", ".geojson", ".csv", ".gpkg")
MODEL, GPS, ALBUM = "model", "gps", "album"


def guess_table(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """Rows as a table with exactly the columns and dtypes of the schema.

    Missing columns are filled: rank 1, source "model", numbers NaN, texts "". Columns of other
    names are dropped.
    """
    columns = _columns_of(rows)
    length = len(next(iter(columns.values()), []))
    table: dict[str, Any] = {}
    for name in COLUMNS:
        values = columns.get(name)
        if name in NUMBERS:
            filled = np.full(length, np.nan) if values is None else values
            table[name] = pd.to_numeric(pd.Series(filled, dtype=object)).astype("float64")
        elif name == "rank":
            table[name] = pd.Series(np.ones(length) if values is None else values).astype("int64")
        else:
            default = MODEL if name == "source" else ""
            texts = [default] * length if values is None else [_text(value) for value in values]
            table[name] = pd.Series(texts, dtype="str")
    return pd.DataFrame(table, columns=list(COLUMNS))


def _columns_of(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> dict[str, list[Any]]:
    """Lists by column, kept out of pandas until paths are valid UTF-8 (Arrow text must be)."""
    if isinstance(rows, pd.DataFrame):
        return {name: rows[name].tolist() for name in COLUMNS if name in rows.columns}
    records = list(rows)
    present = {name for record in records for name in record}
    defaults: dict[str, Any] = {"rank": 1, "source": MODEL}
    return {
        name: [record.get(name, defaults.get(name)) for record in records]
        for name in COLUMNS
        if name in present or (name == "path" and records)
    }


def _text(value: Any) -> str:
    if isinstance(value, str | os.PathLike):
        return encode_path(value)
    return "" if value is None or pd.isna(value) else str(value)


def to_guesses(table: pd.DataFrame) -> list[Guess]:
    """The rows of a table as `Guess` objects, in its order."""
    return [Guess(**row) for row in guess_table(table).to_dict("records")]


def to_geodataframe(table: pd.DataFrame) -> "gpd.GeoDataFrame":
    """The table in the schema's dtypes with a point (EPSG:4326) for every row with an answer."""
    import geopandas as gpd  # noqa: PLC0415 - slow to import

    guesses = guess_table(table)
    points = np.full(len(guesses), None, dtype=object)
    answered = guesses["lat"].notna() & guesses["lon"].notna()
    located = guesses[answered]
    points[answered.to_numpy()] = gpd.points_from_xy(located["lon"], located["lat"])
    return gpd.GeoDataFrame(guesses, geometry=points, crs="EPSG:4326")


def read_guesses(path: Path) -> pd.DataFrame:
    """Guesses of `write_guesses`, or any file of its endings with path (or IMG_ID), lat, lon.

    The index is the row number in the file: from 2 for a CSV file (row 1 is the header), else from
    1. Raises GeoclipError for a bad file or row: text for numbers, half a pair of coordinates, a
    value out of range, swapped names, no path, and no coordinates though the status is "ok" or
    there is none.
    """
    path = Path(path)
    ending = known_ending(path)
    frame = read_text_table(path) if ending == ".csv" else _read_geographic(path, ending)
    return parse_guesses(frame, path)


def parse_guesses(frame: pd.DataFrame, path: Source) -> pd.DataFrame:
    """Guesses from a frame of texts or numbers that errors call `path`; see `read_guesses`."""
    frame = frame.rename(columns={} if "path" in frame else {"img_id": "path"})
    missing = [name for name in ("path", "lat", "lon") if name not in frame.columns]
    if missing:
        raise GeoclipError(
            f"{path} has no column {', '.join(missing)}: guesses need path (or IMG_ID), lat, lon."
        )
    frame = frame.copy()
    frame["lat"], frame["lon"] = coordinates(frame, path)
    for name in ({"rank"} | set(NUMBERS) - {"lat", "lon"}) & set(frame.columns):
        frame[name] = numbers(frame[name], path)
    if "rank" in frame:
        whole = (frame["rank"] % 1 == 0) & (frame["rank"] >= 1)
        refuse_rows(path, ~whole, "rank is not 1, 2, 3, …", "correct or drop the row")
    table = guess_table(frame).set_axis(frame.index)
    refuse_rows(path, table["path"] == "", "path is empty", "name the photo or drop the row")
    unanswered = table["lat"].isna() & table["status"].isin(["", "ok"])
    cure = "fill them in, or drop the row: the photo then counts as missing"
    refuse_rows(path, unanswered, "lat and lon are missing", cure)
    return table


def known_ending(path: Path) -> str:
    """The ending that says the format of a table of guesses; GeoclipError for another."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise GeoclipError(
            f"{path} ends in none of {', '.join(ENDINGS)}: give it one of these endings."
        )
    return ending


def _read_geographic(path: Path, ending: str) -> pd.DataFrame:
    """A Parquet (with or without geometry), GeoJSON or GeoPackage file as a plain frame."""
    import geopandas as gpd  # noqa: PLC0415 - slow to import

    if not path.is_file():
        raise GeoclipError(f"{path} does not exist: check the path.")
    # A photo called 2020-01-01 must not come back as a date.
    options = {"DATE_AS_STRING": "YES"} if ending == ".geojson" else {}
    try:
        with path.open("rb") as file:  # not by its name, which pyarrow might take for a URI
            if ending == ".parquet":
                frame = pd.read_parquet(file)
            else:
                frame = gpd.read_file(path if gdal_takes(path) else file, **options)
    except Exception as error:  # every reader has its own family of errors
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise GeoclipError(
            f"{path} is no readable {ending} file ({reason}): write it anew."
        ) from None
    frame = pd.DataFrame(frame).drop(columns="geometry", errors="ignore")
    frame.columns = plain_names(frame.columns, path)
    frame = frame.reindex(columns=COLUMNS) if frame.empty else frame
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1))
