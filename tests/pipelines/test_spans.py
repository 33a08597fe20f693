"""Finished rows, against sets of rows."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.photo_source import ORIGIN, Photo, RestOfShard, Shard
from pipelines.spans import Done, Span, spans_of

ROWS = 12


class Whole:
    """A shard of `ROWS` photos."""

    holds_bytes = True
    rows = None

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def photos(self) -> list[Photo]:
        return [Photo(f"{i}", f"{i}", rows=range(i, i + 1)) for i in range(ROWS)]


def table(shard: Shard, rows: list[int], *, top_k: int = 1, failed: int = -1) -> pa.Table:
    """Rows of an output for some rows of a shard of `ROWS`."""
    kept = [i for i in rows for _ in range(1 if i == failed else top_k)]
    origins = [
        {"name": shard.name, "size": shard.size, "mtime": shard.mtime, "start": i, "stop": i + 1}
        | {"total": ROWS if i == ROWS - 1 else None}
        for i in kept
    ]
    return pa.table(
        {
            "photo_id": pa.array([f"{shard.name}-{i}" for i in kept], pa.string()),
            "status": ["unreadable" if i == failed else "ok" for i in kept],
            "origin": pa.array(origins, ORIGIN),
        }
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, ROWS - 1), max_size=ROWS), max_size=5), st.integers(1, 3))
def test_rows_that_are_done(blocks: list[list[int]], top_k: int) -> None:
    """Blocks come in any order, and may even come twice."""
    shard = Shard("s3://b/0.tar", 10, 20)
    spans = [
        Span.of_values(span.values())
        for block in blocks
        for span in spans_of(table(shard, block, top_k=top_k))
    ]
    known = {i for block in blocks for i in block}
    done = Done(spans)
    assert {i for rows in done.rows(shard) for i in rows} == known
    assert done.is_finished(shard) == (known == set(range(ROWS)))
    rest = done.rest(Whole(shard))
    left = [] if rest is None else [photo.rows.start for photo in rest.photos()]
    assert left == [i for i in range(ROWS) if i not in known]
    assert sum(span.rows for span in spans) == top_k * sum(map(len, blocks))


def test_a_span_is_as_long_as_it_can_be() -> None:
    one, other = Shard("a.tar", 1, 1), Shard("b.tar", 1, 1)
    rows = pa.concat_tables(
        [table(one, [0, 1, 2, 3], top_k=3, failed=2), table(other, [4, 5]), table(other, [7])]
    )
    spans = spans_of(rows)
    assert spans == [
        Span(one, 0, 4, -1, rows=10, photos=4, failed=1),
        Span(other, 4, 6, -1, rows=2, photos=2, failed=0),
        Span(other, 7, 8, -1, rows=1, photos=1, failed=0),
    ]
    done = Done(spans)
    assert (done.photos, done.failed) == (7, 1)


def test_listed_photos_are_of_no_shard() -> None:
    ids = ["a", "a", "b", "c"]
    rows = pa.table({"photo_id": ids, "status": ["ok"] * 4, "origin": pa.array([None] * 4, ORIGIN)})
    (span,) = spans_of(rows)
    assert (span.shard.name, span.rows, span.photos) == ("", 4, 3)


@pytest.mark.parametrize(
    ("now", "failed", "outdated"),
    [
        (Shard("a.tar", 1, 1), 0, False),
        (Shard("a.tar", 1, 2), -1, False),  # copied again, and nothing in it failed
        (Shard("a.tar", 1, 2), 0, True),
        (Shard("a.tar", 2, 2), -1, True),
        (Shard("b.tar", 2, 2), 0, False),
    ],
)
def test_a_shard_that_has_changed(now: Shard, failed: int, outdated: bool) -> None:
    done = Done(spans_of(table(Shard("a.tar", 1, 1), list(range(ROWS)), failed=failed)))
    assert done.is_outdated(now) == outdated
    assert done.is_finished(now) == (now.name == "a.tar" and not outdated)


def test_a_part_whose_rows_are_done_is_not_read() -> None:
    shard = Shard("a.parquet", 1, 1)
    done = Done(spans_of(table(shard, [0, 1, 2, 5])))

    class Group(Whole):
        rows = range(3)

    assert done.rest(Group(shard)) is None
    rest = done.rest(Whole(shard))
    assert isinstance(rest, RestOfShard)
    assert done.rest(Whole(Shard("other", 1, 1))).shard.name == "other"
