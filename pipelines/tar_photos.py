"""Photos in tar shards, as WebDataset packs them: read once from beginning to end."""

import tarfile
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace

from geoclip.photos.folder_rules import USUAL
from geoclip.photos.listing import PHOTO_SUFFIXES, VIDEO_SUFFIXES, is_wanted
from geoclip.support.paths import encode_path
from pipelines.photo_source import Photo, Shard, lost_rows
from pipelines.read_ahead import ReadAhead
from pipelines.storage import filesystem, resumed

TAR = ".tar"
DAMAGE = (OSError, EOFError, tarfile.TarError)


@dataclass(frozen=True)
class TarShard:
    """The photos and videos of a shard; ids are the shard's name and the member's."""

    shard: Shard
    rows: None = field(default=None, init=False)
    holds_bytes: bool = field(default=True, init=False)
    count: None = field(default=None, init=False)

    def photos(self) -> Iterator[Photo]:
        """Read them; where it cannot be read on, the last one is a problem in the shard's name."""
        name, number = self.shard.name, 0
        waiting: Photo | None = None
        try:
            for number, photo in enumerate(resumed(self._members), 1):
                if waiting:
                    yield waiting
                waiting = replace(photo, rows=range(number - 1, number))
        except DAMAGE as problem:
            if waiting:
                yield waiting
            reason = damage(name, problem)
            waiting = Photo(name, name, problem=reason, rows=lost_rows(number, number + 1, problem))
        if waiting:
            yield replace(waiting, total=waiting.rows.stop if waiting.rows else None)

    def _members(self) -> Iterator[Photo]:
        for member in read_members(self.shard.name, PHOTO_SUFFIXES | VIDEO_SUFFIXES):
            yield Photo(member.name, member.name, member.content)


def damage(shard: str, problem: Exception) -> str:
    """What is said of a shard that cannot be read."""
    return f"{shard!r}: the shard is cut off or damaged ({problem}); copy it again."


@dataclass(frozen=True)
class Member:
    """A file in a shard: its `path` there, `content` from `offset` on, and a name of its own.

    The name begins with the shard's.
    """

    name: str
    path: str
    offset: int
    content: bytes


def read_members(shard: str, wanted: Container[str]) -> Iterator[Member]:
    """The files of a shard whose ending is one of `wanted`; raises as `tarfile` and storage do."""
    system, path = filesystem(shard)
    with (
        ReadAhead(system.open_input_file(path)) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        seen: Counter[str] = Counter()
        for member in tar:
            if (
                member.isfile()
                and is_wanted(member.name, wanted)
                and not USUAL.leaves_out_below(member.name)
                and (file := tar.extractfile(member))
            ):
                name = encode_path(f"{shard}/{member.name}")
                seen[name] += 1
                if seen[name] > 1:  # `tar -r` adds a changed file under the name it had
                    name = f"{name}#{seen[name]}"
                yield Member(name, member.name, member.offset_data, file.read())
        if stream.size < tar.offset + tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it has no end mark")  # tarfile takes that for an end
