"""What a run keeps of a photo once its file has been read, and how it is stored."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from geoclip.encoders import Encoder
from geoclip.encoders.encoder import weight_sample
from geoclip.photos.abstention import Abstention
from geoclip.photos.metadata import GpsFix, PhotoMetadata
from geoclip.support.paths import encode_path

SCHEMA = pa.schema(
    {
        "key": pa.binary(),
        "status": pa.string(),
        "message": pa.string(),
        "embedded": pa.bool_(),
        "embedding": pa.binary(),  # little-endian float16
        "gps_lat": pa.float64(),
        "gps_lon": pa.float64(),
        "gps_trustworthy": pa.bool_(),  # null: no GPS
        "gps_reason": pa.string(),
        "taken": pa.string(),
        "camera": pa.string(),
        "utc_offset": pa.float64(),  # seconds
        "score": pa.float64(),
        "kind": pa.string(),
    }
)


@dataclass(frozen=True)
class PhotoRecord:
    """What was found in one file; `embedding` (d,) is float16 and None where nothing was encoded.

    `status` is "ok" or the reason why the file could not be read, with a sentence in `message`.
    """

    key: bytes
    status: str
    message: str
    metadata: PhotoMetadata
    finding: Abstention
    embedding: np.ndarray | None

    @property
    def trusted_gps(self) -> GpsFix | None:
        """The stated position, if it can be relied upon."""
        gps = self.metadata.gps
        return gps if gps is not None and gps.trustworthy else None


def photo_key(path: str | os.PathLike[str]) -> bytes:
    """Sixteen bytes that change with a file's path, size, time of change or permissions."""
    name = os.path.abspath(path)  # noqa: PTH100 (links are not followed)
    try:
        info = os.stat(name)  # noqa: PTH116
        state = (info.st_size, info.st_mtime_ns, info.st_mode)
    except (OSError, ValueError):
        state = (-1, 0, 0)
    return hashlib.sha256(os.fsencode(name) + repr(state).encode()).digest()[:16]


def encoder_key(encoder: Encoder, *options: object) -> str:
    """Hash that changes with the image tower, what it is fed and the `options` of reading."""
    digest = hashlib.sha256(type(encoder).__name__.encode())
    tensors = [*encoder.tower_parameters("image"), *encoder.model.buffers()]
    for tensor in tensors:
        digest.update(weight_sample(tensor))
    digest.update(repr((encoder.image_size, encoder.normalization, options)).encode())
    digest.update(_fed_to(encoder))
    return digest.hexdigest()[:20]


def _fed_to(encoder: Encoder) -> bytes:
    """What a picture of noise becomes before it is encoded, coarsely: how it is resized, cut."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 301, 3), dtype=np.uint8)
    pixels = encoder.preprocess(Image.fromarray(noise)).float().numpy()
    return np.round(4 * pixels).astype(np.int16).tobytes()


def to_arrow(records: Sequence[PhotoRecord]) -> pa.Table:
    """Records as a table of `SCHEMA`."""
    return pa.Table.from_pylist([_row(record) for record in records], schema=SCHEMA)


def from_row(row: dict[str, Any]) -> PhotoRecord:
    """The record of one row of such a table."""
    gps = None
    if row["gps_trustworthy"] is not None:
        position = row["gps_lat"], row["gps_lon"]
        gps = GpsFix(*position, row["gps_trustworthy"], row["gps_reason"])
    offset = None if row["utc_offset"] is None else timedelta(seconds=row["utc_offset"])
    taken = datetime.fromisoformat(row["taken"]) if row["taken"] else None
    embedding = np.frombuffer(row["embedding"], "<f2") if row["embedded"] else None
    return PhotoRecord(
        row["key"],
        row["status"],
        row["message"],
        PhotoMetadata(gps, taken, row["camera"], offset),
        Abstention(row["score"], row["kind"]),
        embedding,
    )


def _row(record: PhotoRecord) -> dict[str, Any]:
    metadata, gps, embedding = record.metadata, record.metadata.gps, record.embedding
    return {
        "key": record.key,
        "status": record.status,
        "message": encode_path(record.message),
        "embedded": embedding is not None,
        "embedding": b"" if embedding is None else embedding.astype("<f2").tobytes(),
        "gps_lat": None if gps is None else gps.lat,
        "gps_lon": None if gps is None else gps.lon,
        "gps_trustworthy": None if gps is None else gps.trustworthy,
        "gps_reason": None if gps is None else gps.reason,
        "taken": "" if metadata.taken is None else metadata.taken.isoformat(),
        "camera": encode_path(metadata.camera),
        "utc_offset": None if metadata.utc_offset is None else metadata.utc_offset.total_seconds(),
        "score": record.finding.score,
        "kind": record.finding.kind,
    }
