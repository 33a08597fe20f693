"""Every entry of the torture folder ends in a picture or in a status, soon."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geoclip.errors import PhotoError
from geoclip.photos.decoding import flaw, read_photo
from geoclip.photos.listing import list_left_out, list_photos
from geoclip.photos.metadata import read_metadata
from geoclip.photos.refusals import READ, STATUSES
from tests.torture import TortureEntry, make_torture_folder, unlock

SECONDS_EACH = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("torture")
    yield root
    unlock(root)


@pytest.fixture(scope="module")
def entries(folder: Path) -> list[TortureEntry]:
    return make_torture_folder(folder)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """A reader that hangs is interrupted, if the system can do that."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(*_: object) -> None:
        raise TimeoutError("a test of the torture folder hangs")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 120)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def status_of(path: Path, short_side: int | None = None) -> str:
    try:
        image = read_photo(path, short_side)
    except PhotoError as problem:
        assert problem.status in set(STATUSES) - set(READ)
        assert "\n" not in str(problem)
        str(problem).encode()  # can be printed whatever bytes the name holds
        return problem.status
    assert image.mode == "RGB"
    assert min(image.size) >= 1
    partly = flaw([image], str(path))
    return "ok" if partly is None else partly.status


def test_every_entry_is_listed_once(folder: Path, entries: list[TortureEntry]) -> None:
    assert list_photos([folder]) == [entry.path for entry in entries]
    assert len(entries) > 90
    assert list_left_out([folder]) == []


@pytest.mark.parametrize("short_side", [None, 224])
def test_every_entry_ends_as_expected(entries: list[TortureEntry], short_side: int | None) -> None:
    wrong = {}
    for entry in entries:
        start = time.perf_counter()
        status = status_of(entry.path, short_side)
        if status not in entry.expected or time.perf_counter() - start > SECONDS_EACH:
            wrong[entry.path.name] = (status, time.perf_counter() - start)
    assert not wrong


def test_all_statuses_occur(entries: list[TortureEntry]) -> None:
    seen = {status_of(entry.path, 224) for entry in entries}
    unbound = {"unreadable"} if os.name == "nt" else set()
    assert seen | unbound == set(STATUSES)


def test_captures_raise_nothing(entries: list[TortureEntry]) -> None:
    for entry in entries:
        fix = read_metadata(entry.path).gps
        assert fix is None or not fix.trustworthy


def test_making_it_again_and_reading_it_change_nothing(
    folder: Path, entries: list[TortureEntry]
) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        infos = {entry.path: entry.path.lstat() for entry in entries}
        return {path: (info.st_mtime_ns, info.st_size) for path, info in infos.items()}

    before = state()
    for entry in entries:
        status_of(entry.path)
        read_metadata(entry.path)
    assert state() == before
    assert make_torture_folder(folder) == entries


def test_as_a_command(tmp_path: Path) -> None:
    program = Path(__file__).with_name("torture.py")
    command = [sys.executable, str(program), str(tmp_path / "made")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 90
    unlock(tmp_path / "made")
    usage = subprocess.run(command[:2], capture_output=True, text=True, check=False, timeout=300)
    assert usage.returncode == 1
    assert "usage" in usage.stderr
