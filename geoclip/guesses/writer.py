"""Writing tables of guesses: at once, or block by block, so that they are never in memory whole.

Parquet files are GeoParquet whose parts all have one schema (`arrow_schema`).
"""

import csv
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from io import BytesIO
from pathlib import Path
from shutil import move, rmtree
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from geoclip.errors import GeoclipError
from geoclip.guesses import spreadsheet
from geoclip.guesses.geo_table import to_geodataframe
from geoclip.guesses.guess_files import known_ending
from geoclip.guesses.schema import COLUMNS, TEXTS, with_extra
from geoclip.support.paths import gdal_takes

if TYPE_CHECKING:
    import geopandas as gpd


LAYER = "guesses"


def write_guesses(table: pd.DataFrame, path: Path) -> None:
    """Write a table by the ending of `path`: .parquet (GeoParquet), .geojson, .csv (UTF-8), .gpkg,
    .xlsx.

    The file appears whole or not at all. Raises GeoclipError for another ending, and where the
    folder is not there or cannot be written to.

    >>> from geoclip import read_guesses
    >>> write_guesses(read_guesses("photos.csv"), "copy.gpkg")
    >>> len(read_guesses("copy.gpkg"))
    1
    """
    path = Path(path)
    known_ending(path)
    if not path.parent.is_dir():
        raise GeoclipError(f"{path}: its folder does not exist: create it or name another one.")
    with GuessWriter(path, path.with_name(f".{uuid4().hex}")) as writer:
        writer.write(table)


class GuessWriter:
    """Takes blocks of guesses and puts the file in place, whole, when it is left without an error.

    A context manager. The ending of `path` decides the format, as in `write_guesses`; `extra`
    are float or text columns (name → dtype) that stand behind the schema's. The draft is made in
    `scratch`, a folder on the same disk, which is cleared. Raises GeoclipError where the file
    cannot be written.
    """

    def __init__(self, path: Path, scratch: Path, extra: dict[str, str] | None = None) -> None:
        self.path = path
        self.scratch = scratch
        self.draft = scratch / f"{LAYER}{known_ending(path)}"
        self.extra = extra or {}
        self.rows = 0
        self._open = ExitStack()
        self._parquet: pq.ParquetWriter | None = None
        self._workbook: spreadsheet.Workbook | None = None

    def __enter__(self) -> "GuessWriter":
        rmtree(self.scratch, ignore_errors=True)
        try:
            self.scratch.mkdir(parents=True)
            if self.draft.suffix == ".gpkg" and not gdal_takes(self.scratch.absolute()):
                elsewhere = self._open.enter_context(tempfile.TemporaryDirectory())
                self.draft = Path(elsewhere) / self.draft.name
            self._append(pd.DataFrame(columns=list(COLUMNS)))
        except (OSError, RuntimeError) as problem:  # pyogrio has its own family
            self._clear()
            raise self._refusal(problem) from None
        return self

    def write(self, table: pd.DataFrame) -> None:
        """Add rows; raises GeoclipError where the disk is full."""
        if not len(table):
            return
        try:
            self._append(table)
        except (OSError, RuntimeError) as problem:  # pyogrio has its own family
            raise self._refusal(problem) from None
        self.rows += len(table)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            whole = self.scratch / self.draft.name
            if kind is None and self.draft != whole:
                move(self.draft, whole)
            self._open.close()  # what is still held must be on disk before the file counts
            if kind is None:
                with whole.open("rb") as file:
                    os.fsync(file.fileno())
                whole.replace(self.path)
        except (OSError, RuntimeError) as problem:
            if kind is None:
                raise self._refusal(problem) from None
        finally:
            self._clear()

    def _clear(self) -> None:
        self._open.close()
        rmtree(self.scratch, ignore_errors=True)

    def _append(self, table: pd.DataFrame) -> None:
        if self.draft.suffix == ".parquet":
            self._append_parquet(table)
        elif self.draft.suffix == ".csv":
            _append_csv(with_extra(table, self.extra), self.draft, not self.draft.exists())
        elif self.draft.suffix == spreadsheet.ENDING:
            self._append_to_workbook(with_extra(table, self.extra))
        elif self.draft.suffix == ".geojson":
            self._append_geojson(to_geodataframe(table, self.extra))
        else:
            options: dict[str, Any] = {"layer": LAYER, "geometry_type": "Point"}
            mode = "a" if self.draft.exists() else "w"
            frame = to_geodataframe(table, self.extra)
            frame.to_file(self.draft, driver="GPKG", mode=mode, index=False, **options)

    def _append_parquet(self, table: pd.DataFrame) -> None:
        if self._parquet is None:
            # An open file: pyarrow takes the name of some files for a URI.
            file = self._open.enter_context(self.draft.open("wb"))
            writer = pq.ParquetWriter(file, arrow_schema(self.extra))
            self._parquet = self._open.enter_context(writer)
        self._parquet.write_table(arrow_guesses(table, self.extra))

    def _append_to_workbook(self, table: pd.DataFrame) -> None:
        if self._workbook is None:
            self._workbook = spreadsheet.Workbook(self.draft)
            self._open.callback(self._workbook.close)
        self._workbook.append(table)

    def _append_geojson(self, frame: "gpd.GeoDataFrame") -> None:
        """Features as they come, one a line; the closing bracket is written over by the next."""
        features = [
            json.dumps(f, ensure_ascii=False) for f in frame.iterfeatures(na="null", drop_id=True)
        ]
        if not self.draft.exists():
            head = {"type": "FeatureCollection", "name": LAYER, "features": []}
            text = json.dumps(head, ensure_ascii=False)[:-2] + "\n"
            self.draft.write_bytes((text + "]}\n").encode())  # as text, Windows would widen "\n"
        with self.draft.open("r+b") as file:
            file.seek(-len(b"]}\n"), os.SEEK_END)
            separator = ",\n" if self.rows else ""
            text = separator + ",\n".join(features) if features else ""
            file.write(text.encode() + b"]}\n")

    def _refusal(self, problem: OSError | RuntimeError) -> GeoclipError:
        reason = getattr(problem, "strerror", None) or str(problem).splitlines()[0].rstrip(".")
        return GeoclipError(
            f"{self.path} cannot be written ({reason}): make room or free the "
            "file, and give the same command again."
        )


def _append_csv(table: pd.DataFrame, path: Path, header: bool) -> None:
    """Add rows to a CSV file in UTF-8; `header` says whether to begin with the names."""
    table.to_csv(
        path, mode="a", header=header, index=False, encoding="utf-8", lineterminator="\n",
        quoting=csv_quoting(table[list(TEXTS)]),
    )  # fmt: skip


def csv_quoting(texts: pd.DataFrame) -> Literal[0, 2]:
    """How a CSV file quotes its cells, by its columns of texts.

    Python leaves a carriage return unquoted, and readers would take it for the end of the line.
    """
    odd = any(texts[name].astype(str).str.contains("\r").any() for name in texts)
    return csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL


def arrow_guesses(table: pd.DataFrame, extra: Mapping[str, str] | None = None) -> pa.Table:
    """The table in `arrow_schema`; a table without rows may lack the `extra` columns."""
    frame = to_geodataframe(table, extra)
    return pa.table(frame.to_arrow(index=False)).cast(arrow_schema(extra))


def arrow_schema(extra: Mapping[str, str] | None = None) -> pa.Schema:
    """The columns of guesses, `extra` ones (name → dtype), then the point as WKB (GeoParquet)."""
    return _schema(tuple((extra or {}).items()))


@cache
def _schema(extra: tuple[tuple[str, str], ...]) -> pa.Schema:
    """That of one point: in a table without one, columns may have no type of their own."""
    example = pd.DataFrame([{"path": "x", "lat": 0.0, "lon": 0.0}])
    example = example.assign(**{n: pd.Series([None]).astype(t) for n, t in extra})
    buffer = BytesIO()
    to_geodataframe(example, dict(extra)).to_parquet(buffer, index=False)
    schema = pq.read_schema(buffer)
    geo = json.loads(schema.metadata[b"geo"])
    for column in geo["columns"].values():
        column.pop("bbox", None)  # known when all is written, and optional
    fields = [field.remove_metadata() for field in schema]  # Arrow's own word for points
    return pa.schema(fields, {**schema.metadata, b"geo": json.dumps(geo).encode()})
