"""Embed photos on a Ray cluster with an encoder's image tower.

    python -m pipelines.embed_photos --photos INPUT --model NAME --out OUT

INPUT and OUT have the format of `pipelines.locate_photos`; OUT is a folder of Parquet parts with
the columns of `SCHEMA`. An unreadable photo has a status and no embedding; OUT-ledger lists such
photos. The same command resumes a stopped run.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import ray

from geoclip.commands.options import CompileOption, ExcludeOption, Precision, PrecisionOption
from geoclip.encoders.registry import check_model_name
from geoclip.photos.embedding import Embeddings
from geoclip.photos.folder_rules import FolderRules
from pipelines.cluster import absolute_model, check_lasting, ray_session
from pipelines.command_line import Actors, Gpus, Inputs, Model, OutFolder, run
from pipelines.inference_runs import begun, complete, settled
from pipelines.inputs import frame_photos, photo_parts, table_parts
from pipelines.outputs import Output, data_context
from pipelines.photo_actors import Pool, embedded_photos
from pipelines.photo_source import Part, with_origins
from pipelines.photo_stages import on_actors
from pipelines.storage import absolute

SCHEMA = pa.schema(
    {
        "photo_id": pa.string(),
        "location_id": pa.string(),
        "path": pa.string(),
        "status": pa.string(),
        "message": pa.string(),
        "embedding": pa.list_(pa.float32()),
    }
)
"""Embeddings are of unit length, all of one width."""


class PhotoRows:
    """Embeds blocks of photos."""

    def __init__(self, model: str, pool: Pool) -> None:
        self.embedded = embedded_photos(model, pool)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Rows from `on_actors` → rows of `SCHEMA` and their origins, some at a time."""
        for rows, found in self.embedded(batch):
            yield with_origins(_table(found, rows), rows)


def _table(found: Embeddings, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows of `SCHEMA` for locations and the embeddings of their views."""
    pairs = [(row["location_id"], view) for row in rows for view in row["views"]]
    embeddings = zip(found.values, found.ok, strict=True)
    columns = {
        "photo_id": found.paths,
        "location_id": [location for location, _ in pairs],
        "path": [view["path"] for _, view in pairs],
        "status": found.status,
        "message": [found.messages.get(name, "") for name in found.paths],
        "embedding": [value if ok else None for value, ok in embeddings],
    }
    return pa.table(columns, SCHEMA)


def embed_photos(out: str, parts: Sequence[Part], model: str, pool: Pool) -> Output:
    """Embed photos into a folder, resuming a stopped run."""
    model, output = absolute_model(model), Output(absolute(out))
    pool = begun(output, model, parts, pool, {})
    complete(output, parts, PhotoRows, (model,), SCHEMA, pool)
    return output


def embed_table(photos: pd.DataFrame, model: str, pool: Pool) -> Embeddings:
    """Embeddings, in memory, of the photos of a table (path, photo_id, location_id) in its order.

    Their names are the photo ids.
    """
    model, parts = absolute_model(model), list(table_parts(frame_photos(photos), pool.actors))
    if pool.gpus:
        pool, _ = settled(model, parts, pool)
    with data_context():
        blocks = on_actors(parts, PhotoRows, (model,), pool).to_arrow_refs()
    tables = (table.select(SCHEMA.names) for table in ray.get(blocks) if table.num_rows)
    found = pa.concat_tables([SCHEMA.empty_table(), *tables]).to_pandas()
    found = found.set_index("photo_id").loc[photos["photo_id"]]
    read = found["embedding"].notna().to_numpy()
    width = 0 if not read.any() else len(found["embedding"][read].iloc[0])
    values = np.full((len(found), width), np.nan, np.float32)
    if read.any():
        values[read] = np.stack(found["embedding"][read])
    messages = found.loc[~read, "message"].to_dict()
    return Embeddings(found.index.tolist(), values, found["status"].tolist(), messages)


def main(
    *,
    photos: Inputs,
    model: Model,
    out: OutFolder,
    actors: Actors = 2,
    gpus: Gpus = 0,
    precision: PrecisionOption = Precision.auto,
    compile: CompileOption = False,
    exclude: ExcludeOption = None,
) -> None:
    """Embed photos from the command line."""
    check_model_name(model)
    check_lasting(out)
    output = Output(absolute(out))
    rules = FolderRules(tuple(exclude or ()))
    parts = photo_parts(photos, actors, output.done(), output.ids_besides, rules)
    with ray_session(decoding=gpus > 0):
        pool = Pool(actors, gpus, precision=precision.value, compile=compile)
        print(embed_photos(out, parts, model, pool).summary())


if __name__ == "__main__":
    run(main)
