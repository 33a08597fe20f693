"""The one schema of guesses: a table, a GeoDataFrame, or `Guess` objects.

One row per photo and rank. All rows of a photo have one `level`: "city", "region", "country",
"continent" or "none", where the rows are continents and `place_id` is empty. With a gallery there
is "spot", the place of a gallery photo, named by the nearest city. Names below the level are "",
probabilities below it NaN; `probability` is that of the place. `lat`, `lon` is the reported point
(NaN, without a geometry, if there is no answer), `place_lat`, `place_lon` the place's own, for a
region, country or continent that of its largest city. Probabilities run from 0 to 1; texts that do
not apply are "". `path` is always valid UTF-8: other file names become `file:` URIs
(`geoclip.support.paths`).
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from geoclip.guesses.phrases import guess_phrase
from geoclip.support.paths import encode_path


@dataclass(frozen=True)
class Guess:
    """One place where a photo may have been taken; the fields are the columns of the table.

    Positions are degrees. `radius_km` holds half of the posterior, `radius_90_km` 90 %; NaN if
    unknown.

    >>> print(*to_guesses(pd.DataFrame({"country": ["Austria"], "probability": [0.62]})))
    Austria 62 %
    """

    path: str
    rank: int
    source: str
    level: str
    place_id: str
    continent: str
    country: str
    country_code: str
    region: str
    city: str
    probability: float
    continent_probability: float
    country_probability: float
    region_probability: float
    city_probability: float
    lat: float
    lon: float
    place_lat: float
    place_lon: float
    radius_km: float
    radius_90_km: float
    status: str

    def __str__(self) -> str:
        return guess_phrase(asdict(self)) or self.status


COLUMNS = tuple(field.name for field in fields(Guess))
NUMBERS = tuple(field.name for field in fields(Guess) if field.type is float)
TEXTS = tuple(field.name for field in fields(Guess) if field.type is str)
MODEL, GPS, ALBUM, GALLERY = "model", "gps", "album", "gallery"
REVIEW = "review"
"""The source of confirmed or corrected guesses; no table of `geoclip locate` has it."""
GALLERY_COLUMNS = {"evidence_photos": "str", "gallery_note": "str"}
"""Last columns if a gallery was used: the deciding gallery photos, and a note."""


def guess_table(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """Rows as a table with exactly the columns and dtypes of the schema.

    Missing columns are filled: rank 1, source "model", numbers NaN, texts "". Columns of other
    names are dropped. Rows without a level, from before levels existed, get that of their names.

    >>> table = guess_table([{"path": "a.jpg", "lat": 45.75, "lon": 4.85}])
    >>> table[["path", "rank", "source", "lat", "status"]].to_dict("records")
    [{'path': 'a.jpg', 'rank': 1, 'source': 'model', 'lat': 45.75, 'status': ''}]
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
    if "level" not in columns:
        table["level"] = pd.Series(_levels_of_names(table, length), dtype="str")
    return pd.DataFrame(table, columns=list(COLUMNS))


def _levels_of_names(table: Mapping[str, Any], length: int) -> np.ndarray:
    """The deepest level (N,) with a name in each row; "" for none."""
    levels = np.full(length, "", dtype=object)
    for level in ("continent", "country", "region", "city"):
        levels[(table[level] != "").to_numpy()] = level
    return levels


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


def with_extra(table: pd.DataFrame, extra: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The table in the schema's dtypes, then the `extra` columns (name → dtype).

    A table without rows may lack these. Other columns are dropped.
    """
    guesses = guess_table(table)
    for name, dtype in (extra or {}).items():
        values = table[name] if name in table else pd.Series(dtype=dtype)
        guesses[name] = values.astype(dtype).set_axis(guesses.index)
    return guesses
