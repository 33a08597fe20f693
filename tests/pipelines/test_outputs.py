"""Outputs without actors: nothing is lost and nothing is twice, whenever a run is stopped."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from loopback_s3 import refusing

from geoclip.errors import GeoclipError
from pipelines import outputs, part_files, storage
from pipelines.outputs import Output
from pipelines.photo_source import (
    ListedPhotos,
    Part,
    Photo,
    Shard,
    locations,
    lost_rows,
    read_blocks,
    with_origins,
)
from pipelines.storage import filesystem, list_files, write_bytes

SCHEMA = pa.schema(
    {name: pa.string() for name in ("photo_id", "path", "status", "message")} | {"rank": pa.int64()}
)
BLOCK = 3
PIECE = 7
CALLS_OF_A_MERGE = 4
"""Calls that change storage: a draft of the failures, its move, and the same for the rows."""


class KillError(Exception):
    """The end of a process."""


class Tar:
    """A shard of photos that are their numbers; those in `bad` cannot be read."""

    rows = None
    holds_bytes = True

    def __init__(self, name: str, photos: int, bad: Sequence[int] = (), mtime: int = 1) -> None:
        self.shard = Shard(name, photos, mtime)
        self.bad = bad

    def photos(self) -> Iterator[Photo]:
        size = self.shard.size
        for i in range(size):
            name = f"{self.shard.name}/{i}"
            problem = "broken" if i in self.bad else None
            yield Photo(
                name, name, b"x", "", problem, range(i, i + 1), size if i == size - 1 else None
            )


class Work:
    """In the place of actors: two rows a photo, written as they come, until it is killed."""

    def __init__(self, parts: Sequence[Part], blocks: int) -> None:
        self.parts, self.blocks = parts, blocks

    def write_datasink(self, sink: Any, **_: Any) -> None:
        waiting: list[pa.Table] = []
        for number, block in enumerate(self._blocks()):
            if number == self.blocks:
                raise KillError
            waiting.append(block)
            if sum(len(table) for table in waiting) >= sink.min_rows_per_write:
                sink.write(waiting, None)
                waiting = []
        sink.write(waiting, None)

    def _blocks(self) -> Iterator[pa.Table]:
        streams = [read_blocks(part) for part in self.parts]
        while streams:  # all at once, as on a cluster
            for stream in list(streams):
                block = next(stream, None)
                if block is None:
                    streams.remove(stream)
                    continue
                for start in range(0, len(block), BLOCK):
                    yield rows_of(block[start : start + BLOCK].to_pylist())


def rows_of(located: list[dict[str, Any]]) -> pa.Table:
    made = []
    for row in located:
        for view in row["views"]:
            bad = view["problem"] is not None
            given = {"photo_id": view["photo_id"], "path": view["path"], "message": view["problem"]}
            ranks = [0] if bad else [1, 2]
            made += [{**given, "status": "bad" if bad else "ok", "rank": rank} for rank in ranks]
    return with_origins(pa.Table.from_pylist(made, SCHEMA), located)


@pytest.fixture(autouse=True)
def small_files_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a few rows, which this process merges itself."""
    monkeypatch.setattr(part_files, "ROWS", 20)
    monkeypatch.setattr(part_files, "MOST_ROWS", 30)
    monkeypatch.setattr(storage, "FIRST_WAIT", 0)
    monkeypatch.setattr(outputs, "_merge", SimpleNamespace(remote=part_files.merge))
    monkeypatch.setattr(outputs, "ray", SimpleNamespace(get=list))


@pytest.fixture
def output() -> Output:
    return Output(f"memory://{uuid4().hex}/out")


def parts() -> list[Part]:
    listed = [Photo(f"l{i}.jpg", f"l{i}.jpg", location_id=f"{i // 2}") for i in range(9)]
    shards = [Tar("a.tar", 8, bad=[3]), Tar("b.tar", 1), Tar("c.tar", 40, bad=[39])]
    return [ListedPhotos(listed), *shards]


def complete(output: Output, parts: Sequence[Part], blocks: int = -1) -> list[Part]:
    """Run until this many blocks are made; returns the remaining work."""
    left: list[Part] = []

    def work(some: Sequence[Part]) -> Any:
        left.extend(some)
        return Work(some, blocks)

    output.complete(parts, work, SCHEMA, PIECE)
    return left


def read(folder: str) -> pd.DataFrame:
    system, _ = filesystem(folder)
    names = [file.path for file in list_files(folder) if not storage.is_draft(file.path)]
    tables = [pq.read_table(name, filesystem=system).to_pandas() for name in names]
    rows = pd.concat([pd.DataFrame(columns=SCHEMA.names), *tables], ignore_index=True)
    keys = [name for name in ("photo_id", "rank") if name in rows]
    return rows.sort_values(keys, ignore_index=True)


def wanted(parts: Sequence[Part]) -> pd.DataFrame:
    rows = [row for part in parts for row in locations(part.photos(), part.shard)]
    table = rows_of(rows).drop("origin").to_pandas()
    return table.sort_values(["photo_id", "rank"], ignore_index=True)


def assert_whole(output: Output, parts: Sequence[Part]) -> None:
    rows = wanted(parts)
    pd.testing.assert_frame_equal(read(output.name), rows, check_dtype=False)
    failed = rows[rows["status"] != "ok"]
    assert read(output.failures)["photo_id"].tolist() == failed["photo_id"].tolist()
    names = [file.path for file in list_files(output.name)]
    assert not [name for name in names if "part-" not in name]
    photos, count = rows["photo_id"].nunique(), len(failed)
    assert output.summary().startswith(f"{photos} photos in {output.name}; {count} could not")


def test_a_run_that_nothing_disturbs(output: Output) -> None:
    complete(output, parts())
    assert_whole(output, parts())
    before = {file.path for file in list_files(output.name)}
    assert complete(output, parts()) == []
    assert {file.path for file in list_files(output.name)} == before


def test_shards_stay_together(output: Output) -> None:
    complete(output, parts())
    files = part_files.read_parts(output.name)
    homes = {name: [f for f in files for s in f.spans if s.shard.name == name] for name in "ab"}
    assert all(len(homes[name]) == 1 for name in homes if homes[name])
    assert len([f for f in files if any(s.shard.name == "a.tar" for s in f.spans)]) == 1
    assert max(sum(span.rows for span in file.spans) for file in files) <= 30


@pytest.mark.parametrize("blocks", [0, 1, 5, 11, 19])
def test_a_run_is_killed_while_it_works(output: Output, blocks: int) -> None:
    with pytest.raises(KillError):
        complete(output, parts(), blocks)
    there = set(read(output.name)["photo_id"])
    left = complete(output, parts())
    again = {photo.photo_id for part in left for photo in part.photos()}
    assert again == set(wanted(parts())["photo_id"]) - there
    assert_whole(output, parts())


def failing(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[[], int]:
    """Let the process die at a call that changes storage; returns the number of calls."""
    calls = []

    def counted(method: Any) -> Any:
        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            calls.append(method.__name__)
            if len(calls) > after:
                raise KillError
            return method(self, *arguments, **options)

        return call

    for name in ("rm_file", "rm", "mv", "_open"):
        monkeypatch.setattr(MemoryFileSystem, name, counted(getattr(MemoryFileSystem, name)))
    return lambda: len(calls)


def test_a_run_is_killed_at_any_call_while_it_merges(output: Output) -> None:
    """Each run dies a call later than the one before, until one ends."""
    calls = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            made = failing(patch, calls)
            try:
                complete(output, parts())
                break
            except KillError:
                calls = max(made(), calls + 1)
        rows = read(output.name)
        assert not rows.duplicated(["photo_id", "rank"]).any()
    assert calls > 20
    assert_whole(output, parts())


def test_a_node_is_lost_at_any_call_while_it_merges(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node repeats the task, beside the first one's leftovers."""
    lost: list[int] = []

    def merge_twice(*arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            failing(patch, len(lost) % CALLS_OF_A_MERGE)
            try:
                part_files.merge(*arguments)
            except KillError:
                lost.append(1)
        part_files.merge(*arguments)

    monkeypatch.setattr(outputs, "_merge", SimpleNamespace(remote=merge_twice))
    many = [Tar(f"{i:02}.tar", 12, bad=[3]) for i in range(9)]
    complete(output, many)
    assert len(lost) > 2 * CALLS_OF_A_MERGE
    assert_whole(output, many)


def test_a_shard_that_was_mended_leaves_the_ledger(output: Output) -> None:
    complete(output, parts())
    before = {file.path for file in list_files(output.name)}
    mended = [*parts()[:2], Tar("b.tar", 1), Tar("c.tar", 40, mtime=2)]
    left = complete(output, mended)
    assert [part.shard.name for part in left if part.shard] == ["c.tar"]
    assert_whole(output, mended)
    assert read(output.failures)["photo_id"].tolist() == ["a.tar/3"]
    assert before & {file.path for file in list_files(output.name)}  # others are unchanged
    grown = [*mended[:2], Tar("b.tar", 5, bad=[4]), mended[3]]
    complete(output, grown)
    assert_whole(output, grown)


def test_a_run_on_s3(s3: str) -> None:
    output = Output(f"{s3}/run/out")
    with pytest.raises(KillError):
        complete(output, parts(), 11)
    there = read(output.name)
    assert 0 < there["photo_id"].nunique() < len(wanted(parts()))
    complete(output, parts())
    assert_whole(output, parts())
    mended = [*parts()[:2], Tar("b.tar", 1), Tar("c.tar", 41)]
    complete(output, mended)
    assert_whole(output, mended)


@pytest.mark.parametrize("requests", [5, 33])
def test_credentials_expire_while_a_run_works(s3: str, requests: int) -> None:
    output, seen = Output(f"{s3}/run/out"), itertools.count()
    with (
        refusing(lambda *_: next(seen) >= requests),
        pytest.raises(OSError, match=r"HTTP status 400|Expired"),
    ):
        complete(output, parts())
    assert not read(output.name).duplicated(["photo_id", "rank"]).any()
    complete(output, parts())
    assert_whole(output, parts())


def test_a_part_that_is_half_written_on_s3_is_not_there(s3: str) -> None:
    """Arrow sends 10 MB at a time: the first part arrives, no other one does."""
    content = b"x" * 11_000_000
    with (
        refusing(lambda _, query: "partNumber=" in query and "partNumber=1&" not in query),
        pytest.raises(OSError, match="Expired"),
    ):
        write_bytes(f"{s3}/run/out/piece.parquet", content)
    assert list_files(f"{s3}/run") == []
    write_bytes(f"{s3}/run/out/piece.parquet", content)
    assert storage.read_bytes(f"{s3}/run/out/piece.parquet") == content


def test_a_shard_that_was_out_of_reach_is_tried_again(output: Output) -> None:
    """Rows read before stay, and the note of the failure goes when the shard is back."""

    class Gone(Tar):
        def photos(self) -> Iterator[Photo]:
            for photo in super().photos():
                if photo.rows.start == 5:
                    rows = lost_rows(5, 6, OSError("reset"))
                    yield Photo(self.shard.name, self.shard.name, problem="reset", rows=rows)
                    return
                yield photo

    whole = [Tar("a.tar", 8, bad=[3]), Tar("b.tar", 1)]
    for gone in (Gone("a.tar", 8, bad=[3]), Gone("a.tar", 8, bad=[3])):
        complete(output, [gone, whole[1]])
        assert read(output.failures)["photo_id"].tolist() == ["a.tar", "a.tar/3"]
        assert not output.done().is_finished(gone.shard)
        assert len(read(output.name)) == 2 * 4 + 1 + 1 + 2
    (left,) = complete(output, whole)
    assert [photo.photo_id for photo in left.photos()] == [f"a.tar/{i}" for i in range(5, 8)]
    assert_whole(output, whole)


def test_what_comes_later_is_added(output: Output) -> None:
    complete(output, parts()[:2])
    before = {file.path for file in list_files(output.name)}
    complete(output, parts())
    assert before < {file.path for file in list_files(output.name)}
    assert_whole(output, parts())


def test_a_location_of_which_a_view_is_done_takes_no_more(output: Output) -> None:
    later = [Photo("b", "b", location_id="1"), Photo("c", "c", location_id="2")]
    complete(output, [ListedPhotos(later[:1])])
    (left,) = complete(output, [ListedPhotos([Photo("a", "a", location_id="1"), *later])])
    assert [photo.photo_id for photo in left.photos()] == ["c"]


def test_a_file_of_another_making_is_refused(output: Output) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"photo_id": ["a"]}), sink)
    write_bytes(f"{output.name}/x.parquet", sink.getvalue())
    with pytest.raises(GeoclipError, match=r"x.parquet was not made by this version"):
        output.done()
    write_bytes(f"{output.name}/x.parquet", b"half")
    with pytest.raises(GeoclipError, match=r"x.parquet was not made by this version"):
        output.done()


def test_no_file_has_a_part_of_its_name_before_it_is_whole(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, 0)
    with pytest.raises(KillError):
        complete(output, parts())
    assert list_files(output.name) == []


@pytest.mark.parametrize(
    "names", [set(), {"a.tar"}, {"c.tar", ""}, {"a.tar", "b.tar", "c.tar", ""}]
)
@pytest.mark.parametrize("blocks", [-1, 11])
def test_ids_of_other_shards(output: Output, names: set[str], blocks: int) -> None:
    """For whole files and pieces, which may hold several shards."""
    with suppress(KillError):
        complete(output, parts(), blocks)
    there = set(read(output.name)["photo_id"])
    own = {photo_id for photo_id in there if photo_id.rpartition("/")[0] not in names}
    assert sorted(output.ids_besides(names)) == sorted(own)
    assert (len(own) > 0) == (len(names) < 4)
