"""The spans of an output: its files' rows for each shard's rows.

Every file states its spans in its footer, so that its rows always count as done.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.photo_source import Part, RestOfShard, Shard, covers

READ = "ok"
"""The status of a photo that could be read."""


@dataclass(frozen=True, slots=True)
class Span:
    """`rows` rows of an output, from rows `start` to `stop` of a shard's `total`.

    `total` is -1 if unknown. For listed photos the shard has no name.
    """

    shard: Shard
    start: int
    stop: int
    total: int
    rows: int
    photos: int
    failed: int

    @property
    def is_open(self) -> bool:
        """Whether it only notes that the rest of a shard was unreachable."""
        return bool(self.shard.name) and self.start == self.stop

    def with_next(self, other: "Span") -> "Span | None":
        """Both as one, if `other` continues where this one ends or at its last location."""
        goes_on = not self.shard.name or other.start in (self.start, self.stop)
        if self.shard != other.shard or not goes_on or self.is_open or other.is_open:
            return None
        return Span(
            self.shard,
            self.start,
            max(self.stop, other.stop),
            max(self.total, other.total),
            self.rows + other.rows,
            self.photos + other.photos,
            self.failed + other.failed,
        )

    def values(self) -> list[Any]:
        """The arguments of `of_values`."""
        return [*astuple(self.shard), *astuple(self)[1:]]

    @classmethod
    def of_values(cls, values: Sequence[Any]) -> "Span":
        """From values of JSON."""
        return cls(Shard(*values[:3]), *values[3:])


def joined(spans: Iterable[Span]) -> list[Span]:
    """Consecutive spans joined into as few as possible."""
    found: list[Span] = []
    for span in spans:
        both = found[-1].with_next(span) if found else None
        if both:
            found[-1] = both
        else:
            found.append(span)
    return found


def spans_of(table: pa.Table) -> list[Span]:
    """The spans, in order, of rows with origin, photo_id, status; a photo's rows are adjacent."""
    ids = table["photo_id"].combine_chunks()
    starts = [0, *(np.flatnonzero(pc.not_equal(ids[1:], ids[:-1])) + 1)][: len(ids)]
    first = table.select(["origin", "status"]).take(pa.array(starts, pa.int64())).to_pylist()
    counts = np.diff([*starts, len(ids)]).tolist()
    return joined(
        _span(photo["origin"] or {}, photo["status"], rows)
        for photo, rows in zip(first, counts, strict=True)
    )


def _span(origin: dict[str, Any], status: str, rows: int) -> Span:
    shard = Shard(origin.get("name", ""), origin.get("size", -1), origin.get("mtime", -1))
    total = origin.get("total")
    return Span(
        shard,
        origin.get("start", 0),
        origin.get("stop", 0),
        -1 if total is None else total,
        rows,
        photos=1,
        failed=int(status != READ),
    )


class Done:
    """The finished rows by shard, from the spans of an output's files."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: defaultdict[str, list[Span]] = defaultdict(list)
        for span in spans:
            self._spans[span.shard.name].append(span)

    @property
    def photos(self) -> int:
        """The number of photos with rows."""
        return sum(span.photos for own in self._spans.values() for span in own)

    @property
    def failed(self) -> int:
        """The number of unreadable photos."""
        return sum(span.failed for own in self._spans.values() for span in own)

    def is_outdated(self, shard: Shard) -> bool:
        """Whether a shard has changed since it was done.

        It has if its size changed, or if photos in it failed and it was written since: it may have
        been mended. A copy with only a newer date is the same.
        """
        return any(
            span.shard.size != shard.size or (span.failed and span.shard.mtime != shard.mtime)
            for span in self._spans.get(shard.name, ())
        )

    def rows(self, shard: Shard) -> list[range]:
        """The finished rows of a shard, in order and disjoint."""
        found: list[range] = []
        spans = (span for span in self._spans.get(shard.name, ()) if not span.is_open)
        for span in sorted(spans, key=lambda span: span.start):
            if found and span.start <= found[-1].stop:
                found[-1] = range(found[-1].start, max(found[-1].stop, span.stop))
            else:
                found.append(range(span.start, span.stop))
        return found

    def is_finished(self, shard: Shard) -> bool:
        """Whether all of a shard, in its present state, is done."""
        total = max((span.total for span in self._spans.get(shard.name, ())), default=-1)
        return not self.is_outdated(shard) and covers(self.rows(shard), range(max(total, 0)))

    def rest(self, part: Part) -> Part | None:
        """The unfinished rest of a part of a shard; None if there is none."""
        if part.shard is None or part.shard.name not in self._spans:
            return part
        done = self.rows(part.shard)
        if self.is_finished(part.shard) or covers(done, part.rows or range(0)):
            return None
        return RestOfShard(part, done)
