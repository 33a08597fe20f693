"""Photo and video files → pixels for an encoder, decoded by threads ahead of their use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from geoclip.encoders import Encoder
from geoclip.errors import PhotoError
from geoclip.photos.abstention import Abstention, AbstentionCheck
from geoclip.photos.decoding import read_photo
from geoclip.photos.metadata import NOTHING, PhotoMetadata, read_metadata
from geoclip.photos.videos import is_video, read_frames
from geoclip.support.paths import AnyPath, decode_path

BATCH = 32
FRAMES = 4
UNJUDGED = Abstention(0.0, "")

PhotoPath = AnyPath
Item = TypeVar("Item")


@dataclass(frozen=True)
class DecodedPhoto:
    """What a file gave: `pixels` (F, 3, S, S) of F frames (1 for a photo), or the `problem`.

    Both are None where the metadata alone was wanted.
    """

    pixels: torch.Tensor | None
    problem: PhotoError | None
    metadata: PhotoMetadata = NOTHING
    finding: Abstention = UNJUDGED

    @property
    def status(self) -> str:
        """ "ok", or that of the problem."""
        return self.problem.status if self.problem else "ok"


@dataclass(frozen=True)
class Embeddings:
    """Unit-length image embeddings (N, d) of N paths; a row of NaN where `status` is not "ok"."""

    paths: list[str]
    values: np.ndarray
    status: list[str]
    messages: dict[str, str]

    @property
    def ok(self) -> np.ndarray:
        """Which photos were read, (N,) bool."""
        return np.array([status == "ok" for status in self.status], dtype=bool)

    def part(self, rows: slice) -> "Embeddings":
        """Those of some photos side by side."""
        return Embeddings(self.paths[rows], self.values[rows], self.status[rows], self.messages)


def read_pictures(
    file: PhotoPath, content: bytes | None, frames: int, short_side: int
) -> list[Image.Image]:
    """The picture of a photo, or `frames` of a video; raises PhotoError.

    `content` and `short_side` are as for `read_photo`.
    """
    if is_video(file):
        return read_frames(file, frames, short_side, content)
    return [read_photo(file, short_side, content)]


class PhotoReader:
    """Reads one file: its pixels and, if wanted, its metadata and whether it shows a place.

    With `trust_gps` a photo of trustworthy GPS is not decoded. `check` judges pictures by their
    pixels. `decode` stands in for `read_pictures`. Safe to call from several threads.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        metadata: bool = False,
        trust_gps: bool = False,
        check: AbstentionCheck | None = None,
        frames: int = FRAMES,
        decode: Callable[[PhotoPath, bytes | None, int, int], list[Image.Image]] = read_pictures,
    ) -> None:
        self.encoder = encoder
        self.metadata = metadata
        self.trust_gps = trust_gps
        self.check = check
        self.frames = frames
        self.decode = decode

    def __call__(self, path: PhotoPath, content: bytes | None = None) -> DecodedPhoto:
        """Read a file; a file that cannot be read is a `DecodedPhoto` with its problem.

        With `content` (its bytes) `path` is only a name, and there is no metadata.
        """
        # A text may come from a table, where a name that is not UTF-8 stands encoded.
        file = decode_path(path) if isinstance(path, str) and content is None else path
        metadata = read_metadata(file) if self.metadata and content is None else NOTHING
        if self.trust_gps and metadata.gps is not None and metadata.gps.trustworthy:
            return DecodedPhoto(None, None, metadata)
        try:
            pictures = self.decode(file, content, self.frames, self.encoder.image_size)
            pixels = torch.stack([self.encoder.preprocess(picture) for picture in pictures])
        except PhotoError as problem:
            return DecodedPhoto(None, problem, metadata)
        return DecodedPhoto(pixels, None, metadata, self._finding(pictures))

    def _finding(self, pictures: list[Image.Image]) -> Abstention:
        """One frame that shows a place is enough."""
        if self.check is None:
            return UNJUDGED
        findings = [self.check.of_picture(picture) for picture in pictures]
        return min(findings, key=lambda finding: finding.score)


def read_batches(
    batches: Iterable[Sequence[Item]],
    read: Callable[[Item], DecodedPhoto],
    threads: int = 2,
) -> Iterator[list[DecodedPhoto]]:
    """Yield the readings of each batch of paths, or of what else `read` takes, in order.

    The next batch is decoded by `threads` threads while the caller works on the last one.
    """
    remaining = iter(batches)
    pool = ThreadPoolExecutor(threads)
    try:
        ahead = deque([pool.submit(read, path) for path in batch] for batch in islice(remaining, 1))
        while ahead:
            ahead.extend([pool.submit(read, path) for path in b] for b in islice(remaining, 1))
            yield [future.result() for future in ahead.popleft()]
    finally:  # also where the caller gives up: nothing more is decoded
        pool.shutdown(wait=True, cancel_futures=True)


def in_batches(items: Iterable[Item], size: int = BATCH) -> Iterator[list[Item]]:
    """Cut items into batches of `size`; the last may be smaller."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


@torch.inference_mode()
def encode_decoded(encoder: Encoder, readings: Sequence[DecodedPhoto]) -> list[np.ndarray | None]:
    """Embeddings (d,) of what was read, a video's the mean of its frames; None without one."""
    pixels = [reading.pixels for reading in readings if reading.pixels is not None]
    if not pixels:
        return [None] * len(readings)
    encoder.model.eval()
    features = encoder.image_features(torch.cat(pixels).to(encoder.device))
    values = features.float().cpu().numpy()
    parts = np.split(values, np.cumsum([len(frames) for frames in pixels])[:-1])
    means = iter(part[0] if len(part) == 1 else _unit_mean(part) for part in parts)
    return [None if reading.pixels is None else next(means) for reading in readings]


def embed_batches(
    encoder: Encoder,
    names: list[str],
    batches: Iterable[Sequence[DecodedPhoto]],
    width: int,
    progress: Callable[[int], None] | None = None,
) -> Embeddings:
    """Embeddings (N, width) of the N named readings in `batches`, each told to `progress`."""
    values = np.full((len(names), width), np.nan, np.float32)
    status: list[str] = []
    messages: dict[str, str] = {}
    for batch in batches:
        for reading, value in zip(batch, encode_decoded(encoder, batch), strict=True):
            row = len(status)
            if value is not None:
                values[row] = value
            if reading.problem is not None:
                messages[names[row]] = str(reading.problem)
            status.append(reading.status)
        if progress:
            progress(len(batch))
    return Embeddings(names, values, status, messages)


def _unit_mean(values: np.ndarray) -> np.ndarray:
    mean = values.mean(axis=0)
    return mean / np.linalg.norm(mean)
