"""Find the gallery photos nearest to embedded photos, in a gallery of many shards, on Ray.

    python -m pipelines.search_gallery --embeddings DIR --gallery SHARDS --out OUT

DIR is an output of `pipelines.embed_photos`. A shard is a gallery of `geoclip gallery build`;
SHARDS is one, or a folder of them, and may be repeated. OUT is a folder of Parquet files with the
columns of `SCHEMA`; the same command resumes a stopped run. Each actor keeps some shards open and
searches them for all photos; merging their nearest photos is exact: it equals a search in one
gallery. A photo finds no copy of itself.

An actor's shards must fit into its machine's memory, or they are read from disk for every block: a
photo takes 2 bytes a dimension in the index and some 100 bytes for its other facts. In addition an
actor holds a block of photos and its results (`BLOCK_ROWS`): some 20 MB.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
import typer

from geoclip.errors import GeoclipError
from pipelines.cluster import check_lasting, ray_session, room_for_actors
from pipelines.command_line import Actors, OutFolder, run
from pipelines.gallery_shards import (
    FOUND,
    ShardSearcher,
    footer,
    merged,
    shard_sizes,
    shards_in,
)
from pipelines.outputs import IO_CPUS, Output
from pipelines.photo_stages import cpus_an_actor
from pipelines.storage import absolute, filesystem, is_draft, join, write_bytes
from pipelines.stored_folders import list_names

BLOCK_ROWS = 4096
"""Photos per search."""
IN_FLIGHT = 3
"""Concurrent blocks: one is read, one searched for, one written."""
SCHEMA = pa.schema([("photo_id", pa.string()), ("rank", pa.int32()), *FOUND])
"""A row for each photo and neighbour, the nearest first; from `path` on it is the neighbour's."""


@dataclass(frozen=True)
class Block:
    """Rows of a row group of a file of embeddings, and the name of their output file."""

    file: str
    group: int
    rows: range
    name: str


@ray.remote(num_cpus=IO_CPUS)
def _read(block: Block) -> pa.Table:
    """The photos of a block with an embedding: photo_id and embedding."""
    system, path = filesystem(block.file)
    with system.open_input_file(path) as stream:
        table = pq.ParquetFile(stream).read_row_group(block.group, ["photo_id", "embedding"])
    rows = table.slice(block.rows.start, len(block.rows))
    return rows.filter(pc.is_valid(rows["embedding"]))


@ray.remote(num_cpus=IO_CPUS)
def _write(file: str, block: pa.Table, k: int, *found: pa.Table) -> None:
    """Merge all actors' results for a block, and write them."""
    nearest = merged(found, k)
    photos = np.repeat(block["photo_id"].to_numpy(zero_copy_only=False), k)
    ranks = np.tile(np.arange(1, k + 1, dtype=np.int32), len(block))
    table = pa.table([pa.array(photos, pa.string()), ranks, *nearest.columns], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table.filter(pc.is_finite(table["similarity"])), sink)
    write_bytes(file, sink.getvalue())


def blocks_of(embeddings: str) -> Iterator[Block]:
    """The blocks of a folder of `embed_photos`, in order; only the files' footers are read."""
    for name in sorted(list_names(embeddings)):
        if is_draft(name):
            continue
        file = join(embeddings, name)
        end = footer(file)
        for group in range(end.num_row_groups):
            rows = end.row_group(group).num_rows
            for start in range(0, rows, BLOCK_ROWS):
                part = range(start, min(start + BLOCK_ROWS, rows))
                yield Block(file, group, part, f"{name.rsplit('.', 1)[0]}-{group}-{start}.parquet")


def search_gallery(
    embeddings: str, galleries: Sequence[str], out: str, k: int = 10, actors: int = 2
) -> int:
    """Find the k nearest gallery photos of embedded photos; returns the number of new blocks.

    Raises GeoclipError for embeddings of an unknown or another encoder, for a path that is no
    gallery, and for an OUT that another search has begun.
    """
    embeddings, output = absolute(embeddings), Output(absolute(out))
    key = Output(embeddings).noted().get("model")
    if key is None:
        raise GeoclipError(
            f"{embeddings}-checkpoint does not say which encoder made {embeddings}: keep what "
            "pipelines.embed_photos wrote together."
        )
    shards = shards_in(galleries)
    sizes = shard_sizes(shards, key)
    output.begin({"model": key, "neighbours": k, "gallery": sizes})
    done = set(list_names(output.name))
    left = [block for block in blocks_of(embeddings) if block.name not in done]
    searchers = _searchers(shards, actors) if left else []
    waiting: list[Any] = []
    for block in left:
        if len(waiting) >= IN_FLIGHT:
            ready, waiting = ray.wait(waiting)
            ray.get(ready)
        photos = _read.remote(block)
        found = [searcher.nearest.remote(photos, k) for searcher in searchers]
        waiting.append(_write.remote(join(output.name, block.name), photos, k, *found))
    ray.get(waiting)
    return len(left)


def _searchers(shards: Sequence[str], actors: int) -> list[Any]:
    """Actors that share the shards."""
    actors = min(actors, len(shards), room_for_actors(0))
    cpus = ray.cluster_resources().get("CPU", 1.0)  # type: ignore[no-untyped-call]
    kind: Any = ray.remote(ShardSearcher).options(
        num_cpus=cpus_an_actor(cpus, actors), max_restarts=-1, max_task_retries=-1
    )
    threads = max(1, int(cpus) // actors)
    return [kind.remote(shards[i::actors], threads) for i in range(actors)]


def main(
    *,
    embeddings: Annotated[str, typer.Option(help="Folder or URI of pipelines.embed_photos.")],
    gallery: Annotated[
        list[str], typer.Option(help="A gallery, or a folder of them; may be repeated.")
    ],
    out: OutFolder,
    neighbours: Annotated[int, typer.Option(min=1, help="Gallery photos for each photo.")] = 10,
    actors: Actors = 2,
) -> None:
    """Search from the command line."""
    check_lasting(out)
    with ray_session():
        blocks = search_gallery(embeddings, gallery, out, neighbours, actors)
    print(f"Searched for {blocks:,} blocks of photos; results are in {out}.")


if __name__ == "__main__":
    run(main)
