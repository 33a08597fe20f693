"""Photos through a cluster: tasks read, actors decode, encode and make guesses.

On CPUs an actor does all of it for one photo after another. With GPUs, actors on CPUs decode photos
or make guesses, so that those with a GPU only encode.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from ray.data import ActorPoolStrategy, Dataset

from geoclip.errors import PhotoError
from geoclip.photos.reader import DecodedPhoto, in_batches
from pipelines.cluster import check_gpus, may_grow, room_for_actors
from pipelines.outputs import IO_CPUS
from pipelines.photo_actors import LOCATIONS, EncodingActor, Pool, views_of
from pipelines.photo_source import ORIGIN, Part, PhotoSource
from pipelines.preparation import Preparation
from pipelines.view_reader import IN_FLIGHT, BlockReader

TASKS_AN_ACTOR = 64
"""Reading tasks per actor, each with several shards if there are many."""
AT_ONCE = 2
"""Concurrent blocks of a GPU actor: it prepares one while the GPU computes the other."""
HELPER_THREADS = 4
"""Threads of a helper actor, if there are as many CPUs."""

_VIEW = {
    "photo_id": pa.string(),
    "path": pa.string(),
    "status": pa.string(),
    "problem": pa.string(),
    "frames": pa.int32(),
}
_ROW = {
    "photo_id": pa.string(),
    "location_id": pa.string(),
    "views": pa.list_(pa.struct(_VIEW)),
    "origin": ORIGIN,
}
DECODED = pa.schema({**_ROW, "pixels": pa.large_binary()})
"""A location, and the packed pixels (see `Preparation`) of all frames of its readable views."""
ENCODED = pa.schema({**_ROW, "values": pa.list_(pa.float32())})
"""A location, and the embeddings of its views in order; NaN for missing ones."""


@dataclass(frozen=True)
class Helpers:
    """CPU actors beside those with a GPU: equal numbers decode and make guesses.

    Each has `cpus` and `threads`; an actor with a GPU has `gpu_cpus`.
    """

    fewest: int
    most: int
    cpus: float
    gpu_cpus: float

    @classmethod
    def beside(cls, actors: int, cpus: float) -> "Helpers":
        """Helpers for `actors` with a GPU each on `cpus` CPUs; an eighth is left for files."""
        budget = cpus - max(1.5, cpus / 8)
        gpu_cpus = min(1.0, max(budget / (4 * actors), 0.02))
        left = budget - gpu_cpus * actors
        own = min(float(HELPER_THREADS), max(left / (2 * actors), 0.04))
        return cls(actors, max(actors, int(left / own) - actors), own, gpu_cpus)

    @property
    def threads(self) -> int:
        """Threads of each; with few CPUs, reading leaves less than one CPU."""
        return max(1, int(self.cpus))

    def pool(self, fewest: int, growth: float = 1) -> ActorPoolStrategy:
        """`fewest` actors at first; more while work waits, also on a growing cluster."""
        most = max(fewest, int(self.most * growth))
        return ActorPoolStrategy(
            min_size=fewest, max_size=most, max_tasks_in_flight_per_actor=IN_FLIGHT
        )


def on_actors(parts: Sequence[Part], kind: type, arguments: tuple[Any, ...], pool: Pool) -> Dataset:
    """The photos of `parts` through a pool of actors of a kind; see `outputs.data_context`.

    An actor is made with `arguments` and the pool with its number of threads, and is called with
    whole blocks: tables of `photo_source.SCHEMA`, or of `ENCODED` if the pool has a preparation
    (see `photo_actors.embedded_photos`). Without room for all actors, fewer work; on a cluster the
    others join once it has grown. Raises GeoclipError if there are no such GPUs; if PyTorch cannot
    use a GPU, the CPU computes.
    """
    check_gpus(pool.gpus)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus = resources.get("CPU", 1.0) - pool.held
    most = max(1, min(pool.actors, len(parts)))
    actors = min(most, room_for_actors(pool.gpus))
    if actors < most:
        _tell_room(actors, most)
        most = most if may_grow() else actors
    pool = replace(pool, threads=pool.threads or max(1, int(cpus) // actors))
    source = PhotoSource(parts, TASKS_AN_ACTOR * most)
    photos: Dataset = ray.data.read_datasource(
        source,
        override_num_blocks=len(source.groups),  # with more, Ray Data would cut blocks
        num_cpus=IO_CPUS,
    )
    at_most = ActorPoolStrategy(
        min_size=actors, max_size=most, max_tasks_in_flight_per_actor=IN_FLIGHT
    )
    if pool.preparation is None:
        each = cpus_an_actor(cpus, actors, growing=most > actors)
        return _blocks(photos, kind, (*arguments, pool), at_most, each, pool.gpus)
    helpers, growth = Helpers.beside(actors, cpus), most / actors
    own = replace(pool, threads=helpers.threads)
    photos = _blocks(photos, PhotoDecoder, (own,), helpers.pool(actors, growth), helpers.cpus)
    on_gpus = ActorPoolStrategy(
        min_size=actors,
        max_size=most,
        max_tasks_in_flight_per_actor=AT_ONCE * IN_FLIGHT,
        max_concurrent_calls_per_actor=AT_ONCE,
        enable_true_multi_threading=True,
    )
    photos = _blocks(photos, PhotoEncoder, (pool,), on_gpus, helpers.gpu_cpus, pool.gpus)
    answering = helpers.pool(max(1, actors // 2), growth)
    return _blocks(photos, kind, (*arguments, own), answering, helpers.cpus)


def _blocks(
    photos: Dataset,
    kind: type,
    made_of: tuple[Any, ...],
    compute: ActorPoolStrategy,
    num_cpus: float,
    num_gpus: float = 0,
) -> Dataset:
    """Whole blocks through actors.

    With GPUs `map_batches` would require a number of rows and merge blocks up to it, which may be
    gigabytes of photos.
    """
    rows: Dataset = photos.map_batches_internal(
        kind,
        fn_constructor_args=made_of,
        compute=compute,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=num_cpus,
        num_gpus=num_gpus,
    )
    return rows


def _tell_room(actors: int, most: int) -> None:
    """Print how many of `most` actors have room, and what happens to the others."""
    if may_grow():
        later = "the others start as soon as machines join"
        words = f"The cluster has room for {actors} of {most} actors now; {later}."
    else:
        words = f"This machine has room for {actors} actors, so {actors} work instead of {most}."
    print(f"geoclip: {words}", file=sys.stderr)


def cpus_an_actor(cpus: float, actors: int, growing: bool = False) -> float:
    """CPUs for each of `actors`, so that reading and writing find room beside them.

    Of two CPUs, one and a half stay free. On a growing cluster it is half a CPU, and of many a
    fifth: Ray Data asks for machines only when three quarters of the CPUs are taken.
    """
    free = max(0.5, cpus / 5) if growing else max(1.5, cpus / 2)
    return max((cpus - free) / actors, 0.05)


def _preparation(pool: Pool) -> Preparation:
    if pool.preparation is None:
        raise ValueError("actors beside those with a GPU need a preparation")
    return pool.preparation


class PhotoDecoder:
    """Decodes and prepares photos for other actors' encoder."""

    def __init__(self, pool: Pool) -> None:
        self.preparation = _preparation(pool)
        torch.set_num_threads(1)  # each of its own threads prepares pictures
        self.reader = BlockReader(self.preparation, pool.threads or 1)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Rows of `photo_source.SCHEMA` → rows of `DECODED`, some at a time."""
        groups = list(in_batches(batch.to_pylist(), LOCATIONS))
        decoded = self.reader.read([views_of(rows) for rows in groups])
        for rows, photos in zip(groups, decoded, strict=True):
            yield self._table(rows, photos)

    def _table(self, rows: list[dict[str, Any]], photos: list[DecodedPhoto]) -> pa.Table:
        made, waiting = [], iter(photos)
        for row in rows:
            views, packed = [], []
            for view, photo in zip(row["views"], waiting, strict=False):
                pixels = photo.pixels
                if pixels is not None:
                    packed.append(self.preparation.packed(pixels).numpy().tobytes())
                views.append(
                    {
                        "photo_id": view["photo_id"],
                        "path": view["path"],
                        "status": photo.status,
                        "problem": photo.problem and str(photo.problem),
                        "frames": 0 if pixels is None else len(pixels),
                    }
                )
            made.append({**row, "views": views, "pixels": b"".join(packed)})
        return pa.Table.from_pylist(made, DECODED)


class PhotoEncoder(EncodingActor):
    """Encodes decoded photos; Ray calls it from `AT_ONCE` threads."""

    def __init__(self, pool: Pool) -> None:
        self.preparation = _preparation(pool)
        super().__init__(self.preparation.model, pool, AT_ONCE)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Rows of `DECODED` → rows of `ENCODED`."""
        rows = batch.drop_columns(["pixels"])
        views = views_of(rows.to_pylist())
        frames = self._frames(batch["pixels"])
        decoded = in_batches(_decoded(views, frames), self.batch)
        values = self.embed(self, views, decoded).values
        counts = [len(row) for row in rows["views"].to_pylist()]
        offsets = np.cumsum([0, *counts], dtype=np.int32) * self.width
        of_rows = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values.ravel()))
        yield rows.append_column("values", of_rows).cast(ENCODED)

    def _frames(self, pixels: pa.ChunkedArray) -> torch.Tensor:
        """Packed pixels of all frames (F, bytes), copied from a block once."""
        size = self.preparation.frame_bytes
        joined = bytearray().join(memoryview(own.as_buffer()) for own in pixels)
        if not joined:
            return torch.empty(0, size, dtype=torch.uint8)
        return torch.frombuffer(joined, dtype=torch.uint8).view(-1, size)

    def encode_pixels(self, pixels: torch.Tensor) -> np.ndarray:
        """Packed pixels (F, bytes) → embeddings (F, d).

        From pinned memory the copy runs without the CPU, which continues at once.
        """
        device = self.encoder.device
        if device.type == "cuda":
            pixels = pixels.pin_memory().to(device, non_blocking=True)
        return self.encoder.encode_pixels(self.preparation.unpacked(pixels))


def _decoded(views: Sequence[dict[str, Any]], frames: torch.Tensor) -> Iterator[DecodedPhoto]:
    """Decoded photos of views, whose frames follow one another."""
    start = 0
    for view in views:
        stop = start + view["frames"]
        problem = view["problem"]
        failed = None if problem is None else PhotoError(problem, view["status"])
        yield DecodedPhoto(frames[start:stop] if stop > start else None, failed)
        start = stop
