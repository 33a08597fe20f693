"""Folders, tables, Parquet and shards → rows of views, a location in each."""

import bz2
import gzip
import io
import lzma
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from inference import write_photos

from geoclip.errors import GeoclipError
from pipelines import parquet_photos, photo_source, storage
from pipelines.inputs import photo_parts
from pipelines.photo_source import (
    SCHEMA,
    Photo,
    PhotoSource,
    RestOfShard,
    Shard,
    photo_count,
    read_blocks,
    sliced,
)
from pipelines.spans import Done, Span
from pipelines.storage import write_bytes


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FIRST_WAIT", 0)


def rows_of(*inputs: Path | str) -> list[dict[str, Any]]:
    """All rows, read as Ray reads them."""
    tasks = PhotoSource(photo_parts(inputs, 2)).get_read_tasks(1)
    tables = [table for task in tasks for table in task()]
    assert all(table.schema == SCHEMA for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def views_of(*inputs: Path | str) -> list[dict[str, Any]]:
    rows = rows_of(*inputs)
    assert [row["photo_id"] for row in rows] == [row["views"][0]["photo_id"] for row in rows]
    return [view for row in rows for view in row["views"]]


def test_a_folder(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "a" / "b", 40)
    (tmp_path / "a" / "notes.txt").write_text("no photo")
    views = views_of(tmp_path / "a")
    assert [view["path"] for view in views] == [str(photo) for photo in photos]
    assert [view["photo_id"] for view in views] == [str(photo) for photo in photos]
    assert {(view["content"], view["problem"]) for view in views} == {(None, None)}


def test_a_table(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text(
        "path,location_id,lat\na.jpg,x,no number\ns3://bucket/b.jpg,y,\nc.jpg,x,\nd.jpg,,\n"
    )
    rows = rows_of(tmp_path / "photos.csv")
    assert [row["location_id"] for row in rows] == ["x", "y", "d.jpg"]
    assert [[view["photo_id"] for view in row["views"]] for row in rows] == [
        ["a.jpg", "c.jpg"], ["s3://bucket/b.jpg"], ["d.jpg"]
    ]  # fmt: skip
    assert [view["path"] for row in rows for view in row["views"]] == [
        str(tmp_path / "a.jpg"),
        str(tmp_path / "c.jpg"),
        "s3://bucket/b.jpg",
        str(tmp_path / "d.jpg"),
    ]


def test_a_table_in_storage() -> None:
    write_bytes("memory://tables/photos.csv", b"path\nin/a.jpg\n")
    assert [view["path"] for view in views_of("memory://tables/photos.csv")] == [
        "memory://tables/in/a.jpg"
    ]
    with pytest.raises(GeoclipError, match=r"none.csv cannot be read"):
        photo_parts(["memory://tables/none.csv"], 1)


def test_locations_are_never_cut() -> None:
    photos = [Photo(f"{i}", f"{i}", location_id=f"{i % 7}") for i in range(100)]
    parts = list(sliced(photos, 10))
    assert len(parts) > 3
    assert sorted(p.photo_id for part in parts for p in part.photos()) == sorted(
        map(str, range(100))
    )
    places = [{photo.location_id for photo in part.photos()} for part in parts]
    assert sum(map(len, places)) == 7


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name\na.jpg\n", "path"),
        ("path\n\n", "holds no photo"),
        ("path,x\n,1\n", "path is empty"),
        ("path\na.jpg\na.jpg\n", "stands in row 2 already"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "photos.csv").write_text(text)
    with pytest.raises(GeoclipError, match=error):
        photo_parts([tmp_path / "photos.csv"], 1)


def test_two_photos_of_one_id(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photos.csv").write_text("path\n1.jpg\n")
    with pytest.raises(GeoclipError, match=r"'1.jpg' is named twice"):
        photo_parts([tmp_path / "a" / "photos.csv", tmp_path / "b" / "photos.csv"], 1)


def test_an_input_that_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(GeoclipError, match="holds no photo"):
        photo_parts([tmp_path], 1)
    with pytest.raises(GeoclipError, match="holds no photo"):
        photo_parts(["memory://nothing/here"], 1)


def test_parquet_with_bytes(tmp_path: Path) -> None:
    content = [b"one", None, b"three"]
    pq.write_table(pa.table({"image": content}), tmp_path / "plain.parquet", row_group_size=2)
    structs = [{"bytes": b"one", "path": "1.jpg"}, {"bytes": None, "path": None}]
    table = pa.table({"id": [7, 8], "image": structs, "path": [None, "8.jpg"]})
    pq.write_table(table, tmp_path / "struct.parquet")
    name = str(tmp_path / "plain.parquet")
    views = views_of(tmp_path / "plain.parquet")
    assert [view["content"] for view in views] == content
    assert [view["photo_id"] for view in views] == [f"{name}#0-0", f"{name}#0-1", f"{name}#1-0"]
    assert "neither bytes nor path" in views[1]["problem"]
    first, second = views_of(tmp_path / "struct.parquet")
    assert (first["photo_id"], first["content"], first["problem"]) == ("7", b"one", None)
    assert (second["path"], second["content"]) == (str(tmp_path / "8.jpg"), None)


def test_parquet_with_paths_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_photos, "PATHS_A_PART", 10)
    monkeypatch.setattr(parquet_photos, "ROWS_AT_ONCE", 4)
    paths = [f"{i}.jpg" for i in range(57)]
    places = [str(i // 4) for i in range(57)]
    table = pa.table({"path": paths, "location_id": places, "other": range(57)})
    pq.write_table(table, tmp_path / "photos.parquet", row_group_size=40)
    assert len(photo_parts([tmp_path / "photos.parquet"], 1)) == 6
    rows = rows_of(tmp_path / "photos.parquet")
    ids = [view["photo_id"] for row in rows for view in row["views"]]
    assert ids == [str(tmp_path / path) for path in paths]
    assert [row["location_id"] for row in rows] == [str(i) for i in range(15)]
    assert rows[2]["views"][0]["path"] == str(tmp_path / "8.jpg")


def test_parquet_without_photos(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(GeoclipError, match=r"x.parquet has the columns x: photos need one of"):
        photo_parts([tmp_path], 1)


@pytest.mark.parametrize("cut", [50, 3000])
def test_a_damaged_parquet_file_is_a_problem_of_its_own(tmp_path: Path, cut: int) -> None:
    content = [bytes([i]) * 1000 for i in range(8)]
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False}
    pq.write_table(pa.table({"bytes": content}), tmp_path / "a.parquet", **options)
    pq.write_table(pa.table({"bytes": content}), tmp_path / "b.parquet", **options)
    data = bytearray((tmp_path / "b.parquet").read_bytes())
    if cut == 50:
        del data[-cut:]  # no footer
    else:
        data[10:cut] = bytes(cut - 10)  # pages that cannot be read
    (tmp_path / "b.parquet").write_bytes(data)
    views = views_of(tmp_path)
    assert [view["content"] for view in views if view["content"]][:8] == content
    assert "b.parquet': the file is cut off or damaged" in views[-1]["problem"]


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_shard(tmp_path: Path) -> None:
    members = {"a.jpg": b"one", "a.json": b"{}", "in/b.PNG": b"two", "c.mp4": b"three"}
    (tmp_path / "00.tar").write_bytes(tar_of(members))
    views = views_of(tmp_path / "00.tar")
    name = f"{tmp_path}/00.tar"
    assert [(view["photo_id"], view["content"]) for view in views] == [
        (f"{name}/a.jpg", b"one"), (f"{name}/in/b.PNG", b"two"), (f"{name}/c.mp4", b"three")
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [700, 1800])
def test_a_shard_that_is_cut_off(tmp_path: Path, cut: int) -> None:
    data = tar_of({f"{i}.jpg": bytes([i]) * 600 for i in range(4)})
    (tmp_path / "00.tar").write_bytes(data[:cut])
    *whole, last = views_of(tmp_path)
    assert [view["content"] for view in whole] == [bytes([i]) * 600 for i in range(cut // 1536)]
    assert last["photo_id"] == f"{tmp_path}/00.tar"
    assert "the shard is cut off or damaged" in last["problem"]


def test_a_mixture_of_everything(tmp_path: Path) -> None:
    write_photos(tmp_path, 3)
    (tmp_path / "00.tar").write_bytes(tar_of({"a.jpg": b"one"}))
    pq.write_table(pa.table({"bytes": [b"two"]}), tmp_path / "x.parquet")
    assert len(views_of(tmp_path)) == 5


def test_photos_are_counted_where_they_are_known(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 40)
    (tmp_path / "photos.csv").write_text("path\na.jpg\nb.jpg\n")
    pq.write_table(pa.table({"bytes": [b"one", b"two", b"three"]}), tmp_path / "x.parquet")
    parts = photo_parts([tmp_path / name for name in ("photos", "photos.csv", "x.parquet")], 2)
    assert photo_count(parts) == 40 + 2 + 3 == sum(len(list(part.photos())) for part in parts)
    rest = RestOfShard(parts[-1], [range(1)])
    assert photo_count([*parts[:-1], rest]) == 40 + 2 + 2
    (tmp_path / "00.tar").write_bytes(tar_of({"a.jpg": b"one"}))
    assert photo_count(photo_parts([tmp_path / "photos", tmp_path / "00.tar"], 2)) is None


def test_blocks_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_source, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(photo_source, "BLOCK_ROWS", 5)
    light = photo_source.ListedPhotos([Photo(f"{i}", "x") for i in range(12)])
    assert [len(table) for table in read_blocks(light)] == [5, 5, 2]
    heavy = photo_source.ListedPhotos([Photo(f"{i}", "x", bytes(600)) for i in range(5)])
    assert [len(table) for table in read_blocks(heavy)] == [2, 2, 1]


def test_a_member_whose_name_is_not_utf8(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", encoding="latin-1", format=tarfile.GNU_FORMAT) as t:
        info = tarfile.TarInfo("café.jpg")
        info.size = 3
        t.addfile(info, io.BytesIO(b"one"))
    (tmp_path / "00.tar").write_bytes(buffer.getvalue())
    (view,) = views_of(tmp_path / "00.tar")
    view["photo_id"].encode()
    assert "caf%E9.jpg" in view["photo_id"] and view["content"] == b"one"


def test_a_shard_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "00.tar").write_bytes(tar_of({"a.jpg": b"one"}))
    with pytest.raises(GeoclipError, match="named twice"):
        photo_parts([tmp_path, tmp_path / "00.tar"], 1)


def test_tables_have_locations_of_their_own(tmp_path: Path) -> None:
    for name in ("fr", "jp"):
        (tmp_path / f"{name}.csv").write_text(f"path,location_id\n{name}1.jpg,1\n{name}2.jpg,1\n")
    rows = rows_of(tmp_path / "fr.csv", tmp_path / "jp.csv")
    views = [[view["photo_id"] for view in row["views"]] for row in rows]
    assert views == [["fr1.jpg", "fr2.jpg"], ["jp1.jpg", "jp2.jpg"]]


def test_a_file_uri_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("path\nfile:///photos/a%20b.jpg\nfile:c%20d.jpg\n")
    paths = [view["path"] for view in views_of(tmp_path / "photos.csv")]
    assert paths == ["/photos/a b.jpg", str(tmp_path / "c d.jpg")]


def test_ids_of_parquet_rows(tmp_path: Path) -> None:
    """The number 0 is an id; without ids, equal relative paths of two files are two photos."""
    pq.write_table(pa.table({"id": [0, 1], "bytes": [b"a", b"b"]}), tmp_path / "ids.parquet")
    assert [view["photo_id"] for view in views_of(tmp_path / "ids.parquet")] == ["0", "1"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"path": ["1.jpg"]}), tmp_path / name / "photos.parquet")
    files = [tmp_path / name / "photos.parquet" for name in ("a", "b")]
    ids = [view["photo_id"] for view in views_of(*files)]
    assert ids == [str(tmp_path / "a" / "1.jpg"), str(tmp_path / "b" / "1.jpg")]


def test_a_member_that_stands_twice_and_companions(tmp_path: Path) -> None:
    shard = tmp_path / "shard.tar"
    shard.write_bytes(tar_of({"in/a.jpg": b"old", "in/._a.jpg": b"finder"}))
    with tarfile.open(shard, "a") as tar:
        member = tarfile.TarInfo("in/a.jpg")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"new"))
    views = views_of(shard)
    assert [view["content"] for view in views] == [b"old", b"new"]
    assert [view["photo_id"] for view in views] == [f"{shard}/in/a.jpg", f"{shard}/in/a.jpg#2"]
    write_bytes("memory://companions/a.jpg", b"x")
    write_bytes("memory://companions/._a.jpg", b"finder")
    assert [v["path"] for v in views_of("memory://companions")] == ["memory:///companions/a.jpg"]


@pytest.mark.parametrize("column", ["id", "photo_id", "path"])
@pytest.mark.parametrize("folder", ["", "memory://repeats-{}"])
def test_parquet_ids_that_repeat_are_never_one_photo(
    tmp_path: Path, folder: str, column: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise one of the photos would be lost, or get another's answer."""
    home = folder.format(column) or str(tmp_path)

    def write(name: str, ids: list[Any]) -> str:
        given = ids if column == "id" else [i if i is None else str(i) for i in ids]
        content = {} if column == "path" else {"bytes": [b"x"] * len(ids)}
        sink = io.BytesIO()
        pq.write_table(pa.table({column: given, **content}), sink, row_group_size=2)
        write_bytes(f"{home}/{name}.parquet", sink.getvalue())
        return f"{home}/{name}.parquet"

    first, again, other = write("a", [0, 1, 2]), write("b", [3, None, 2]), write("c", [4, 5, None])
    shown = f"{home}/2" if column == "path" else "2"
    assert len(views_of(first, other)) == 6
    assert not capsys.readouterr().err
    if column == "path":
        with pytest.raises(GeoclipError, match=f"{shown}' stands in {again} and in {first}: give"):
            photo_parts([first, other, again], 1)
    else:
        ids = [view["photo_id"] for view in views_of(first, other, again)]
        by_place = [f"{file}#{at}" for file in (first, again) for at in ("0-0", "0-1", "1-0")]
        assert sorted(ids) == sorted([*by_place, "4", "5", f"{other}#1-0"])
        said = f"The photo id '2' stands in {first} and in {again}: in such files (2) file"
        assert said in capsys.readouterr().err
    twice = write("d", [7, 8, 9, None, 10, 7])
    with pytest.raises(
        GeoclipError, match=f"7' stands in {twice} twice: give each photo its own id"
    ):
        photo_parts([twice], 1)


def test_files_that_number_their_photos_anew(tmp_path: Path) -> None:
    """As in data sets cut into files; the rest of a resumed run keeps its names."""
    for number in range(3):
        table = pa.table({"id": range(4), "image": [{"bytes": b"%d" % number}] * 4})
        pq.write_table(table, tmp_path / f"train-{number}.parquet", row_group_size=2)
    pq.write_table(pa.table({"id": ["own"], "image": [b"x"]}), tmp_path / "x.parquet")
    rows = rows_of(tmp_path)
    ids = [view["photo_id"] for row in rows for view in row["views"]]
    assert len(set(ids)) == len(ids) == 13 and "own" in ids
    contents = {view["photo_id"]: view["content"] for row in rows for view in row["views"]}
    assert contents[f"{tmp_path}/train-2.parquet#1-1"] == b"2"
    name = f"{tmp_path}/train-0.parquet"
    shards = {row["origin"]["name"]: row["origin"] for row in rows}
    info = Shard(*(shards[name][key] for key in ("name", "size", "mtime")))
    done = Done([Span(info, 0, 4, 4, rows=4, photos=4, failed=0)])
    left = [photo.photo_id for part in photo_parts([tmp_path], 1, done) for photo in part.photos()]
    assert sorted(left) == sorted(i for i in ids if not i.startswith(name))


def test_ids_of_an_earlier_run_of_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file added later has other photos, whatever their names."""
    pq.write_table(pa.table({"id": [7, 8], "image": [b"one", b"two"]}), tmp_path / "b.parquet")
    asked: list[set[str]] = []

    def ids_besides(names: set[str]) -> Iterator[str]:
        asked.append(names)
        return iter(["8", "9"])

    (part,) = photo_parts([tmp_path], 1, Done(), ids_besides)
    name = f"{tmp_path}/b.parquet"
    assert [photo.photo_id for photo in part.photos()] == [f"{name}#0-0", f"{name}#0-1"]
    assert asked == [{name}]
    said = f"The photo id '8' stands in {name} and in an earlier run of this output"
    assert said in capsys.readouterr().err


def odd_files(folder: Path) -> dict[str, str]:
    """Parquet files without photos, and their error messages."""
    tables = {
        "lists": pa.table({"id": [1], "image": [[1, 2, 3]]}),
        "text": pa.table({"image": ["a.jpg"]}),
        "nested": pa.table({"image": [{"bytes": [1, 2], "path": "x"}]}),
        "numbers": pa.table({"path": [1]}),
        "others": pa.table({"id": [1], "caption": ["x"]}),
        "none": pa.table({"image": pa.array([], pa.binary())}),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / f"odd-{name}.parquet")
    (folder / "odd-empty.parquet").write_bytes(b"")
    return {
        "lists": "holds list<element: int64> in its column image: photos need bytes there.",
        "text": "holds string in its column image: photos need bytes there.",
        "nested": "in its column image: photos need bytes there.",
        "numbers": "holds int64 in its column path: photos need paths there.",
        "others": "has the columns id, caption: photos need one of bytes",
        "none": "holds no photo: it has no rows.",
        "empty": "the file is cut off or damaged (",
    }


def test_odd_parquet_files_are_problems_of_their_own(tmp_path: Path) -> None:
    said = odd_files(tmp_path)
    pq.write_table(pa.table({"id": [1, 2], "image": [b"one", b"two"]}), tmp_path / "good.parquet")
    views = {view["photo_id"]: view for view in views_of(tmp_path)}
    assert [views.pop(name)["content"] for name in ("1", "2")] == [b"one", b"two"]
    assert views.keys() == {f"{tmp_path}/odd-{name}.parquet" for name in said}
    for name, words in said.items():
        assert words in views[f"{tmp_path}/odd-{name}.parquet"]["problem"]


@pytest.mark.parametrize("name", ["lists", "others", "none"])
def test_an_odd_parquet_file_alone_is_refused(tmp_path: Path, name: str) -> None:
    said = odd_files(tmp_path)[name]
    with pytest.raises(GeoclipError, match=re.escape(f"odd-{name}.parquet {said}")):
        photo_parts([tmp_path / f"odd-{name}.parquet"], 1)


def test_a_column_of_the_wrong_type_is_passed_over(tmp_path: Path) -> None:
    table = pa.table({"bytes": [[1]], "image": [b"one"], "path": [7], "uri": ["a.jpg"]})
    pq.write_table(table, tmp_path / "x.parquet")
    (view,) = views_of(tmp_path)
    assert (view["content"], view["path"]) == (b"one", f"{tmp_path}/a.jpg")


PACKERS = {"tar.gz": gzip.compress, "tgz": gzip.compress, "tar": gzip.compress}


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("folder", ["", "memory://packed-{}"])
def test_a_packed_shard(tmp_path: Path, ending: str, folder: str) -> None:
    home = folder.format(ending) or str(tmp_path)
    members = {f"{i}.jpg": bytes([i]) * 3000 for i in range(20)} | {"a.json": b"{}"}
    write_bytes(f"{home}/00.{ending}", PACKERS[ending](tar_of(members)))
    views = views_of(home)
    first = views[0]["photo_id"]
    assert first.endswith(f"00.{ending}/0.jpg")
    assert [view["content"] for view in views] == [bytes([i]) * 3000 for i in range(20)]
    write_bytes(f"{home}/01.tgz", tar_of(members))  # compressed by its name alone
    assert len(views_of(home)) == 40


@pytest.mark.parametrize("hurt", ["cut", "flipped", "check"])
def test_a_packed_shard_that_is_damaged(
    tmp_path: Path, hurt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "FIRST_WAIT", 30)  # this error is not temporary
    noise = np.random.default_rng(0)
    members = {f"{i}.jpg": noise.bytes(3000) for i in range(20)}
    data = bytearray(gzip.compress(tar_of(members)))
    if hurt == "cut":
        del data[len(data) // 2 :]
    elif hurt == "flipped":
        data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    else:
        data[-8] ^= 1
    (tmp_path / "00.tgz").write_bytes(data)
    *whole, last = views_of(tmp_path)
    assert last["photo_id"] == f"{tmp_path}/00.tgz"
    assert "00.tgz': the shard is cut off or damaged" in last["problem"]
    if hurt != "flipped":  # without compression, contents may change unnoticed
        assert [view["content"] for view in whole] == [*members.values()][: len(whole)]
        assert len(whole) == 20 if hurt == "check" else 7 < len(whole) < 10


def test_a_damaged_header_is_no_end_of_a_shard(tmp_path: Path) -> None:
    data = bytearray(tar_of({f"{i}.jpg": bytes([i]) * 600 for i in range(4)}))
    data[1536 + 150] ^= 255  # in the second one's checksum
    (tmp_path / "00.tar").write_bytes(data)
    first, last = views_of(tmp_path)
    assert first["content"] == bytes(600)
    assert "the shard is cut off or damaged" in last["problem"]


def test_what_is_not_read_is_a_failure(tmp_path: Path) -> None:
    """Archives of other kinds, under any name, and links in shards."""
    tar = tar_of({"a.jpg": b"one"})
    (tmp_path / "0.tar").write_bytes(bz2.compress(tar))
    (tmp_path / "1.tar.xz").write_bytes(lzma.compress(tar))
    (tmp_path / "2.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "notes.txt.gz").write_bytes(gzip.compress(b"none"))
    (tmp_path / "a.jpg.gz").write_bytes(gzip.compress(b"none"))
    with tarfile.open(tmp_path / "3.tar", "w") as tar_file:
        for name, kind in (("hard.jpg", tarfile.LNKTYPE), ("soft.jpg", tarfile.SYMTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "a.jpg"
            tar_file.addfile(link)
        member = tarfile.TarInfo("a.jpg")
        member.size = 3
        tar_file.addfile(member, io.BytesIO(b"one"))
    views = {view["photo_id"].removeprefix(f"{tmp_path}/"): view for view in views_of(tmp_path)}
    assert views.pop("3.tar/a.jpg")["content"] == b"one"
    said = {
        "0.tar": "the shard is compressed with bzip2; make it a .tar or .tar.gz.",
        "1.tar.xz": "is an unsupported archive: unpack it",
        "2.zip": "is an unsupported archive: unpack it",
        "3.tar/hard.jpg": "it is a link in the shard; pack the photo itself",
        "3.tar/soft.jpg": "it is a link in the shard; pack the photo itself",
    }
    assert views.keys() == said.keys()
    for name, words in said.items():
        assert words in views[name]["problem"]
        assert views[name]["content"] is None
    with pytest.raises(GeoclipError, match=r"2.zip is an unsupported archive: unpack it"):
        photo_parts([tmp_path / "2.zip"], 1)


def test_a_parquet_id_that_a_table_gives_too_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a.jpg"], "bytes": [b"x"]}), tmp_path / "x.parquet")
    (tmp_path / "photos.csv").write_text("path\na.jpg\n")
    with pytest.raises(GeoclipError, match=r"'a.jpg' stands in .*x.parquet and in a folder or CSV"):
        photo_parts([tmp_path / "photos.csv", tmp_path / "x.parquet"], 1)


def test_ids_of_a_damaged_file_do_not_stop_the_run(tmp_path: Path) -> None:
    table = pa.table({"id": [f"{i}" * 40 for i in range(90)], "bytes": [b"x"] * 90})
    pq.write_table(table, tmp_path / "x.parquet", compression="none", use_dictionary=False)
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    data[10:3000] = bytes(2990)
    (tmp_path / "x.parquet").write_bytes(data)
    assert "the file is cut off or damaged" in views_of(tmp_path)[-1]["problem"]


def test_only_the_ids_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []
    batches = pq.ParquetFile.iter_batches

    def noting(self: Any, *arguments: Any, columns: list[str], **options: Any) -> Any:
        read.append(columns)
        return batches(self, *arguments, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noting)
    table = pa.table({"id": [1, 2], "image": [b"x", b"y"], "path": ["a", "b"], "more": [3, 4]})
    pq.write_table(table, tmp_path / "x.parquet")
    pq.write_table(table.drop("id"), tmp_path / "y.parquet")
    pq.write_table(table.drop(["id", "image"]), tmp_path / "z.parquet")
    photo_parts([tmp_path], 1)
    assert sorted(read) == [["id"], ["path"]]  # files are read side by side


def test_a_location_of_another_file_is_another_location(tmp_path: Path) -> None:
    for name in ("a", "b"):
        table = {"id": [f"{name}1", f"{name}2", f"{name}3"], "bytes": [b"x"] * 3}
        places = pa.table({**table, "location_id": [1, 1, 2]})
        pq.write_table(places, tmp_path / f"{name}.parquet")
    rows = rows_of(tmp_path)
    assert [[view["photo_id"] for view in row["views"]] for row in rows] == [
        ["a1", "a2"], ["a3"], ["b1", "b2"], ["b3"]
    ]  # fmt: skip


def test_a_photo_named_like_a_location_is_no_view_of_it() -> None:
    photos = [Photo("1", "a.jpg"), Photo("2", "b.jpg", location_id="1")]
    rows = list(photo_source.locations(photos))
    assert [[view["photo_id"] for view in row["views"]] for row in rows] == [["1"], ["2"]]
