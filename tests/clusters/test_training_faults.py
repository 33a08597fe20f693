"""Training that is killed resumes from its last checkpoint and ends as if nothing had happened."""

import os
import random
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from inference import write_model, write_photos, write_world
from loopback_s3 import make_bucket, s3_server
from several_nodes import Nodes, Run

from geoclip.places.gazetteer import Gazetteer
from pipelines import storage
from pipelines.labelled_shards import LabelledTar

PHOTOS = 64
STEPS = 16
BATCH = 16
CHECKPOINT_EVERY = 2
SLOW = "0.05"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training-faults")
    photos = write_photos(folder / "photos", PHOTOS)
    write_model(folder / "model", trained=True)
    gazetteer = Gazetteer.read(write_world(folder / "world.csv"))
    cities = np.resize(gazetteer.ids[gazetteer.level_rows("city")], PHOTOS)
    pd.DataFrame(
        {
            "photo_id": [photo.name for photo in photos],
            "path": [str(photo) for photo in photos],
            "place_id": cities.astype(str),
            "split": "train",
        }
    ).to_parquet(folder / "captions.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def train(nodes: Nodes, world: Path) -> Callable[..., Run]:
    def start(out: Path, *more: str, captions: Path | None = None, **faults: str) -> Run:
        arguments = [
            *(
                "--captions",
                str(captions or world / "captions.parquet"),
                "--start",
                str(world / "model"),
            ),
            *("--gazetteer", str(world / "world.csv"), "--out", str(out)),
            *("--workers", "2", "--epochs", "4", "--learning-rate", "1e-3"),
            *("--batch-size", str(BATCH), "--checkpoint-every", str(CHECKPOINT_EVERY), *more),
        ]
        return Run(nodes, "pipelines.train_encoder", arguments, **faults)

    return start


@pytest.fixture(scope="module")
def undisturbed(train: Callable[..., Run], world: Path) -> pd.DataFrame:
    notes = world / "reads.txt"
    train(world / "undisturbed", NOTE_READS=str(notes)).wait()
    assert notes.stat().st_size == STEPS * BATCH
    losses = pd.read_csv(world / "undisturbed" / "losses.csv")
    assert losses["step"].tolist() == list(range(1, STEPS + 1))
    assert losses["loss"].nunique() == STEPS
    return losses


def wait_for_a_random_step(out: Path, run: Run, notes: Path) -> None:
    """Until half of the photos are read and two checkpoints there, and then up to a second more."""
    deadline = time.monotonic() + 600
    while (
        len(list((out / "training").glob("checkpoint_*"))) < 2
        or notes.stat().st_size < STEPS * BATCH / 2
    ):
        assert run.process.poll() is None, run.process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(random.random())


def assert_same_curve(out: Path, undisturbed: pd.DataFrame) -> None:
    losses = pd.read_csv(out / "losses.csv")
    assert losses["step"].tolist() == undisturbed["step"].tolist()
    np.testing.assert_allclose(losses["loss"], undisturbed["loss"], atol=1e-4, rtol=0)


def test_a_worker_is_killed(
    train: Callable[..., Run], undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    notes = tmp_path / "reads.txt"
    run = train(tmp_path, SLOW_READS=SLOW, NOTE_READS=str(notes))
    wait_for_a_random_step(tmp_path, run, notes)
    workers = run.actors("RayTrainWorker")
    os.kill(workers[0], signal.SIGKILL)
    run.wait()
    assert len(workers) == 2
    assert_same_curve(tmp_path, undisturbed)
    # From the start it would be half as much again.
    assert notes.stat().st_size <= (STEPS + 2 * CHECKPOINT_EVERY + 2) * BATCH


def test_the_driver_is_killed_and_started_again(
    train: Callable[..., Run], undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    notes = tmp_path / "reads.txt"
    run = train(tmp_path, SLOW_READS=SLOW, NOTE_READS=str(notes))
    wait_for_a_random_step(tmp_path, run, notes)
    run.process.kill()
    run.process.communicate()
    assert not (tmp_path / "losses.csv").exists()
    again = tmp_path / "again.txt"
    train(tmp_path, NOTE_READS=str(again)).wait()
    assert_same_curve(tmp_path, undisturbed)
    assert again.stat().st_size <= (STEPS / 2 + 2 * CHECKPOINT_EVERY + 2) * BATCH


def test_photos_of_a_shard_on_s3_give_the_same_losses(
    train: Callable[..., Run],
    undisturbed: pd.DataFrame,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read by a decoder of any node; where photos lie changes no order and no pixel."""
    captions, notes = pd.read_parquet(world / "captions.parquet"), tmp_path / "reads.txt"
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for path in captions["path"]:
            tar.add(path, Path(path).name)
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        storage._remote.cache_clear()
        shard = f"{make_bucket('shards')}/0.tar"
        storage.write_bytes(shard, (tmp_path / "0.tar").read_bytes())
        inside = LabelledTar(shard).table()["path"].to_numpy()
        captions.assign(path=inside).to_parquet(tmp_path / "c.parquet", index=False)
        given = {"captions": tmp_path / "c.parquet", "NOTE_READS": str(notes), **environment}
        train(tmp_path / "out", "--decoders", "1", **given).wait()
    storage._remote.cache_clear()
    losses = pd.read_csv(tmp_path / "out" / "losses.csv")
    pd.testing.assert_frame_equal(losses, undisturbed, check_exact=True)
    assert not notes.exists()
