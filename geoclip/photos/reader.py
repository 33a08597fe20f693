"""Photo and video files → pixels for an encoder, decoded ahead by threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import torch
from PIL import Image

from geoclip.errors import PhotoError
from geoclip.photos.abstention import Abstention, AbstentionCheck
from geoclip.photos.decoding import NOISE, flaw
from geoclip.photos.metadata import NOTHING, PhotoMetadata, with_files_beside
from geoclip.photos.opening import Content, Fetch, opened
from geoclip.photos.videos import FRAMES
from geoclip.support.paths import AnyPath, decode_path

BATCH = 32
UNJUDGED = Abstention(0.0, "")

Item = TypeVar("Item")
Decode = Callable[[AnyPath, Content | None, int, int], list[Image.Image]]


@dataclass(frozen=True)
class DecodedPhoto:
    """The result of reading a photo: `pixels` (F, 3, S, S) of F frames (1 for a photo), or the
    `problem`.

    Both exist for a photo decoded in part (status "partial"), neither if only metadata was wanted.
    `noise` counts the decoder's complaints about a photo that it still decoded.
    """

    pixels: torch.Tensor | None
    problem: PhotoError | None
    metadata: PhotoMetadata = NOTHING
    finding: Abstention = UNJUDGED
    noise: int = 0

    @property
    def status(self) -> str:
        """ "ok", or the problem's status."""
        return self.problem.status if self.problem else "ok"


class Preprocessor(Protocol):
    """Prepares pictures; an encoder is one."""

    @property
    def preprocess(self) -> Callable[[Image.Image], torch.Tensor]:
        """Turns an upright RGB image into pixels (3, S, S)."""
        ...

    @property
    def image_size(self) -> int:
        """S."""
        ...


class PhotoReader:
    """Reads one photo or video: pixels and, if wanted, metadata and whether it shows a place.

    A file is opened once for all of these. With `trust_gps` a photo with trustworthy GPS is not
    decoded, with `trust_all` one with any GPS. `check` judges pictures by their pixels. `decode`
    replaces `read_pictures` where files must not be opened in this process; there is no metadata
    then. `fetch` gives the bytes of photos outside this machine. Safe to call from several threads.
    """

    def __init__(
        self,
        encoder: Preprocessor,
        *,
        metadata: bool = False,
        trust_gps: bool = False,
        trust_all: bool = False,
        check: AbstentionCheck | None = None,
        frames: int = FRAMES,
        decode: Decode | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self.encoder = encoder
        self.metadata = metadata
        self.trust_gps = trust_gps
        self.trust_all = trust_all
        self.check = check
        self.frames = frames
        self.decode = decode
        self.fetch = fetch

    def __call__(self, path: AnyPath, content: Content | None = None) -> DecodedPhoto:
        """Read a photo; an unreadable one gives a `DecodedPhoto` with its problem.

        With `content` (bytes, an image or an array) `path` is only a name.
        """
        metadata, size = NOTHING, self.encoder.image_size
        try:
            if self.fetch is not None and isinstance(path, str) and content is None:
                content = self.fetch(path)
            # A text may come from a table, where a name that is not UTF-8 is encoded.
            file = decode_path(path) if isinstance(path, str) and content is None else path
            if self.decode is not None:
                pictures = self.decode(file, content, self.frames, size)
            else:
                with opened(file, content) as photo:
                    if self.metadata:
                        metadata = photo.metadata()
                        if content is None:
                            metadata = with_files_beside(metadata, file)
                    if self.is_enough(metadata):
                        return DecodedPhoto(None, None, metadata)
                    pictures = photo.pictures(self.frames, size)
            pixels = torch.stack([self.encoder.preprocess(picture) for picture in pictures])
        except PhotoError as problem:
            return DecodedPhoto(None, problem, metadata)
        name, noise = os.fspath(path), sum(picture.info.get(NOISE, 0) for picture in pictures)
        return DecodedPhoto(pixels, flaw(pictures, name), metadata, self._finding(pictures), noise)

    def is_enough(self, metadata: PhotoMetadata) -> bool:
        """Whether the position is known without the pixels."""
        if self.trust_all:
            return metadata.trusting_all().trusted_gps is not None
        return self.trust_gps and metadata.trusted_gps is not None

    def _finding(self, pictures: list[Image.Image]) -> Abstention:
        """The abstention of all frames; one frame that shows a place is enough."""
        if self.check is None:
            return UNJUDGED
        findings = [self.check.of_picture(picture) for picture in pictures]
        return min(findings, key=lambda finding: finding.score)


def read_batches(
    batches: Iterable[Sequence[Item]],
    read: Callable[[Item], DecodedPhoto],
    threads: int = 2,
) -> Iterator[list[DecodedPhoto]]:
    """Yield the decoded photos of each batch of paths, or other inputs of `read`, in order.

    `threads` threads decode the next batch while the caller works on the last one.
    """
    remaining = iter(batches)
    pool = ThreadPoolExecutor(threads)
    try:
        ahead = deque([pool.submit(read, path) for path in batch] for batch in islice(remaining, 1))
        while ahead:
            ahead.extend([pool.submit(read, path) for path in b] for b in islice(remaining, 1))
            yield [future.result() for future in ahead.popleft()]
    finally:  # also where the caller stops: nothing more is decoded
        pool.shutdown(wait=True, cancel_futures=True)


def in_batches(items: Iterable[Item], size: int = BATCH) -> Iterator[list[Item]]:
    """Cut items into batches of `size`; the last may be smaller."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
