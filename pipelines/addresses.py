"""Addresses of training photos' bytes, as table text, and their reader.

/photos/1.jpg, s3://bucket/1.jpg              a file
s3://bucket/00.tar#offset=1536&size=48213     bytes of a tar shard
s3://bucket/00.parquet#group=3&row=17         row 17 of row group 3 of a Parquet file

"""

import re
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geoclip.errors import PhotoError
from geoclip.photos.refusals import UNREADABLE
from geoclip.training.settings import WINDOW
from pipelines.credentials import check_credentials
from pipelines.parquet_columns import known_columns
from pipelines.parquet_photos import DAMAGE
from pipelines.storage import attempted, filesystem, is_uri, read_bytes

OPEN_SHARDS = 64
GROUPS_AT_ONCE = 4
_MEMBER = re.compile(r"(.+\.tar)#offset=(\d+)&size=(\d+)", re.IGNORECASE | re.DOTALL)
_ROW = re.compile(r"(.+\.parquet)#group=(\d+)&row=(\d+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class TarMember:
    """Bytes of a tar shard."""

    file: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.file}#offset={self.offset}&size={self.size}"

    @property
    def shard(self) -> str:
        """The key of photos that are read together; it sorts in storage order."""
        return self.file


@dataclass(frozen=True)
class ParquetRow:
    """A row of a row group of a Parquet file."""

    file: str
    group: int
    row: int

    def __str__(self) -> str:
        return f"{self.file}#group={self.group}&row={self.row}"

    @property
    def shard(self) -> str:
        """The key of photos that are read together; it sorts in storage order."""
        return f"{self.file}#{self.group:09}"


def parse(text: str) -> TarMember | ParquetRow | None:
    """The address in a text; None for a separate file.

    >>> parse("s3://b/0.tar#offset=512&size=9")
    TarMember(file='s3://b/0.tar', offset=512, size=9)
    """
    if found := _MEMBER.fullmatch(text):
        return TarMember(found[1], int(found[2]), int(found[3]))
    if found := _ROW.fullmatch(text):
        return ParquetRow(found[1], int(found[2]), int(found[3]))
    return None


def shard_numbers(paths: Sequence[str]) -> np.ndarray | None:
    """The shards of photos (N,), as in `PhotoSet.shards`; None if no photo is in a shard.

    A row group of a Parquet file is a shard: it is read as a whole.
    """
    addresses = [parse(path) if "#" in path else None for path in paths]
    names = pd.Series([address and address.shard for address in addresses], dtype=object)
    return None if names.isna().all() else pd.factorize(names, sort=True)[0]


class StoredPhotos:
    """Fetches photos by their addresses (a `photos.opening.Fetch`), from several threads at once.

    It keeps the last `groups` row groups in memory, but not when sent to other processes.
    """

    def __init__(self, groups: int = WINDOW) -> None:
        self.groups = groups
        self._lock = Lock()
        self._kept: dict[tuple[str, int], Future[pa.ChunkedArray]] = {}
        self._readers = ThreadPoolExecutor(GROUPS_AT_ONCE)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredPhotos, (self.groups,)

    def __call__(self, path: str) -> bytes | None:
        """The bytes of a photo; None for a local file.

        Raises PhotoError, and GeoclipError where credentials have expired.
        """
        address = parse(path)
        try:
            if isinstance(address, TarMember):
                return _member(address)
            if isinstance(address, ParquetRow):
                return self._row(address)
            return read_bytes(path) if is_uri(path) else None
        except (*DAMAGE, IndexError) as problem:
            check_credentials(path, problem)
            status = "missing" if isinstance(problem, FileNotFoundError) else UNREADABLE
            reason = " ".join(str(problem).split())
            raise PhotoError(
                f"{path!r}: it cannot be fetched ({reason}); check the address.", status
            ) from problem

    def _row(self, address: ParquetRow) -> bytes:
        key = address.file, address.group
        with self._lock:
            group = self._kept.pop(key, None) or self._readers.submit(_row_group, *key)
            self._kept[key] = group
            for oldest in list(self._kept)[: -self.groups]:
                del self._kept[oldest]
        try:
            content: bytes | None = group.result()[address.row].as_py()
        except DAMAGE:
            self._kept.pop(key, None)  # the next call tries again
            raise
        if content is None:
            raise IndexError("the row holds no bytes")
        return content


def _member(address: TarMember) -> bytes:
    def read() -> bytes:
        return bytes(_opened(address.file).read_at(address.size, address.offset))

    content = attempted(read)
    if len(content) < address.size:
        raise IndexError("the shard is shorter than it was")
    return content


@lru_cache(OPEN_SHARDS)
def _opened(name: str) -> pa.NativeFile:
    """A shard; opening it requests its size."""
    system, path = filesystem(name)
    return system.open_input_file(path)


def _row_group(name: str, group: int) -> pa.ChunkedArray:
    """The bytes of all photos of a row group."""

    def read() -> pa.ChunkedArray:
        system, path = filesystem(name)
        with system.open_input_file(path) as stream:
            file = pq.ParquetFile(stream, pre_buffer=True)
            column = known_columns(file.schema_arrow)["content"]
            values = file.read_row_group(group, [column])[column]
            return pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values

    values: pa.ChunkedArray = attempted(read)
    return values
