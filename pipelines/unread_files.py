"""Input files that are unreadable as a whole: each becomes one photo with the reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from geoclip.errors import GeoclipError
from pipelines.photo_source import Photo, Shard


@dataclass(frozen=True)
class UnreadFile:
    """An unreadable file (a `photo_source.Part`); `odd` if it is intact but not for photos."""

    shard: Shard
    problem: Photo
    odd: bool = False
    rows: None = field(default=None, init=False)
    holds_bytes: bool = field(default=True, init=False)
    count: int = field(default=1, init=False)

    @classmethod
    def of_odd(cls, shard: Shard, problem: str) -> "UnreadFile":
        """The part of an intact file."""
        name = shard.name
        return cls(shard, Photo(name, name, problem=problem, rows=range(1), total=1), odd=True)

    def photos(self) -> Iterator[Photo]:
        """The one photo with the reason."""
        yield self.problem


def refuse_odd_alone(parts: Sequence[Any]) -> None:
    """Raise GeoclipError, with the first one's fault, if all parts are odd files."""
    if parts and all(isinstance(part, UnreadFile) and part.odd for part in parts):
        raise GeoclipError(str(parts[0].problem.problem))
