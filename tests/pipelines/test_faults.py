"""Things that go wrong on a cluster of several nodes: nothing is lost, nothing is there twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from inference import read_rows, write_model, write_photos, write_world
from ray.cluster_utils import Cluster

ROOT = Path(__file__).resolve().parents[2]
HOOKS = Path(__file__).with_name("fault_hooks")
PHOTOS = 240
SLOW = "0.15"
DRIVER = """
import json, os, sys
import ray
ray.init(
    os.environ["CLUSTER"],
    runtime_env={"env_vars": json.loads(os.environ["WORKER_ENVIRONMENT"])},
    log_to_driver=False,
    logging_level="error",
)
from pipelines.locate_photos import main
main()
"""

pytestmark = pytest.mark.slow


class Nodes:
    """A cluster on this machine: a head and two workers, of which one may be lost."""

    def __init__(self) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args=self._size(2))
        self.workers = [self.cluster.add_node(**self._size(1)) for _ in range(2)]

    @staticmethod
    def _size(cpus: int) -> dict[str, Any]:
        return {"num_cpus": cpus, "object_store_memory": 100 * 1024**2, "include_dashboard": False}

    def lose_one(self) -> None:
        self.cluster.remove_node(self.workers.pop(), allow_graceful=False)

    def complete(self) -> None:
        while len(self.workers) < 2:
            self.workers.append(self.cluster.add_node(**self._size(1)))


class Run:
    """One run of the program as a process of its own, with marked workers on the cluster."""

    def __init__(self, nodes: Nodes, arguments: list[str], **faults: str) -> None:
        self.mark = uuid4().hex
        workers = {"PYTHONPATH": f"{HOOKS}:{ROOT}", "RUN_MARK": self.mark, **faults}
        environment = os.environ | {
            "PYTHONPATH": f"{HOOKS}:{ROOT}",
            "CLUSTER": nodes.cluster.address,
            "WORKER_ENVIRONMENT": json.dumps(workers),
        }
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *arguments], env=environment, text=True, **pipes
        )

    def wait(self) -> str:
        printed, _ = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, printed
        return printed

    def actors(self) -> list[int]:
        """Process ids of the run's actors that locate photos."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                title = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
            except OSError:  # it has ended, or belongs to someone else
                continue
            if b"MapBatches(PhotoLocator)" in title and self.mark.encode() in environment:
                found.append(int(folder.name))
        return found


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found in /proc")
    nodes = Nodes()
    yield nodes
    nodes.cluster.shutdown()


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
        return Run(nodes, arguments, **faults)

    return start


@pytest.fixture(scope="module")
def undisturbed(locate: Callable[..., Run], world: Path) -> pd.DataFrame:
    locate(str(world / "undisturbed")).wait()
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
    deadline = time.monotonic() + 120
    while parts_of(out) < count:
        assert run.process.poll() is None, run.process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_actor_is_killed(
    locate: Callable[..., Run], undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    run = locate(str(tmp_path / "out"), SLOW_READS=SLOW)
    wait_for_parts(tmp_path / "out", run)
    before = run.actors()
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
    done = set(Path(f"{out}-checkpoint", "done").glob("*[0-9].parquet"))
    parts = {part for part in out.glob("*.parquet") for id in done if part.name.startswith(id.stem)}
    assert 0 < pd.read_parquet(sorted(done))["photo_id"].nunique() < PHOTOS
    locate(str(out)).wait()
    assert parts <= set(out.glob("*.parquet"))  # what was done was not done again
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
