"""Decode actors of training: processes beside the trainers that read and prepare photos.

A trainer computes the photos of a step from its number and requests those of the next steps ahead.
So the order is that of a run without decoders, and a resumed run is exact without a stream position
in its checkpoint. A stream of Ray Data would need one, and would shuffle its blocks in an order
that depends on which of them is read first.

A photo that kills its decoder interrupts it for a moment. Ray restarts the decoder and repeats the
request; it then reads each photo in a separate process, and the culprit is unreadable.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
import ray
from PIL import Image
from ray.exceptions import OutOfMemoryError, WorkerCrashedError

from geoclip.training.batches import ASKED_AHEAD
from geoclip.training.pictures import PictureReader, Showing
from geoclip.training.settings import WINDOW
from pipelines.addresses import ParquetRow, StoredPhotos, parse
from pipelines.view_reader import was_restarted

THREADS = 8
"""Threads of a decoder: most of them wait for storage."""
RETRIES_APART = 1
"""Retries of a photo in its own process: others may have died beside it, for lack of memory."""
CPUS = 0.01
"""Trainers have already claimed the CPUs of their machines; decoders use the rest."""

Asked = tuple[list[int], Any]


@ray.remote(num_cpus=CPUS, max_restarts=-1, max_task_retries=-1, scheduling_strategy="SPREAD")
class Decoder:
    """Makes pictures; after a restart the first `apart` calls use a process for each photo."""

    def __init__(self, groups: int, apart: int) -> None:
        self.fetch = StoredPhotos(groups)
        self.threads = ThreadPoolExecutor(THREADS)
        self.apart = apart if was_restarted() else 0

    def pictures(
        self, reader: PictureReader, showings: Sequence[Showing]
    ) -> list[np.ndarray | None]:
        """Pixels (H, W, 3) of photos; None for unreadable ones."""
        self.apart -= 1
        if self.apart >= 0:
            read = partial(_picture_apart, replace(reader, fetch=StoredPhotos(1)))
        else:
            read = partial(_picture, replace(reader, fetch=self.fetch))
        return list(self.threads.map(read, showings))


def _picture(reader: PictureReader, showing: Showing) -> np.ndarray | None:
    picture = reader(showing)
    return None if picture is None else np.asarray(picture)


def _picture_apart(reader: PictureReader, showing: Showing) -> np.ndarray | None:
    try:
        found: np.ndarray | None = ray.get(_apart.remote(reader, showing))
        return found
    except (WorkerCrashedError, OutOfMemoryError):
        return None


_apart = ray.remote(num_cpus=0, max_retries=RETRIES_APART)(_picture)


@dataclass(frozen=True)
class Decoders:
    """Decode actors that all trainers share (a `training.batches.Decode`).

    Rows of one row group go to one decoder, which keeps it.
    """

    actors: tuple[Any, ...]

    @classmethod
    def start(cls, count: int, trainers: int) -> "Decoders | None":
        """Start `count` of them, spread over the machines; None for 0."""
        # Row groups of a window fall on decoders at random: hardly ever more than this on one.
        groups = min(WINDOW, 4 + 2 * WINDOW // max(count, 1))
        under_way = trainers * (1 + ASKED_AHEAD)
        actors = tuple(
            Decoder.remote(groups, under_way)  # type: ignore[attr-defined]
            for _ in range(count)
        )
        return cls(actors) if actors else None

    def __call__(
        self, reader: PictureReader, showings: Sequence[Showing]
    ) -> Iterator[Image.Image | None]:
        """Request pictures at once; the iterator waits for them."""
        shares: dict[int, list[int]] = defaultdict(list)
        for row, showing in enumerate(showings):
            shares[crc32(_read_with(showing.path).encode()) % len(self.actors)].append(row)
        read = replace(reader, fetch=None)  # decoders have their own
        asked = [
            (rows, self.actors[number].pictures.remote(read, [showings[row] for row in rows]))
            for number, rows in shares.items()
        ]
        return _in_order(len(showings), asked)


def _in_order(count: int, asked: Sequence[Asked]) -> Iterator[Image.Image | None]:
    found: list[Image.Image | None] = [None] * count
    for rows, pictures in asked:
        for row, picture in zip(rows, ray.get(pictures), strict=True):
            found[row] = None if picture is None else Image.fromarray(picture)
    yield from found


def _read_with(path: str) -> str:
    """The common key of photos that are read together: a row group, else the path."""
    address = parse(path)
    return address.shard if isinstance(address, ParquetRow) else path
