"""Writing a table of guesses block by block, so that it is never in memory as a whole."""

import json
import os
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from geoclip.errors import GeoclipError
from geoclip.guesses import COLUMNS, ENDINGS, append_csv
from geoclip.guesses_arrow import arrow_guesses, arrow_schema, typed_guesses

if TYPE_CHECKING:
    import geopandas as gpd


class GuessWriter:
    """Takes blocks of guesses and puts the file in place, whole, when it is left without an error.

    A context manager. The ending of `path` decides the format, as in `write_guesses`; `extra`
    are float or text columns (name → dtype) that stand behind the schema's. The draft is made in
    `scratch`, a folder on the same disk, which is cleared.
    """

    def __init__(self, path: Path, scratch: Path, extra: dict[str, str] | None = None) -> None:
        if path.suffix.lower() not in ENDINGS:
            raise GeoclipError(f"{path} ends in none of {', '.join(ENDINGS)}: use one of these.")
        self.path = path
        self.scratch = scratch
        self.draft = scratch / f"{path.stem}{path.suffix.lower()}"
        self.extra = extra or {}
        self.rows = 0
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> "GuessWriter":
        rmtree(self.scratch, ignore_errors=True)
        try:
            self.scratch.mkdir(parents=True)
            self._append(pd.DataFrame(columns=list(COLUMNS)))
        except (OSError, RuntimeError) as problem:  # pyogrio has its own family
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
            if self._parquet is not None:
                self._parquet.close()
            if kind is None:
                with self.draft.open("rb") as file:
                    os.fsync(file.fileno())
                self.draft.replace(self.path)
        except (OSError, RuntimeError) as problem:
            if kind is None:
                raise self._refusal(problem) from None
        finally:
            rmtree(self.scratch, ignore_errors=True)

    def _append(self, table: pd.DataFrame) -> None:
        if self.draft.suffix == ".parquet":
            self._append_parquet(table)
        else:
            self._append_other(typed_guesses(table, self.extra))

    def _append_other(self, frame: "gpd.GeoDataFrame") -> None:
        first = not self.draft.exists()
        if self.draft.suffix == ".csv":
            append_csv(pd.DataFrame(frame.drop(columns="geometry")), self.draft, first)
        elif self.draft.suffix == ".geojson":
            self._append_geojson(frame)
        else:
            options: dict[str, Any] = {"layer": self.path.stem, "geometry_type": "Point"}
            mode = "w" if first else "a"
            frame.to_file(self.draft, driver="GPKG", mode=mode, index=False, **options)

    def _append_parquet(self, table: pd.DataFrame) -> None:
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self.draft, arrow_schema(self.extra))
        self._parquet.write_table(arrow_guesses(table, self.extra))

    def _append_geojson(self, frame: "gpd.GeoDataFrame") -> None:
        """Features as they come, one a line; the closing bracket is written over by the next."""
        features = [
            json.dumps(f, ensure_ascii=False) for f in frame.iterfeatures(na="null", drop_id=True)
        ]
        if not self.draft.exists():
            head = {"type": "FeatureCollection", "name": self.path.stem, "features": []}
            text = json.dumps(head, ensure_ascii=False)[:-2] + "\n"
            self.draft.write_bytes((text + "]}\n").encode())  # as text, Windows would widen "\n"
        with self.draft.open("r+b") as file:
            file.seek(-len(b"]}\n"), os.SEEK_END)
            separator = ",\n" if self.rows else ""
            text = separator + ",\n".join(features) if features else ""
            file.write(text.encode() + b"]}\n")

    def _refusal(self, problem: OSError | RuntimeError) -> GeoclipError:
        reason = getattr(problem, "strerror", None) or str(problem).splitlines()[0]
        return GeoclipError(
            f"{self.path} cannot be written ({reason}): make room or free the "
            "file, and give the same command again."
        )
