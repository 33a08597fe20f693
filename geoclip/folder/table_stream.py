"""Writing a table of guesses block by block, so that it is never in memory as a whole."""

import json
import os
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from geoclip.errors import GeoclipError
from geoclip.guesses import COLUMNS, ENDINGS, append_csv, guess_table, to_geodataframe

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
            self._append(self._typed(pd.DataFrame(columns=list(COLUMNS))))
        except (OSError, RuntimeError) as problem:  # pyogrio has its own family
            raise self._refusal(problem) from None
        return self

    def write(self, table: pd.DataFrame) -> None:
        """Add rows; raises GeoclipError where the disk is full."""
        if not len(table):
            return
        try:
            self._append(self._typed(table))
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

    def _typed(self, table: pd.DataFrame) -> "gpd.GeoDataFrame":
        frame = to_geodataframe(guess_table(table))
        for name, dtype in self.extra.items():
            values = table[name] if name in table else pd.Series(dtype=dtype)
            column = values.astype(dtype).set_axis(frame.index)
            frame.insert(frame.columns.get_loc("geometry"), name, column)
        return frame

    def _append(self, frame: "gpd.GeoDataFrame") -> None:
        ending = self.draft.suffix
        first = not self.draft.exists()
        if ending == ".parquet":
            self._append_parquet(frame)
        elif ending == ".csv":
            append_csv(pd.DataFrame(frame.drop(columns="geometry")), self.draft, first)
        elif ending == ".geojson":
            self._append_geojson(frame)
        else:
            options: dict[str, Any] = {"layer": self.path.stem, "geometry_type": "Point"}
            mode = "w" if first else "a"
            frame.to_file(self.draft, driver="GPKG", mode=mode, index=False, **options)

    def _append_parquet(self, frame: "gpd.GeoDataFrame") -> None:
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self.draft, self._schema())
            return
        buffer = BytesIO()
        frame.to_parquet(buffer, index=False)
        table = pq.read_table(buffer)
        self._parquet.write_table(table.cast(self._parquet.schema))

    def _schema(self) -> pa.Schema:
        """That of one point: in a block without one, columns may have no type of their own."""
        example = pd.DataFrame([{"path": "x", "lat": 0.0, "lon": 0.0}])
        example = example.assign(**{n: pd.Series([None]).astype(t) for n, t in self.extra.items()})
        buffer = BytesIO()
        self._typed(example).to_parquet(buffer, index=False)
        schema = pq.read_schema(buffer)
        geo = json.loads(schema.metadata[b"geo"])
        for column in geo["columns"].values():
            column.pop("bbox", None)  # known when all is written, and optional
        return schema.with_metadata({**schema.metadata, b"geo": json.dumps(geo).encode()})

    def _append_geojson(self, frame: "gpd.GeoDataFrame") -> None:
        """Features as they come, one a line; the closing bracket is written over by the next."""
        features = [
            json.dumps(f, ensure_ascii=False) for f in frame.iterfeatures(na="null", drop_id=True)
        ]
        if not self.draft.exists():
            head = {"type": "FeatureCollection", "name": self.path.stem, "features": []}
            text = json.dumps(head, ensure_ascii=False)[:-2] + "\n"
            self.draft.write_text(text + "]}\n", encoding="utf-8")
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
