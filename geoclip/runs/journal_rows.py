"""Photo records as rows of a journal."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from geoclip.photos.abstention import Abstention
from geoclip.photos.gps_fix import GpsFix
from geoclip.photos.metadata import PhotoMetadata
from geoclip.photos.records import PhotoRecord
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
        "gps_file": pa.string(),
        "gps_time": pa.string(),  # UTC
        "taken": pa.string(),
        "camera": pa.string(),
        "utc_offset": pa.float64(),  # seconds
        "score": pa.float64(),
        "kind": pa.string(),
    }
)


def to_arrow(records: Sequence[PhotoRecord]) -> pa.Table:
    """Records as a table of `SCHEMA`."""
    return pa.Table.from_pylist([_row(record) for record in records], schema=SCHEMA)


def from_row(row: dict[str, Any]) -> PhotoRecord:
    """The record of one row of such a table."""
    gps = None
    if row["gps_trustworthy"] is not None:
        position = row["gps_lat"], row["gps_lon"]
        # Earlier versions stored neither the file nor the time.
        file, time = row.get("gps_file") or "", _moment(row.get("gps_time"))
        gps = GpsFix(*position, row["gps_trustworthy"], row["gps_reason"], file, time)
    offset = None if row["utc_offset"] is None else timedelta(seconds=row["utc_offset"])
    embedding = np.frombuffer(row["embedding"], "<f2") if row["embedded"] else None
    return PhotoRecord(
        row["key"],
        row["status"],
        row["message"],
        PhotoMetadata(gps, _moment(row["taken"]), row["camera"], offset),
        Abstention(row["score"], row["kind"]),
        embedding,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


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
        "gps_file": None if gps is None else encode_path(gps.file),
        "gps_time": None if gps is None or gps.time is None else gps.time.isoformat(),
        "taken": "" if metadata.taken is None else metadata.taken.isoformat(),
        "camera": encode_path(metadata.camera),
        "utc_offset": None if metadata.utc_offset is None else metadata.utc_offset.total_seconds(),
        "score": record.finding.score,
        "kind": record.finding.kind,
    }
