"""Embed photos on a Ray cluster with an encoder's image tower.

    python -m pipelines.embed_photos --photos INPUT --model NAME --out OUT

INPUT and OUT are as for `pipelines.locate_photos`; OUT is a folder of Parquet parts with the
columns of `SCHEMA`. A photo that cannot be read has a status and no embedding; OUT-ledger lists
such photos. The same command goes on where a run was stopped.
"""

from collections.abc import Sequence

import pyarrow as pa
import ray

from geoclip.encoders.registry import check_model_name
from pipelines.cluster import absolute_model, check_lasting, ray_session
from pipelines.command_line import Actors, Gpus, Inputs, Model, OutFolder, run
from pipelines.inputs import photo_parts
from pipelines.outputs import Output
from pipelines.photo_actors import PhotoEmbedder, Pool, key_of_images, on_actors
from pipelines.photo_source import Part
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

    def __init__(self, model: str, threads: int) -> None:
        self.embedder = PhotoEmbedder(model, threads)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of `photo_source.SCHEMA` → rows of `SCHEMA`."""
        pairs = [(row["location_id"], v) for row in batch.to_pylist() for v in row["views"]]
        found = self.embedder.embed([view for _, view in pairs])
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
    """Embed photos into a folder, going on where a run was stopped."""
    model, output = absolute_model(model), Output(absolute(out))
    output.begin({"model": ray.get(key_of_images.remote(model))})
    with output.resuming():
        output.write(on_actors(parts, PhotoRows, (model,), pool), SCHEMA)
    output.write_failures()
    return output


def main(
    *, photos: Inputs, model: Model, out: OutFolder, actors: Actors = 2, gpus: Gpus = 0
) -> None:
    """Embed photos from the command line."""
    check_model_name(model)
    check_lasting(out)
    parts = photo_parts(photos, actors)
    with ray_session():
        print(embed_photos(out, parts, model, Pool(actors, gpus)).summary())


if __name__ == "__main__":
    run(main)
