"""Faults on a cluster of several nodes: nothing is lost, nothing appears twice."""

import io
import os
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from inference import read_rows, write_model, write_photos, write_world
from several_nodes import ERROR_LINE, OBJECT_STORE, Nodes, Run

PHOTOS = 240
SLOW = "0.15"
LARGE = 8 * 1024**2
"""Bytes behind a photo."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    photos = write_photos(folder / "photos", PHOTOS)
    photos[7].write_text("no photo")
    write_model(folder / "model")
    write_world(folder / "world.csv")
    return folder


@pytest.fixture(scope="module")
def locate(nodes: Nodes, world: Path) -> Callable[..., Run]:
    def start(out: str, photos: str = "photos", at: str = "", **faults: str) -> Run:
        arguments = [
            *("--photos", f"{at}{world / photos}", "--out", f"{at}{out}"),
            *("--model", f"{at}{world / 'model'}", "--index", f"{at}{world / 'places'}"),
            *("--gazetteer", str(world / "world.csv")),
        ]
        return Run(nodes, "pipelines.locate_photos", arguments, **faults)

    return start


@pytest.fixture(scope="module")
def undisturbed(locate: Callable[..., Run], world: Path) -> pd.DataFrame:
    said = locate(str(world / "undisturbed")).wait()
    assert not ERROR_LINE.findall(said)  # in a healthy run
    table = read_rows(world / "undisturbed")
    assert table["photo_id"].nunique() == PHOTOS
    return table


def assert_same(out: Path, undisturbed: pd.DataFrame) -> None:
    """Embeddings may differ in their last digit with the batch they were made in."""
    pd.testing.assert_frame_equal(
        read_rows(out), undisturbed, check_exact=False, rtol=1e-4, atol=1e-6
    )
    ledger = read_rows(out.with_name(f"{out.name}-ledger"))
    failed = undisturbed[undisturbed["status"] != "ok"]
    assert ledger["photo_id"].tolist() == failed["photo_id"].tolist()
    assert ledger["message"].tolist() == failed["message"].tolist()


def parts_of(out: Path) -> int:
    return len(list(out.glob("*.parquet")))


def wait_for_parts(out: Path, run: Run, count: int = 2) -> None:
    deadline = time.monotonic() + 600
    while parts_of(out) < count:
        assert run.process.poll() is None, run.process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_actor_is_killed(
    locate: Callable[..., Run], undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    run = locate(str(tmp_path / "out"), SLOW_READS=SLOW)
    wait_for_parts(tmp_path / "out", run)
    before = run.actors("MapBatches(PhotoLocator)")
    os.kill(before[0], signal.SIGKILL)
    run.wait()
    assert len(before) == 2
    assert_same(tmp_path / "out", undisturbed)


def test_a_node_is_killed(
    locate: Callable[..., Run], nodes: Nodes, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    run = locate(str(tmp_path / "out"), SLOW_READS=SLOW)
    wait_for_parts(tmp_path / "out", run)
    nodes.lose_one()
    try:
        run.wait()
    finally:
        nodes.complete()
    assert_same(tmp_path / "out", undisturbed)


def test_the_driver_is_killed_and_started_again(
    locate: Callable[..., Run], undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = locate(str(out), SLOW_READS=SLOW)
    wait_for_parts(out, run)
    run.process.kill()
    run.process.communicate()
    done = read_rows(sorted(out.glob("*.parquet")))["photo_id"].nunique()
    assert 0 < done < PHOTOS
    again = tmp_path / "again.txt"
    locate(str(out), NOTE_READS=str(again)).wait()
    assert 0 < again.stat().st_size <= PHOTOS - done  # finished work was not redone
    assert_same(out, undisturbed)


def test_storage_fails_every_tenth_call(
    locate: Callable[..., Run], undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    log = tmp_path / "failures"
    locate(str(tmp_path / "out"), at="flaky://", FLAKY_LOG=str(log)).wait()
    failed = log.read_text().split()
    print(f"{len(failed)} calls failed: {pd.Series(failed).value_counts().to_dict()}")
    assert failed.count("_open") >= PHOTOS // 20
    table = undisturbed.copy()
    for name in ("photo_id", "path", "location_id"):
        table[name] = "flaky://" + table[name]
    table["message"] = table["message"].str.replace("'/", "'flaky:///", regex=False)
    assert_same(tmp_path / "out", table)


def test_a_poisoned_photo(
    locate: Callable[..., Run], undisturbed: pd.DataFrame, world: Path, tmp_path: Path
) -> None:
    locate(str(tmp_path / "out"), POISON="0100.jpg").wait()
    table, poisoned = read_rows(tmp_path / "out"), str(world / "photos" / "0100.jpg")
    row = table[table["photo_id"] == poisoned]
    assert row["status"].tolist() == ["unreadable"]
    assert "killed" in row["message"].iloc[0]
    ledger = read_rows(tmp_path / "out-ledger")
    assert ledger["photo_id"].tolist() == [str(world / "photos" / "0007.jpg"), poisoned]
    pd.testing.assert_frame_equal(
        table[table["photo_id"] != poisoned].reset_index(drop=True),
        undisturbed[undisturbed["photo_id"] != poisoned].reset_index(drop=True),
        check_exact=False, rtol=1e-4, atol=1e-6,
    )  # fmt: skip


def test_the_object_store_is_full(
    locate: Callable[..., Run], undisturbed: pd.DataFrame, world: Path, tmp_path: Path
) -> None:
    """A shard three times as large as the store of the node that reads it."""
    with tarfile.open(world / "large.tar", "w") as tar:
        for photo in sorted((world / "photos").iterdir())[10:45]:
            content = photo.read_bytes() + os.urandom(LARGE)  # readers ignore bytes behind a JPEG
            member = tarfile.TarInfo(photo.name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert (world / "large.tar").stat().st_size > 2.5 * OBJECT_STORE
    locate(str(tmp_path / "out"), photos="large.tar").wait()
    table = read_rows(tmp_path / "out")
    names = table["photo_id"].str.removeprefix(f"{world}/large.tar/")
    wanted = undisturbed["photo_id"].str.removeprefix(f"{world}/photos/")
    same = undisturbed[wanted.isin(names)].reset_index(drop=True)
    columns = ["rank", "status", "place_id", "probability", "lat", "lon"]
    pd.testing.assert_frame_equal(
        table[columns], same[columns], check_exact=False, rtol=1e-4, atol=1e-6
    )
    assert sorted(names) == sorted(wanted[wanted.isin(names)])
