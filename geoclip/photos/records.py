"""The kept results of reading a photo, shared by library and command."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geoclip.encoders import Encoder
from geoclip.photos.abstention import Abstention
from geoclip.photos.embedding import Embeddings, encode_decoded
from geoclip.photos.gps_fix import GpsFix
from geoclip.photos.keys import photo_key
from geoclip.photos.metadata import NOTHING, PhotoMetadata
from geoclip.photos.opening import NamedPhoto
from geoclip.photos.reader import UNJUDGED, DecodedPhoto, PhotoReader, read_batches


@dataclass(frozen=True)
class PhotoRecord:
    """The findings in one photo; `embedding` (d,) is float16, None if not encoded.

    `key` identifies the file in a journal and is empty for a photo in memory. `status` is "ok", or
    the reason why the photo was unreadable or partial, with a sentence in `message`. An "ok" record
    has a message where the decoder complained.
    """

    key: bytes
    status: str
    message: str
    metadata: PhotoMetadata
    finding: Abstention
    embedding: np.ndarray | None

    @property
    def trusted_gps(self) -> GpsFix | None:
        """The stated position, if it is trustworthy."""
        return self.metadata.trusted_gps


def read_records(
    encoder: Encoder,
    read: PhotoReader,
    batches: Iterable[Sequence[NamedPhoto]],
    jobs: int,
) -> Iterator[list[PhotoRecord]]:
    """Read and encode batches of photos; `jobs` threads decode the next one meanwhile.

    Embeddings may depend in the last bit on the other photos of a batch.
    """
    for decoded in read_batches(batches, lambda photo: read(*photo), jobs):
        values = encode_decoded(encoder, decoded)
        yield [_record(photo, value) for photo, value in zip(decoded, values, strict=True)]


def records_of(embeddings: Embeddings, keys: Sequence[bytes] | None = None) -> list[PhotoRecord]:
    """Records of photos from their embeddings alone, at full precision.

    `keys` are the files' keys in journals and galleries.
    """
    found = embeddings
    values = [value if ok else None for value, ok in zip(found.values, found.ok, strict=True)]
    return [
        PhotoRecord(key, status, found.messages.get(name, ""), NOTHING, UNJUDGED, value)
        for key, name, status, value in zip(
            keys or [b""] * len(values), found.paths, found.status, values, strict=True
        )
    ]


def with_keys(records: Sequence[PhotoRecord], photos: Sequence[NamedPhoto]) -> list[PhotoRecord]:
    """The records with their files' keys in journals and galleries."""
    keys = [b"" if content is not None else photo_key(name) for name, content in photos]
    return [replace(record, key=key) for record, key in zip(records, keys, strict=True)]


def _record(photo: DecodedPhoto, value: np.ndarray | None) -> PhotoRecord:
    message = str(photo.problem) if photo.problem else ""
    if photo.noise and not message:
        message = f"the decoder reported {photo.noise:,} faults and continued."
    half = None if value is None else value.astype(np.float16)
    return PhotoRecord(b"", photo.status, message, photo.metadata, photo.finding, half)
