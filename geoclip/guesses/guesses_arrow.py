"""Guesses as Arrow tables: GeoParquet that is written a part at a time, all parts alike."""

import json
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from geoclip.guesses.schema import guess_table, to_geodataframe

if TYPE_CHECKING:
    import geopandas as gpd


def arrow_guesses(table: pd.DataFrame, extra: Mapping[str, str] | None = None) -> pa.Table:
    """The table in `arrow_schema`; a table without rows may lack the `extra` columns."""
    frame = typed_guesses(table, extra or {})
    return pa.table(frame.to_arrow(index=False)).cast(arrow_schema(extra))


def arrow_schema(extra: Mapping[str, str] | None = None) -> pa.Schema:
    """The columns of guesses, `extra` ones (name → dtype), then the point as WKB (GeoParquet)."""
    return _schema(tuple((extra or {}).items()))


def typed_guesses(table: pd.DataFrame, extra: Mapping[str, str]) -> "gpd.GeoDataFrame":
    """The table in the schema's dtypes, with `extra` columns between them and the points."""
    frame = to_geodataframe(guess_table(table))
    for name, dtype in extra.items():
        values = table[name] if name in table else pd.Series(dtype=dtype)
        column = values.astype(dtype).set_axis(frame.index)
        frame.insert(frame.columns.get_loc("geometry"), name, column)
    return frame


@cache
def _schema(extra: tuple[tuple[str, str], ...]) -> pa.Schema:
    """That of one point: in a table without one, columns may have no type of their own."""
    example = pd.DataFrame([{"path": "x", "lat": 0.0, "lon": 0.0}])
    example = example.assign(**{n: pd.Series([None]).astype(t) for n, t in extra})
    buffer = BytesIO()
    typed_guesses(example, dict(extra)).to_parquet(buffer, index=False)
    schema = pq.read_schema(buffer)
    geo = json.loads(schema.metadata[b"geo"])
    for column in geo["columns"].values():
        column.pop("bbox", None)  # known when all is written, and optional
    fields = [field.remove_metadata() for field in schema]  # Arrow's own word for points
    return pa.schema(fields, {**schema.metadata, b"geo": json.dumps(geo).encode()})
