"""Photos in folders, perhaps millions: their names compressed, in parts."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.photo_source import Photo

CODEC = "zstd"
SHARES = 16
"""Fewest parts per worker, so that all end at about the same time."""
FEWEST, MOST = 16, 4096
"""Fewest and most listed photos in a part."""


@dataclass(frozen=True)
class ListedPaths:
    """Photos whose ids are their paths or URIs; `size` bytes of text, a tenth of that in memory."""

    packed: bytes
    size: int
    count: int
    shard: None = field(default=None, init=False)
    rows: None = field(default=None, init=False)
    holds_bytes: bool = field(default=False, init=False)

    @classmethod
    def of(cls, paths: Sequence[str]) -> "ListedPaths":
        """Those of some paths, at least one."""
        text = "\0".join(paths).encode()
        return cls(pa.compress(text, CODEC, asbytes=True), len(text), len(paths))

    @property
    def ids(self) -> list[str]:
        """The paths."""
        text: bytes = pa.decompress(self.packed, self.size, CODEC, asbytes=True)
        return text.decode().split("\0")

    def photos(self) -> Iterator[Photo]:
        """The photos, in the order of the paths."""
        return (Photo(path, path) for path in self.ids)

    def without(self, done: Container[str]) -> "ListedPaths | None":
        """The photos whose id is not in `done`; None if there are none."""
        left = [path for path in self.ids if path not in done]
        return ListedPaths.of(left) if left else None


class PathPacker:
    """Takes paths one by one and returns them in parts."""

    def __init__(self) -> None:
        self.count = 0
        self._whole: list[ListedPaths] = []
        self._waiting: list[str] = []

    def add(self, path: str) -> None:
        """Take one."""
        self.count += 1
        self._waiting.append(path)
        if len(self._waiting) == MOST:
            self._whole.append(ListedPaths.of(self._waiting))
            self._waiting = []

    def parts(self, workers: int) -> list[ListedPaths]:
        """The parts of all paths taken."""
        size = part_size(self.count, workers)
        rest = [ListedPaths.of(self._waiting)] if self._waiting else []
        if size == MOST:
            return [*self._whole, *rest]
        paths = (path for part in [*self._whole, *rest] for path in part.ids)
        return list(map(ListedPaths.of, _lists(paths, size)))


def part_size(count: int, workers: int) -> int:
    """Listed photos per part, so that each worker has some and none is too large."""
    return min(max(count // (SHARES * workers), FEWEST), MOST)


def _lists(paths: Iterable[str], size: int) -> Iterator[list[str]]:
    some: list[str] = []
    for path in paths:
        some.append(path)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
