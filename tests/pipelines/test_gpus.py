"""GPUs that Ray counts and PyTorch does not see: everything runs, and rows are the same to the bit.

The fixture `run` is the main job on such GPUs; `test_end_to_end` holds it against processors.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import torch
from inference import read_rows, write_model, write_photos, write_world

from geoclip.errors import GeoclipError
from pipelines import photo_source
from pipelines.cluster import computes_on_gpu
from pipelines.embed_photos import embed_photos
from pipelines.embed_places import embed_places
from pipelines.inputs import photo_parts
from pipelines.locate_photos import locate_into
from pipelines.outputs import data_context
from pipelines.photo_actors import Pool
from pipelines.photo_locator import LocatorSpec
from pipelines.photo_stages import on_actors

COUNT = 70

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the GPUs are real here")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, ray_on_two_cpus: None) -> Path:
    """Photos in two tables that number their locations alike, three views each; model and world."""
    home = tmp_path_factory.mktemp("gpus")
    photos = write_photos(home / "photos", COUNT)
    for name, own in (("a", photos[::2]), ("b", photos[1::2])):
        lines = [f"photos/{photo.name},{i // 3}" for i, photo in enumerate(own)]
        (home / f"{name}.csv").write_text("\n".join(["path,location_id", *lines]) + "\n")
    write_model(home / "model")
    write_world(home / "world.csv")
    embed_places(str(home / "model"), home / "places", home / "world.csv", actors=1, gpus=0.5)
    return home


@pytest.fixture(autouse=True)
def nothing_said_yet() -> Iterator[None]:
    computes_on_gpu.cache_clear()
    yield
    computes_on_gpu.cache_clear()


def assert_same(one: Path, other: Path) -> pd.DataFrame:
    rows = read_rows(one)
    pd.testing.assert_frame_equal(rows, read_rows(other), check_exact=True)
    return rows


def test_photos_are_located(home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parts = photo_parts([home / "a.csv", home / "b.csv"], 1)
    spec = LocatorSpec.of(str(home / "model"), home / "places", home / "world.csv", top_k=2)
    for name, gpus in (("cpu", 0), ("gpu", 1)):
        locate_into(str(tmp_path / name), parts, spec, Pool(1, gpus, threads=1))
    rows = assert_same(tmp_path / "gpu", tmp_path / "cpu")
    assert rows["photo_id"].nunique() == COUNT
    first = rows[rows["rank"] == 1].assign(table=lambda t: t["path"].str[-5:-4].astype(int) % 2)
    answers = first.groupby(["location_id", "table"])["probability"]
    assert (answers.nunique() == 1).all()
    assert first.groupby("location_id")["probability"].nunique().max() == 2
    assert capfd.readouterr().err.count("PyTorch cannot use Ray's GPUs") == 1


def test_blocks_stay_whole(home: Path) -> None:
    """Merged ones could be gigabytes of photos."""

    class Sizes:
        def __init__(self, threads: int) -> None:
            pass

        def __call__(self, batch: pa.Table) -> pa.Table:
            return pa.table({"rows": [batch.num_rows]})

    parts = photo_parts([home / "a.csv", home / "b.csv"], 1)
    sizes = [len(table) for part in parts for table in photo_source.read_blocks(part)]
    assert len(sizes) > 3
    with data_context():
        taken = on_actors(parts, Sizes, (), Pool(1, gpus=0.5)).take_all()
    assert sorted(row["rows"] for row in taken) == sorted(sizes)


def test_photos_are_embedded_by_as_many_actors_as_find_a_gpu(home: Path, tmp_path: Path) -> None:
    parts = photo_parts([home / "a.csv", home / "b.csv"], 1)
    assert len(parts) > 3  # three actors are requested, and two start
    for name, pool in (("cpu", Pool(1, threads=1)), ("gpu", Pool(3, 1, threads=1))):
        embed_photos(str(tmp_path / name), parts, str(home / "model"), pool)
    embedded = assert_same(tmp_path / "gpu", tmp_path / "cpu")
    assert len(embedded) == COUNT
    assert embedded["embedding"].notna().all()


def test_more_gpus_than_there_are(home: Path, tmp_path: Path) -> None:
    """Ray would wait for them for ever."""
    parts = photo_parts([home / "a.csv"], 1)
    with pytest.raises(GeoclipError, match=r"finds 2 GPUs .*needs 3; ask for fewer"):
        embed_photos(str(tmp_path / "out"), parts, str(home / "model"), Pool(1, gpus=3))
