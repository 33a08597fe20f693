"""Decoded photos → embeddings, and the mean embedding of the views of a location."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.photos.opening import Fetch, NamedPhoto
from geoclip.photos.reader import BATCH, DecodedPhoto, PhotoReader, in_batches, read_batches
from geoclip.photos.refusals import READ
from geoclip.photos.views import location_keys
from geoclip.support.paths import encode_path


class PixelEncoder(Protocol):
    """Encodes the pixels of decoded photos."""

    def encode_pixels(self, pixels: torch.Tensor) -> np.ndarray:
        """Pixels (N, …) → embeddings (N, d), float32, unit length."""
        ...


@dataclass(frozen=True)
class Embeddings:
    """Unit-length image embeddings (N, d) of N paths; NaN where `status` is not in `READ`."""

    paths: list[str]
    values: np.ndarray
    status: list[str]
    messages: dict[str, str]

    @property
    def ok(self) -> np.ndarray:
        """Mask (N,) of the photos that were read."""
        return np.array([status in READ for status in self.status], dtype=bool)

    def only(self) -> np.ndarray:
        """The embedding (d,) of the only photo; GeoclipError for several or an unread one."""
        if len(self.paths) != 1:
            raise GeoclipError(f"{len(self.paths)} photos were given: give one at a time.")
        if not self.ok[0]:
            raise GeoclipError(self.messages[self.paths[0]])
        return np.asarray(self.values[0])

    def part(self, rows: slice) -> "Embeddings":
        """The embeddings of some photos."""
        return Embeddings(self.paths[rows], self.values[rows], self.status[rows], self.messages)


def encode_decoded(
    encoder: PixelEncoder, decoded: Sequence[DecodedPhoto]
) -> list[np.ndarray | None]:
    """Embeddings (d,) of decoded photos, a video's the mean of its frames; None without pixels."""
    pixels = [photo.pixels for photo in decoded if photo.pixels is not None]
    if not pixels:
        return [None] * len(decoded)
    values = encoder.encode_pixels(torch.cat(pixels))
    parts = np.split(values, np.cumsum([len(frames) for frames in pixels])[:-1])
    means = iter(part[0] if len(part) == 1 else _unit_mean(part) for part in parts)
    return [None if photo.pixels is None else next(means) for photo in decoded]


def embed_named(
    encoder: Encoder,
    photos: Sequence[NamedPhoto],
    width: int,
    progress: Callable[[int], None] | None = None,
    fetch: Fetch | None = None,
) -> Embeddings:
    """Embeddings (N, width) of N photos and videos; one batch is read while another is encoded.

    An unreadable photo gets a status and a row of NaN. `fetch` gives the bytes of paths outside
    this machine.
    """
    read = PhotoReader(encoder, fetch=fetch)
    encoder.expect(len(photos))
    decoded = read_batches(in_batches(photos, BATCH), lambda photo: read(*photo))
    return embed_batches(
        encoder, [encode_path(name) for name, _ in photos], decoded, width, progress
    )


def embed_batches(
    encoder: PixelEncoder,
    names: list[str],
    batches: Iterable[Sequence[DecodedPhoto]],
    width: int,
    progress: Callable[[int], None] | None = None,
) -> Embeddings:
    """Embeddings (N, width) of the N named photos in `batches`.

    `progress` is called with the number of photos of each batch.
    """
    values = np.full((len(names), width), np.nan, np.float32)
    status: list[str] = []
    messages: dict[str, str] = {}
    for batch in batches:
        for photo, value in zip(batch, encode_decoded(encoder, batch), strict=True):
            row = len(status)
            if value is not None:
                values[row] = value
            if photo.problem is not None:
                messages[names[row]] = str(photo.problem)
            status.append(photo.status)
        if progress:
            progress(len(batch))
    return Embeddings(names, values, status, messages)


def mean_of_views(values: np.ndarray, location_ids: Iterable[object]) -> np.ndarray:
    """Replace each embedding (N, d) by the normalised mean of the views of its location.

    A photo without an id (see `location_keys`) keeps its own.

    >>> mean_of_views(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), ["a", None, "a"]).round(2)
    array([[0.71, 0.71],
           [0.6 , 0.8 ],
           [0.71, 0.71]])
    """
    number: dict[object, int] = {}
    codes = np.array(
        [number.setdefault(key, len(number)) for key in location_keys(location_ids)], np.int64
    )
    sums = np.zeros((len(number), values.shape[1]), values.dtype)
    np.add.at(sums, codes, values)
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    return sums[codes]


def _unit_mean(values: np.ndarray) -> np.ndarray:
    mean: np.ndarray = values.mean(axis=0)
    mean /= np.linalg.norm(mean)
    return mean
