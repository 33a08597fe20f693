"""Photo and video files → pixels for an encoder, decoded by threads ahead of their use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from geoclip.capture import NOTHING, Capture, read_capture
from geoclip.encoders import Encoder
from geoclip.errors import PhotoError
from geoclip.evidence import EvidenceCheck, NoEvidence
from geoclip.paths import decode_path
from geoclip.photos import read_photo
from geoclip.videos import is_video, read_frames

BATCH = 32
FRAMES = 4
UNJUDGED = NoEvidence(0.0, "")

PhotoPath = str | Path


@dataclass(frozen=True)
class Reading:
    """What a file gave: `pixels` (F, 3, S, S) of F frames (1 for a photo), or the `problem`.

    Both are None where the capture alone was wanted.
    """

    pixels: torch.Tensor | None
    problem: PhotoError | None
    capture: Capture = NOTHING
    finding: NoEvidence = UNJUDGED


class PhotoReader:
    """Reads one file: its pixels and, if wanted, its capture and whether it shows a place.

    With `trust_gps` a photo of trustworthy GPS is not decoded. `check` judges pictures by their
    pixels. Safe to call from several threads.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        captures: bool = False,
        trust_gps: bool = False,
        check: EvidenceCheck | None = None,
        frames: int = FRAMES,
    ) -> None:
        self.encoder = encoder
        self.captures = captures
        self.trust_gps = trust_gps
        self.check = check
        self.frames = frames

    def __call__(self, path: PhotoPath) -> Reading:
        """Read a file; a file that cannot be read is a `Reading` with its problem."""
        # A text may come from a table, where a name that is not UTF-8 stands encoded.
        file = decode_path(path) if isinstance(path, str) else path
        capture = read_capture(file) if self.captures else NOTHING
        if self.trust_gps and capture.gps is not None and capture.gps.trustworthy:
            return Reading(None, None, capture)
        try:
            pictures = self._pictures(file)
            pixels = torch.stack([self.encoder.preprocess(picture) for picture in pictures])
        except PhotoError as problem:
            return Reading(None, problem, capture)
        return Reading(pixels, None, capture, self._finding(pictures))

    def _pictures(self, file: Path) -> list[Image.Image]:
        side = self.encoder.image_size
        if is_video(file):
            return read_frames(file, self.frames, short_side=side)
        return [read_photo(file, short_side=side)]

    def _finding(self, pictures: list[Image.Image]) -> NoEvidence:
        """One frame that shows a place is enough."""
        if self.check is None:
            return UNJUDGED
        findings = [self.check.of_picture(picture) for picture in pictures]
        return min(findings, key=lambda finding: finding.score)


def read_batches(
    batches: Iterable[Sequence[PhotoPath]],
    read: Callable[[PhotoPath], Reading],
    threads: int = 2,
) -> Iterator[list[Reading]]:
    """Yield the readings of each batch of paths, in order.

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


def in_batches(paths: Iterable[PhotoPath], size: int = BATCH) -> Iterator[list[PhotoPath]]:
    """Cut paths into batches of `size`; the last may be smaller."""
    remaining = iter(paths)
    while batch := list(islice(remaining, size)):
        yield batch
