"""Photos in tar shards, as WebDataset packs them: read once from beginning to end.

They may be packed with gzip, whatever their names say.
"""

import gzip
import io
import tarfile
import zlib
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from geoclip.photos.folder_rules import USUAL
from geoclip.photos.listing import PHOTO_SUFFIXES, VIDEO_SUFFIXES, is_wanted
from geoclip.support.paths import encode_path
from pipelines.credentials import check_credentials
from pipelines.photo_source import Photo, Shard, lost_rows
from pipelines.read_ahead import PIECE, ReadAhead
from pipelines.storage import filesystem, resumed

TAR = (".tar", ".tar.gz", ".tgz")
DAMAGE = (OSError, EOFError, tarfile.TarError)
GZIP = b"\x1f\x8b"
PACKED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
"""First bytes of unsupported compressions."""


@dataclass(frozen=True)
class TarShard:
    """The photos and videos of a shard; ids are the shard's name and the member's."""

    shard: Shard
    rows: None = field(default=None, init=False)
    holds_bytes: bool = field(default=True, init=False)
    count: None = field(default=None, init=False)

    def photos(self) -> Iterator[Photo]:
        """Read them; an unreadable rest becomes a problem under the shard's name."""
        name, number = self.shard.name, 0
        waiting: Photo | None = None
        try:
            for number, photo in enumerate(resumed(self._members), 1):
                if waiting:
                    yield waiting
                waiting = replace(photo, rows=range(number - 1, number))
        except DAMAGE as problem:
            check_credentials(name, problem)
            if waiting:
                yield waiting
            reason = damage(name, problem)
            waiting = Photo(name, name, problem=reason, rows=lost_rows(number, number + 1, problem))
        if waiting:
            yield replace(waiting, total=waiting.rows.stop if waiting.rows else None)

    def _members(self) -> Iterator[Photo]:
        for member in read_members(self.shard.name, PHOTO_SUFFIXES | VIDEO_SUFFIXES):
            content = None if member.problem else member.content
            yield Photo(member.name, member.name, content, problem=member.problem)


class PackedShardError(tarfile.ReadError):
    """A shard with an unsupported compression."""


def damage(shard: str, problem: Exception) -> str:
    """The message for an unreadable shard."""
    if isinstance(problem, PackedShardError):
        return f"{shard!r}: the shard {problem}."
    return f"{shard!r}: the shard is cut off or damaged ({problem}); copy it again."


@dataclass(frozen=True)
class Member:
    """A file in a shard: its `path` there, `content` from `offset` on, and its own name.

    The name begins with the shard's. In a compressed shard the offset is None. `problem` explains
    why a photo has no content.
    """

    name: str
    path: str
    offset: int | None
    content: bytes
    problem: str | None = None


def read_members(shard: str, wanted: Container[str]) -> Iterator[Member]:
    """A shard's files whose ending is in `wanted`; raises the errors of `tarfile` and storage."""
    seen: Counter[str] = Counter()
    try:
        with (
            _unpacked(shard) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar,
        ):
            for member in tar:
                if member.isdir() or not is_wanted(member.name, wanted):
                    continue
                if USUAL.leaves_out_below(member.name):
                    continue
                name = encode_path(f"{shard}/{member.name}")
                seen[name] += 1
                if seen[name] > 1:  # `tar -r` appends a changed file under its old name
                    name = f"{name}#{seen[name]}"
                offset = None if isinstance(stream, gzip.GzipFile) else member.offset_data
                file = tar.extractfile(member) if member.isfile() else None
                if file is None:
                    problem = f"{name!r}: it is a link in the shard; pack the photo itself."
                    yield Member(name, member.name, offset, b"", problem)
                else:
                    yield Member(name, member.name, offset, file.read())
    except (gzip.BadGzipFile, zlib.error) as problem:  # these are not storage errors
        raise tarfile.ReadError(str(problem)) from problem


@contextmanager
def _unpacked(shard: str) -> "Iterator[io.BufferedReader[Any] | gzip.GzipFile]":
    """The bytes of a tar file, to be read once; gzip's checksum is verified at the end."""
    system, path = filesystem(shard)
    with io.BufferedReader(ReadAhead(system.open_input_file(path))) as stream:
        start = stream.peek(max(map(len, PACKED)))
        for sign, packer in PACKED.items():
            if start.startswith(sign):
                raise PackedShardError(f"is compressed with {packer}; make it a .tar or .tar.gz")
        if not start.startswith(GZIP):
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield unpacked
            while unpacked.read(PIECE):
                pass


class _Header(tarfile.TarInfo):
    """A header; anything but a whole one or the end mark is an error: `tarfile` treats it as the
    end, and later photos would be silently lost.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in 512 bytes; zeros are the end mark."""
        if len(buf) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it has no end mark")
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as problem:
            if any(buf):
                raise tarfile.ReadError(str(problem)) from None
            raise
