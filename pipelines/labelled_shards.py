"""Training photos of known place in tar shards (WebDataset) and Parquet files."""

import json
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from geoclip.photos.listing import PHOTO_SUFFIXES
from geoclip.photos.trained_photos import fingerprint
from pipelines import parquet_photos, tar_photos
from pipelines.addresses import ParquetRow, TarMember
from pipelines.credentials import check_credentials
from pipelines.labelled_photos import LABELS, known_labels, labelled, stored_fingerprints
from pipelines.parquet_photos import ParquetRows
from pipelines.photo_source import Part, Photo
from pipelines.storage import attempted, filesystem, resumed
from pipelines.tar_photos import Member, PackedShardError, damage, read_members


@dataclass(frozen=True)
class LabelledTar:
    """The samples of a tar shard: adjacent files with one name up to a dot."""

    name: str

    def table(self) -> pd.DataFrame:
        """As `LabelledPart` says."""
        rows: list[dict[str, Any]] = []
        try:
            rows.extend(resumed(self._rows))
        except tar_photos.DAMAGE as problem:
            check_credentials(self.name, problem)
            reason = damage(self.name, problem)
            rows.append({"photo_id": self.name, "path": self.name, "problem": reason})
        return labelled(rows, self.name)

    def _rows(self) -> Iterator[dict[str, Any]]:
        members = read_members(self.name, PHOTO_SUFFIXES | {".json"})
        for _, side_by_side in groupby(members, key=_sample):
            files = list(side_by_side)
            labels = _json_labels(files)
            for file in files:
                if not _is_json(file):
                    yield labels | self._photo(file)

    def _photo(self, file: Member) -> dict[str, Any]:
        if file.offset is None:
            raise PackedShardError(
                "is compressed, and training reads its photos one by one; unpack it"
            )
        if file.problem:
            return {"photo_id": file.name, "path": file.name, "problem": file.problem}
        size = len(file.content)
        return {
            "photo_id": file.name,
            "path": str(TarMember(self.name, file.offset, size)),
            "fingerprint": fingerprint(posixpath.basename(file.path), size),
        }


def _sample(member: Member) -> tuple[str, str]:
    folder, name = posixpath.split(member.path)
    return folder, name.partition(".")[0]


def _is_json(member: Member) -> bool:
    return member.path.lower().endswith(".json")


def _json_labels(files: Sequence[Member]) -> dict[str, Any]:
    """The labels in the `.json` of a sample; empty without one."""
    for file in filter(_is_json, files):
        try:
            return known_labels(json.loads(file.content))
        except (ValueError, AttributeError):
            return {"problem": f"{file.name!r} is no JSON object"}
    return {}


@dataclass(frozen=True)
class LabelledRows:
    """Rows of a Parquet file: a part of `parquet_parts`."""

    part: Part

    def table(self) -> pd.DataFrame:
        """As `LabelledPart` says."""
        labels = _column_labels(self.part) if isinstance(self.part, ParquetRows) else []
        rows = [_row(photo, self.part, labels) for photo in self.part.photos()]
        named = [row for row in rows if "fingerprint" not in row and "problem" not in row]
        found = stored_fingerprints([row["path"] for row in named])
        for row, value in zip(named, found, strict=True):
            row["fingerprint"] = value
        return labelled(rows, self.part.shard.name if self.part.shard else "")


def lacking_labels(schema: pa.Schema) -> str:
    """The fault of a Parquet file without columns for places; "" for none."""
    known = {column.lower() for column in schema.names}
    if {"lat", "lon"} <= known or {"country_code", "place_id"} & known:
        return ""
    wanted = "it needs the columns lat and lon, or country_code, or place_id"
    return f"does not give the places of its photos: {wanted}."


def _column_labels(part: ParquetRows) -> list[dict[str, Any]]:
    """The labels of all rows of a part's row group; empty if the file is damaged."""
    name = part.shard.name

    def read() -> pa.Table:
        system, path = filesystem(name)
        with system.open_input_file(path) as stream:
            file = pq.ParquetFile(stream)
            columns = [c for c in file.schema_arrow.names if c.lower() in LABELS]
            return file.read_row_group(part.group, columns)

    try:
        table = attempted(read)
    except parquet_photos.DAMAGE as problem:
        check_credentials(name, problem)
        return []
    return list(map(known_labels, table.to_pylist()))


def _row(photo: Photo, part: Part, labels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"photo_id": photo.photo_id, "path": photo.path}
    if photo.problem is not None or not isinstance(part, ParquetRows):
        return row | {"problem": photo.problem}
    number = photo.rows.start - part.first
    row |= labels[number] if labels else {}
    if photo.content is not None:
        row["path"] = str(ParquetRow(part.shard.name, part.group, number))
        own = posixpath.basename(photo.photo_id)
        row["fingerprint"] = fingerprint(own, len(photo.content))
    return row
