"""Names, file systems, retries, copies: local, in memory, and on a real S3-compatible server."""

import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs

from geoclip.errors import GeoclipError
from pipelines import storage
from pipelines.storage import (
    FsspecHandler,
    absolute,
    attempted,
    exists,
    filesystem,
    join,
    list_files,
    local_copy,
    parent,
    read_bytes,
    resumed,
    store_folder,
    write_bytes,
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FIRST_WAIT", 0)


def test_names() -> None:
    assert absolute("s3://b/x") == "s3://b/x"
    assert absolute("x") == str(Path.cwd() / "x")
    assert join("s3://b/x/", "y.jpg") == "s3://b/x/y.jpg"
    assert join("/a", "y.jpg") == "/a/y.jpg"
    assert join("/a", "/c/y.jpg") == join("s3://b", "/c/y.jpg") == "/c/y.jpg"
    assert join("s3://b", "gs://c/y.jpg") == "gs://c/y.jpg"
    assert parent("s3://b/x/out/") == "s3://b/x"
    assert parent("/a/b") == "/a"


def test_an_unknown_scheme() -> None:
    with pytest.raises(GeoclipError, match="nowhere:// cannot be read"):
        filesystem("nowhere://bucket/x")


def test_what_may_pass_is_tried_again() -> None:
    failures = iter([OSError("reset"), OSError("reset")])

    def call() -> str:
        for failure in failures:
            raise failure
        return "content"

    assert attempted(call) == "content"


@pytest.mark.parametrize(
    ("error", "calls"),
    [(FileNotFoundError, 1), (PermissionError, 1), (OSError, storage.ATTEMPTS), (ValueError, 1)],
)
def test_what_does_not_pass_is_raised(error: type[Exception], calls: int) -> None:
    made = []

    def call() -> None:
        made.append(1)
        raise error

    with pytest.raises(error):
        attempted(call)
    assert len(made) == calls


def test_a_stream_goes_on_where_it_broke() -> None:
    broken = iter([2, 5])

    def start() -> Iterator[int]:
        until = next(broken, 99)
        for number in range(7):
            if number == until:
                raise OSError("reset")
            yield number

    assert list(resumed(start)) == list(range(7))


def test_a_stream_that_stays_broken_is_an_error() -> None:
    def start() -> Iterator[int]:
        yield 1
        raise OSError("reset")

    items = []
    with pytest.raises(OSError, match="reset"):
        items += resumed(start)
    with pytest.raises(FileNotFoundError):
        list(resumed(lambda: (_ for _ in ()).throw(FileNotFoundError())))


def test_a_stream_may_be_left() -> None:
    stream = resumed(lambda: iter(range(7)))
    assert [next(stream), next(stream)] == [0, 1]
    stream.close()
    assert list(stream) == []


def test_a_busy_s3_is_asked_again_by_a_worker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow gives up after three attempts, and forgets other wishes when it travels."""
    asked = []

    class Busy(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(503 if len(asked) <= 3 else 200)
            self.send_header("Content-Length", "7")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    storage._remote.cache_clear()
    system, path = filesystem("s3://bucket/a.jpg")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    try:
        assert pickle.loads(pickle.dumps(system)).get_file_info(path).size == 7
    finally:
        server.shutdown()
        storage._remote.cache_clear()
    assert len(asked) == 4


def test_other_storage_is_asked_again_by_a_worker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes("memory://retries/a.jpg", b"content")
    system, path = filesystem("memory://retries/a.jpg")
    system = pickle.loads(pickle.dumps(system))
    failures: list[Exception] = []

    def failing(method: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return method(*arguments, **options)

        return call

    for name in ("info", "_open", "ls", "mkdir", "rm"):
        monkeypatch.setattr(MemoryFileSystem, name, failing(getattr(MemoryFileSystem, name)))
    calls = [
        lambda: system.get_file_info(path),
        lambda: system.get_file_info(fs.FileSelector("retries", recursive=True)),
        lambda: system.create_dir("retries/b"),
        lambda: system.open_output_stream("retries/c"),
        lambda: system.delete_dir("retries/b"),
    ]
    for call in calls:
        failures.extend([OSError("Connection reset"), TimeoutError("HTTP status 503")])
        call()
        assert failures == []
    failures.append(OSError("no space left"))
    with pytest.raises(OSError, match="no space left"):
        system.create_dir("retries/d")


def test_memory() -> None:
    write_bytes("memory://tests/a/b.txt", b"content")
    assert read_bytes("memory://tests/a/b.txt") == b"content"
    assert [Path(file.path).name for file in list_files("memory://tests")] == ["b.txt"]
    assert list_files("memory://tests/none") == []
    assert exists("memory://tests/a")
    assert not exists("memory://tests/c")


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.jpg").touch()
    local = fsspec.filesystem("file", skip_instance_cache=True)
    ls = local.ls

    def failing(path: str, **options: object) -> object:
        if path.endswith("inner"):
            raise OSError("reset")
        return ls(path, **options)

    selector = fs.FileSelector(str(tmp_path), recursive=True)
    whole = fs.PyFileSystem(FsspecHandler(local)).get_file_info(selector)
    assert [info.base_name for info in whole] == ["inner", "a.jpg"]
    monkeypatch.setattr(local, "ls", failing)
    assert len(fs.PyFileSystem(fs.FSSpecHandler(local)).get_file_info(selector)) == 1
    with pytest.raises(OSError, match="reset"):
        fs.PyFileSystem(FsspecHandler(local)).get_file_info(selector)


def test_s3(s3: str, tmp_path: Path) -> None:
    write_bytes(f"{s3}/run/a.jpg", b"one")
    write_bytes(f"{s3}/run/deep/b.jpg", b"two")
    assert read_bytes(f"{s3}/run/deep/b.jpg") == b"two"
    assert [file.path for file in list_files(f"{s3}/run")] == [
        "photos/run/a.jpg",
        "photos/run/deep/b.jpg",
    ]
    assert [file.path for file in list_files(f"{s3}/run/a.jpg")] == ["photos/run/a.jpg"]
    with pytest.raises(FileNotFoundError):
        read_bytes(f"{s3}/run/none.jpg")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "x.npy").write_bytes(b"three")
    store_folder(tmp_path / "index", f"{s3}/places")
    assert read_bytes(f"{s3}/places/x.npy") == b"three"


def test_what_is_stored_last_is_never_beside_half_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_bytes(b"new key")
    (tmp_path / "b.npy").write_bytes(b"new")
    write_bytes("memory://index/a.json", b"old key")
    write_bytes("memory://index/b.npy", b"old")
    copy, copied = fs.copy_files, []

    def failing(source: str, target: str, **system: object) -> None:
        copied.append(Path(source).name)
        if len(copied) == 1:
            raise OSError("no space left")
        copy(source, target, **system)

    monkeypatch.setattr(fs, "copy_files", failing)
    with pytest.raises(OSError, match="no space left"):
        store_folder(tmp_path, "memory://index", last="a.json")
    assert not exists("memory://index/a.json")
    store_folder(tmp_path, "memory://index", last="a.json")
    assert copied == ["b.npy", "b.npy", "a.json"]
    assert read_bytes("memory://index/a.json") == b"new key"


def test_a_copy_is_made_once_and_anew_after_a_change(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(GeoclipError, match="holds no file"):
        local_copy(f"{s3}/model")
    write_bytes(f"{s3}/model/inner/weights", b"one")
    first = local_copy(f"{s3}/model")
    made = (first / "inner" / "weights").stat()
    assert local_copy(f"{s3}/model") == first
    assert (first / "inner" / "weights").stat() == made
    write_bytes(f"{s3}/model/inner/weights", b"other")
    assert (local_copy(f"{s3}/model") / "inner" / "weights").read_bytes() == b"other"
    assert len(list(next(tmp_path.glob("geoclip-*")).iterdir())) == 2
    assert local_copy(tmp_path) == tmp_path
