"""What the actors of inference share: photos of storage → embeddings, whatever a photo does.

A photo that kills its process takes the actor with it. Ray starts the actor anew and gives it the
same photos again; it then decodes each of them in a process of its own, so that the culprit is
known and everything else is done. In undisturbed runs no photo takes this way.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import torch
from PIL import Image
from ray.data import Dataset
from ray.exceptions import OutOfMemoryError, WorkerCrashedError

from geoclip.encoders import Encoder, load_encoder
from geoclip.encoders.precision import FULL
from geoclip.encoders.registry import model_folder
from geoclip.errors import PhotoError
from geoclip.locator import default_device
from geoclip.photos.decoding import UNREADABLE
from geoclip.photos.embedding import Embeddings, embed_batches
from geoclip.photos.opening import Content, read_pictures
from geoclip.photos.reader import BATCH, DecodedPhoto, PhotoReader, in_batches, read_batches
from geoclip.ranking.model_settings import ModelSettings
from geoclip.support.paths import AnyPath
from geoclip.support.process import keep_freed_memory
from pipelines.cluster import check_gpus, may_grow, room_for_actors
from pipelines.outputs import IO_CPUS
from pipelines.part_files import ROWS
from pipelines.photo_source import Part, PhotoSource
from pipelines.storage import is_uri, local_copy, read_bytes

IN_FLIGHT = 2
"""Blocks an actor is given at a time: one more than it works on."""
CALLS_APART = 2 * IN_FLIGHT
"""Blocks that an actor decodes apart after it was started anew: all it may have died of."""
RETRIES_APART = 2
LARGEST_BATCH = 1024
MEMORY_SHARE = 0.5
"""Of the free memory of a GPU, for what the image tower keeps of a batch."""
TRIAL = 4
CPU_ROWS, GPU_ROWS = 100, 2000
"""Of an actor, at a time, in what a kill may lose; more would be fewer files."""
TASKS_AN_ACTOR = 64
"""Tasks that read shards; each has several of them where they are many."""
LOCATIONS = 64
"""In a table that an actor gives, and so ranked at a time: Ray Data cuts no table so small."""
FETCHERS = 16
"""Threads where photos come over the network: most of them wait."""


@dataclass(frozen=True)
class Pool:
    """`actors` with `gpus` each and as many threads, by default their share of all CPUs.

    `precision` and `compile` are those of `Encoder.for_photos`; a `counter`
    (`remote_progress.Counter`) is told of every photo.
    """

    actors: int = 2
    gpus: float = 0
    threads: int | None = None
    precision: str = FULL
    compile: bool = False
    counter: Any = None

    @property
    def piece_rows(self) -> int:
        """Rows to wait for before they are written: what all actors make in some seconds."""
        return min(self.actors * (GPU_ROWS if self.gpus else CPU_ROWS), ROWS)


def on_actors(parts: Sequence[Part], kind: type, arguments: tuple[Any, ...], pool: Pool) -> Dataset:
    """The photos of `parts` through a pool of actors of a kind; see `outputs.data_context`.

    An actor is made with `arguments` and the pool with its number of threads, and is called with
    whole blocks (tables of `photo_source.SCHEMA`). Where there is no room for all actors, fewer
    work; on a cluster the others join them once it has grown. Raises GeoclipError where there are
    no such GPUs; a GPU that PyTorch cannot use leaves the work to the processor.
    """
    check_gpus(pool.gpus)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus = resources.get("CPU", 1.0)
    most = max(1, min(pool.actors, len(parts)))
    actors = min(most, room_for_actors(pool.gpus))
    if actors < most:
        _tell_room(actors, most)
        most = most if may_grow() else actors
    threads = pool.threads or max(1, int(cpus) // actors)
    source = PhotoSource(parts, TASKS_AN_ACTOR * most)
    photos: Dataset = ray.data.read_datasource(
        source,
        override_num_blocks=len(source.groups),  # if it were more, Ray Data would cut blocks
        num_cpus=IO_CPUS,
    )
    # With GPUs `map_batches` insists on a number of rows and merges blocks up to it, which may be
    # gigabytes of photos. Actors batch by themselves, so they take blocks as they come.
    apply = photos.map_batches_internal if pool.gpus else photos.map_batches
    rows: Dataset = apply(
        kind,
        fn_constructor_args=(*arguments, replace(pool, threads=threads)),
        compute=ray.data.ActorPoolStrategy(
            min_size=actors, max_size=most, max_tasks_in_flight_per_actor=IN_FLIGHT
        ),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=cpus_an_actor(cpus, actors),
        num_gpus=pool.gpus,
    )
    return rows


def _tell_room(actors: int, most: int) -> None:
    """Say how many of `most` actors there is room for, and what becomes of the others."""
    if may_grow():
        later = "the others start as soon as machines join"
        words = f"The cluster has room for {actors} of {most} actors now; {later}."
    else:
        words = f"This machine has room for {actors} actors, so {actors} work instead of {most}."
    print(f"geoclip: {words}", file=sys.stderr)


def cpus_an_actor(cpus: float, actors: int) -> float:
    """CPUs for each of `actors`, so that reading and writing find room beside them.

    Of two CPUs, one and a half stay free.
    """
    return max((cpus - max(1.5, cpus / 2)) / actors, 0.05)


def load_model(name: str, device: str = "cpu", for_photos: bool = False) -> Encoder:
    """`load_encoder`, also from a folder in storage, which is fetched once a machine."""
    return load_encoder(str(local_copy(name)) if is_uri(name) else name, device, for_photos)


def local_folder(name: str) -> Path | None:
    """A model's folder on this machine, of a URI a copy of it; None for what comes from a hub."""
    return local_copy(name) if is_uri(name) else model_folder(name)


def model_settings(name: str) -> ModelSettings:
    """The settings of a model, those that were calibrated on this machine first."""
    return ModelSettings.of_model(local_copy(name))


class PhotoEmbedder:
    """Reads and encodes photos; made in an actor, of which it takes one device."""

    def __init__(self, model: str, pool: Pool) -> None:
        keep_freed_memory()
        self.counter = pool.counter
        self.threads = pool.threads or 1
        torch.set_num_threads(self.threads)
        encoder = load_model(model, default_device(), for_photos=True)
        self.encoder = encoder.for_photos(pool.precision, pool.compile)
        self.batch = batch_size(self.encoder)
        self.width = self.encoder.encode_images([]).shape[1]
        self.calls_apart = CALLS_APART if _was_restarted() else 0

    def embed(self, views: Sequence[dict[str, Any]]) -> Embeddings:
        """Embeddings of views (rows of `photo_source.VIEW`); their names are the photo ids."""
        decode = decode_apart if self.calls_apart > 0 else None
        self.calls_apart -= 1
        reader = ViewReader(PhotoReader(self.encoder, decode=decode))
        fetched = any(view["content"] is None and is_uri(view["path"]) for view in views)
        threads = FETCHERS if fetched else max(2, self.threads)
        batches = read_batches(in_batches(views, self.batch), reader, threads)
        names = [view["photo_id"] for view in views]
        found = embed_batches(self.encoder, names, batches, self.width)
        if self.counter is not None:
            self.counter.add.remote(len(names), int((~found.ok).sum()))
        return found

    def by_locations(
        self, batch: pa.Table
    ) -> Iterator[tuple[Sequence[dict[str, Any]], Embeddings]]:
        """Rows of `photo_source.SCHEMA`, some at a time, with the embeddings of their views."""
        rows = batch.to_pylist()
        found = self.embed([view for row in rows for view in row["views"]])
        start = 0
        for some in in_batches(rows, LOCATIONS):
            part = slice(start, start + sum(len(row["views"]) for row in some))
            start = part.stop
            yield some, found.part(part)


class ViewReader:
    """Reads a view by its path, URI or content; safe to call from several threads."""

    def __init__(self, read: PhotoReader) -> None:
        self.read = read

    def __call__(self, view: dict[str, Any]) -> DecodedPhoto:
        """Read it; what cannot be had is a `DecodedPhoto` with its problem."""
        path, content = view["path"], view["content"]
        if view["problem"] is not None:
            return DecodedPhoto(None, PhotoError(view["problem"], UNREADABLE))
        if content is None and is_uri(path):
            try:
                content = read_bytes(path)
            except OSError as problem:
                return DecodedPhoto(None, _out_of_reach(path, problem))
        return self.read(path, content)


def _out_of_reach(path: str, problem: OSError) -> PhotoError:
    if isinstance(problem, FileNotFoundError):
        return PhotoError(f"{path!r}: there is no such file; check the path.", "missing")
    reason = " ".join(str(problem).split())
    return PhotoError(
        f"{path!r}: it cannot be fetched ({reason}); try it in a run with another OUT.", UNREADABLE
    )


def decode_apart(
    file: AnyPath, content: Content | None, frames: int, short_side: int
) -> list[Image.Image]:
    """`read_pictures` in another process, so that a photo that kills it is only a PhotoError."""
    try:
        pictures = ray.get(_decode.remote(file, content, frames, short_side))
    except (WorkerCrashedError, OutOfMemoryError):
        raise PhotoError(
            f"{str(file)!r}: reading it killed {RETRIES_APART + 1} processes; save it anew.",
            UNREADABLE,
        ) from None
    if isinstance(pictures, tuple):
        raise PhotoError(*pictures)
    return pictures


@ray.remote(num_cpus=0, max_retries=RETRIES_APART)
def _decode(
    file: AnyPath, content: Content | None, frames: int, short_side: int
) -> list[Image.Image] | tuple[str, str]:
    """The pictures, or message and status of the problem: that exception does not travel."""
    try:
        return read_pictures(file, content, frames, short_side)
    except PhotoError as problem:
        return str(problem), problem.status


def _was_restarted() -> bool:
    context = ray.get_runtime_context()
    return bool(context.get_actor_id() and context.was_current_actor_reconstructed)


def batch_size(encoder: Encoder) -> int:
    """Photos to encode at a time: on a GPU as many as its free memory takes, by trial of a few."""
    if encoder.device.type != "cuda":
        return BATCH
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    encoder.encode_images([Image.new("RGB", (encoder.image_size, encoder.image_size))] * TRIAL)
    each = (torch.cuda.max_memory_allocated() - before) / TRIAL
    return batch_for(torch.cuda.mem_get_info()[0], each)


def batch_for(free: float, each: float) -> int:
    """Photos of `each` bytes that fill the share of `free` bytes, in whole `BATCH`es."""
    fitting = int(MEMORY_SHARE * free / max(each, 1.0)) // BATCH * BATCH
    return min(max(fitting, BATCH), LARGEST_BATCH)
