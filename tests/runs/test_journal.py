"""The journal keeps its records, whatever happens to the process or the disk."""

import errno
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from geoclip.errors import GeoclipError
from geoclip.photos.abstention import Abstention
from geoclip.photos.keys import photo_key
from geoclip.photos.metadata import NOTHING, GpsFix, PhotoMetadata
from geoclip.photos.records import PhotoRecord
from geoclip.runs.journal import DRAFT, Journal, remove_journals

SEEN = Abstention(0.25, "screen")


def record(name: str, value: float | None = 0.5, status: str = "ok") -> PhotoRecord:
    embedding = None if value is None else np.full(4, value, np.float16)
    return PhotoRecord(photo_key(name), status, f"about {name}", NOTHING, SEEN, embedding)


def same(a: PhotoRecord, b: PhotoRecord) -> bool:
    fields = ("key", "status", "message", "metadata", "finding")
    equal = all(getattr(a, name) == getattr(b, name) for name in fields)
    if a.embedding is None or b.embedding is None:
        return equal and a.embedding is b.embedding
    return equal and a.embedding.tobytes() == b.embedding.tobytes()


def test_records_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    fix = GpsFix(1.5, -2.25, False, "the position is 0,0", "a.xmp", datetime(2020, 1, 2))
    taken = PhotoMetadata(fix, datetime(2020, 2, 3, 4, 5), "Make Model", timedelta(hours=-3.5))
    full = PhotoRecord(photo_key("full"), "ok", "", taken, SEEN, np.arange(4, dtype=np.float16))
    others = [record(f"{i}") for i in range(30)]
    with Journal.open(tmp_path / "a" / "journal") as journal:
        journal.add([full, record("bad", None, "truncated")])
        for other in others:  # more parts than are held in memory
            journal.add([other])
        assert len(journal) == 32
    with Journal.open(tmp_path / "a" / "journal") as journal:
        assert same(journal.read([full.key])[0], full)
        again = journal.read([other.key for other in reversed(others)])
        assert all(map(same, again, reversed(others)))
        assert journal.read([]) == []


def test_a_name_that_is_not_utf8_in_a_message(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.add([record("caf\udce9.jpg")])
        (back,) = journal.read([photo_key("caf\udce9.jpg")])
    assert "caf" in back.message


def test_what_is_done(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        bare, bad = record("bare", None), record("bad", None, "empty")
        journal.add([bare, bad, record("full")])
        assert all(journal.has(photo_key(name)) for name in ("bare", "bad", "full"))
        assert not journal.has(photo_key("other"))
        # An unreadable file has no pixels to return for.
        assert [journal.has(photo_key(n), embedded=True) for n in ("bare", "bad", "full")] == [
            *(False, True, True)
        ]
        journal.add([record("bare", 0.125)])
        assert journal.has(bare.key, embedded=True)
        (back,) = journal.read([bare.key])
        assert back.embedding is not None
        assert back.embedding[0] == 0.125


def test_a_damaged_part_is_not_done(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        for name in "abc":
            journal.add([record(name)])
    parts = sorted(tmp_path.glob("*.parquet"))
    parts[1].write_bytes(parts[1].read_bytes()[:100])
    (tmp_path / DRAFT).write_bytes(b"half")
    with Journal.open(tmp_path) as journal:
        assert [journal.has(photo_key(name)) for name in "abc"] == [True, False, True]
        assert not (tmp_path / DRAFT).exists()
        journal.add([record("b")])
    with Journal.open(tmp_path) as journal:
        assert len(journal) == 3


def test_a_disk_that_does_not_answer_costs_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with Journal.open(tmp_path) as journal:
        journal.add([record("a")])
    with monkeypatch.context() as patch:
        patch.setattr("geoclip.runs.journal.pq.ParquetFile", broken)
        with pytest.raises(GeoclipError, match="cannot be read"):
            Journal.open(tmp_path)
    with Journal.open(tmp_path) as journal:
        assert len(journal) == 1


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal.open(tmp_path) as journal:
        journal.add([record("a")])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(GeoclipError, match=r"No space left on device.*stays done"):
                journal.add([record("b")])
        assert not journal.has(photo_key("b"))
    with Journal.open(tmp_path) as journal:
        assert [journal.has(photo_key(name)) for name in "ab"] == [True, False]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    code = f"from geoclip.runs.journal import *; Journal.open(Path({str(tmp_path)!r}))"
    with Journal.open(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "Another run is writing" in done.stderr
    Journal.open(tmp_path).close()


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GeoclipError, match="cannot be written"):
        Journal.open(tmp_path / "file")


def test_removing_leaves_what_is_not_ours(tmp_path: Path) -> None:
    Journal.open(tmp_path / "home" / "key").close()
    (tmp_path / "home" / "mine").mkdir()
    remove_journals(tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["mine"]
    (tmp_path / "home" / "mine").rmdir()
    remove_journals(tmp_path / "home")
    assert not (tmp_path / "home").exists()
    remove_journals(tmp_path / "home")


def test_a_journal_in_use_is_not_removed(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="there are no locks on this system")
    done = Journal.open(tmp_path / "home" / "done")
    done.close()
    with Journal.open(tmp_path / "home" / "used"):
        remove_journals(tmp_path / "home")
        assert [path.name for path in (tmp_path / "home").iterdir()] == ["used"]
    remove_journals(tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_what_the_disk_did_not_give_is_read_again(tmp_path: Path) -> None:
    none = NOTHING, Abstention(0.0, ""), None
    statuses = {b"a": "unreadable", b"b": "truncated"}
    with Journal.open(tmp_path) as journal:
        journal.add([PhotoRecord(key, status, "why", *none) for key, status in statuses.items()])
        assert [journal.has(key, embedded=True) for key in statuses] == [False, True]
        assert all(map(journal.has, statuses))


def test_keys_change_with_the_file(tmp_path: Path) -> None:
    photo = tmp_path / "photo"
    keys = {photo_key(photo)}
    photo.write_bytes(b"1")
    keys.add(photo_key(photo))
    os.utime(photo, ns=(1, 1))
    keys.add(photo_key(photo))
    photo.write_bytes(b"22")
    os.utime(photo, ns=(1, 1))
    keys.add(photo_key(photo))
    assert len(keys) == 4
    (tmp_path / "link").symlink_to(photo)
    assert photo_key(tmp_path / "link") != photo_key(photo)
    assert photo_key(f"{tmp_path}/x/../photo") == photo_key(photo)
    assert photo_key("nul\0byte") == photo_key("nul\0byte")
