"""Shared code of inference actors: their number, and photos → embeddings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from PIL import Image

from geoclip.encoders import Encoder, load_encoder
from geoclip.encoders.precision import FULL
from geoclip.encoders.registry import model_folder
from geoclip.locator import default_device
from geoclip.photos.embedding import Embeddings, PixelEncoder, embed_batches
from geoclip.photos.reader import BATCH, DecodedPhoto, in_batches
from geoclip.ranking.model_settings import ModelSettings
from geoclip.support.process import keep_freed_memory
from pipelines.part_files import ROWS
from pipelines.preparation import Preparation
from pipelines.storage import is_uri, local_copy
from pipelines.view_reader import BlockReader, View

LARGEST_BATCH = 1024
MEMORY_SHARE = 0.5
"""Share of a GPU's free memory for the image tower's batch."""
TRIAL = 4
CPU_ROWS, GPU_ROWS = 100, 2000
"""An actor's rows at a time, lost by a kill; more would give fewer files."""
LOCATIONS = 64
"""Locations in an actor's output table, ranked together: Ray Data cuts no table so small."""


@dataclass(frozen=True)
class Pool:
    """`actors` with `gpus` each and as many threads, by default their share of all CPUs.

    `precision` and `compile` are those of `Encoder.for_photos`; a `counter`
    (`remote_progress.Counter`) counts every photo. Others hold `held` CPUs. With a `preparation`
    other actors than the encoding ones decode photos and make guesses.
    """

    actors: int = 2
    gpus: float = 0
    threads: int | None = None
    precision: str = FULL
    compile: bool = False
    counter: Any = None
    held: float = 0
    preparation: Preparation | None = None

    @property
    def piece_rows(self) -> int:
        """Rows to collect before a write: some seconds' output of all actors."""
        return min(self.actors * (GPU_ROWS if self.gpus else CPU_ROWS), ROWS)


def load_model(name: str, device: str = "cpu", for_photos: bool = False) -> Encoder:
    """`load_encoder`, also from a folder in storage, which is fetched once per machine."""
    return load_encoder(str(local_copy(name)) if is_uri(name) else name, device, for_photos)


def local_folder(name: str) -> Path | None:
    """A model's folder on this machine, for a URI a copy of it; None for a hub model."""
    return local_copy(name) if is_uri(name) else model_folder(name)


def model_settings(name: str) -> ModelSettings:
    """The settings of a model; a calibration on this machine comes first."""
    return ModelSettings.of_model(local_copy(name))


Embedded = tuple[Sequence[dict[str, Any]], Embeddings]
"""Rows of locations with `views`, and the views' embeddings; names are the photo ids."""


def views_of(rows: Sequence[dict[str, Any]]) -> list[View]:
    """The views of rows, in order."""
    return [view for row in rows for view in row["views"]]


def by_locations(
    rows: Sequence[dict[str, Any]], found: Embeddings, at_once: int
) -> Iterator[Embedded]:
    """The same, some locations at a time."""
    start = 0
    for some in in_batches(rows, at_once):
        part = slice(start, start + len(views_of(some)))
        start = part.stop
        yield some, found.part(part)


class EncodingActor:
    """An encoder on an actor's device; `pool.counter` counts its photos."""

    def __init__(self, model: str, pool: Pool, at_once: int = 1) -> None:
        """Use the memory of a GPU for `at_once` batches at a time."""
        keep_freed_memory()
        self.counter = pool.counter
        torch.set_num_threads(pool.threads or 1)
        encoder = load_model(model, default_device(), for_photos=True)
        self.encoder = encoder.for_photos(pool.precision, pool.compile)
        self.batch = batch_size(self.encoder, at_once)
        self.width = self.encoder.encode_images([]).shape[1]

    def embed(
        self,
        encoder: PixelEncoder,
        views: Sequence[View],
        batches: Iterator[list[DecodedPhoto]],
    ) -> Embeddings:
        """Embeddings by `encoder` of the decoded photos of views."""
        names = [view["photo_id"] for view in views]
        found = embed_batches(encoder, names, batches, self.width)
        if self.counter is not None:
            self.counter.add.remote(len(names), int((~found.ok).sum()))
        return found


class PhotoEmbedder(EncodingActor):
    """Decodes and encodes photos; returns some locations at a time."""

    def __init__(self, model: str, pool: Pool, locations: int = LOCATIONS) -> None:
        super().__init__(model, pool)
        self.locations = locations
        self.reader = BlockReader(self.encoder, pool.threads or 1)

    def __call__(self, batch: pa.Table) -> Iterator[Embedded]:
        """Rows of `photo_source.SCHEMA`, some at a time, with the embeddings of their views."""
        rows = batch.to_pylist()
        views = views_of(rows)
        decoded = self.reader.read(list(in_batches(views, self.batch)))
        return by_locations(rows, self.embed(self.encoder, views, decoded), self.locations)


class EmbeddedRows:
    """Takes rows whose views are already embedded (`photo_stages.PhotoEncoder`)."""

    def __init__(self, preparation: Preparation, locations: int = LOCATIONS) -> None:
        self.encoder = preparation
        self.locations = locations

    def __call__(self, batch: pa.Table) -> Iterator[Embedded]:
        """The rows, some at a time, with the embeddings of their views."""
        values = batch["values"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        rows = batch.drop_columns(["values"]).to_pylist()
        views = views_of(rows)
        messages = {v["photo_id"]: v["problem"] for v in views if v["problem"] is not None}
        names, status = ([view[key] for view in views] for key in ("photo_id", "status"))
        found = Embeddings(names, values.reshape(len(views), -1), status, messages)
        return by_locations(rows, found, self.locations)


def embedded_photos(
    model: str, pool: Pool, locations: int = LOCATIONS
) -> PhotoEmbedder | EmbeddedRows:
    """How an actor of a pool receives photos: embedded by itself, or by others."""
    if pool.preparation:
        return EmbeddedRows(pool.preparation, locations)
    return PhotoEmbedder(model, pool, locations)


def batch_size(encoder: Encoder, at_once: int = 1) -> int:
    """Photos to encode at a time: on a GPU as many as its free memory holds, by trial of a few.

    With `at_once` that many batches fit together.
    """
    if encoder.device.type != "cuda":
        return BATCH
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    encoder.encode_images([Image.new("RGB", (encoder.image_size, encoder.image_size))] * TRIAL)
    each = (torch.cuda.max_memory_allocated() - before) / TRIAL
    return batch_for(torch.cuda.mem_get_info()[0] / at_once, each)


def batch_for(free: float, each: float) -> int:
    """Photos of `each` bytes that fill the share of `free` bytes, in whole `BATCH`es."""
    fitting = int(MEMORY_SHARE * free / max(each, 1.0)) // BATCH * BATCH
    return min(max(fitting, BATCH), LARGEST_BATCH)
