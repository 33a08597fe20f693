"""A whole run on a real S3-compatible server: photos, tables, shards, model and output in it."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.dataset
import pytest
from inference import write_model, write_photos, write_world
from loopback_s3 import make_bucket, s3_server

from geoclip.encoders import load_encoder
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from pipelines import storage
from pipelines.storage import filesystem, store_folder

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = 30

pytestmark = pytest.mark.slow


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(name: str) -> pd.DataFrame:
    system, path = filesystem(name)
    table = pyarrow.dataset.dataset(path, filesystem=system).to_table().to_pandas()
    return table.sort_values("photo_id", kind="stable", ignore_index=True)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Photos in a folder, in a table with one that is missing, and in a shard; and a model."""
    photos = write_photos(tmp_path / "local" / "photos", PHOTOS)
    (photos[0].parent / "photos.csv").write_text("path\n0003.jpg\nnone.jpg\n")
    with tarfile.open(tmp_path / "local" / "00.tar", "w") as tar:
        for photo in photos[:5]:
            tar.add(photo, photo.name)
    write_model(tmp_path / "model")
    write_world(tmp_path / "world.csv")
    with s3_server() as environment:
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        storage._remote.cache_clear()
        bucket = make_bucket("photos")
        store_folder(tmp_path / "local", bucket)
        store_folder(tmp_path / "model", f"{bucket}/model")
        yield bucket
    storage._remote.cache_clear()


def test_a_run_on_s3(bucket: str, tmp_path: Path) -> None:
    inputs = [f"{bucket}/photos", f"{bucket}/photos/photos.csv", f"{bucket}/00.tar"]
    photos = [word for name in inputs for word in ("--photos", name)]
    out = f"{bucket}/run/guesses"
    given = ("--model", f"{bucket}/model", "--gazetteer", str(tmp_path / "world.csv"))
    first = run("locate_photos", *photos, *given, "--out", out, "--actors", "1")
    assert f"{PHOTOS + 7} photos in {out}; 1 could not be read ({out}-ledger)" in first
    guesses, ledger = read(out), read(f"{out}-ledger")
    again = run("locate_photos", *photos, *given, "--out", out, "--actors", "1")
    assert "is up to date" in again
    pd.testing.assert_frame_equal(read(out), guesses)
    assert ledger[["photo_id", "path", "status"]].values.tolist() == [
        ["none.jpg", f"{bucket}/photos/none.jpg", "missing"]
    ]
    places = PlaceIndex.read(storage.local_copy(f"{bucket}/run/places"))
    encoder, world = load_encoder(tmp_path / "model"), Gazetteer.read(tmp_path / "world.csv")
    locator = Locator(encoder, places, world)
    wanted = locator.guesses(locator.embed([tmp_path / "local" / "photos" / "0003.jpg"]))
    for name in ("0003.jpg", f"{bucket}/photos/0003.jpg", f"{bucket}/00.tar/0003.jpg"):
        rows = guesses[guesses["photo_id"] == name].sort_values("rank")
        assert rows["place_id"].tolist() == wanted["place_id"].tolist()
        assert rows["probability"].tolist() == pytest.approx(wanted["probability"].tolist(), 1e-4)

    out = f"{bucket}/run/embeddings"
    run("embed_photos", *photos, "--model", f"{bucket}/model", "--out", out, "--actors", "1")
    embedded = read(out)
    assert embedded["photo_id"].nunique() == len(embedded) == PHOTOS + 7
    assert embedded["embedding"].isna().sum() == 1
