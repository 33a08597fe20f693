"""Guesses and embeddings by Ray, against the same photos without it."""

import importlib
import json
import re
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from inference import read_rows, write_model, write_photos, write_world
from PIL import Image

from geoclip.encoders import load_encoder
from geoclip.encoders.registry import CHECKPOINTS
from geoclip.errors import GeoclipError, PhotoError
from geoclip.guesses.guess_files import read_guesses
from geoclip.guesses.schema import COLUMNS
from geoclip.locator import Locator
from geoclip.photos.opening import read_pictures
from geoclip.photos.reader import BATCH
from geoclip.places.captions import CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import SHIPPED_FOLDER, PlaceIndex, index_key
from geoclip.ranking.settings import RankingSettings
from pipelines import view_reader
from pipelines.command_line import command_of
from pipelines.embed_photos import embed_photos, embed_table
from pipelines.embed_places import embed_places
from pipelines.inputs import csv_photos, photo_parts
from pipelines.locate_photos import locate_into, locate_to_file, main
from pipelines.outputs import Output
from pipelines.photo_actors import LARGEST_BATCH, PhotoEmbedder, Pool, batch_for
from pipelines.photo_locator import EXTRA, LocatorSpec, PhotoLocator, answers
from pipelines.photo_source import ListedPhotos, Photo, read_blocks, sliced
from pipelines.photo_stages import cpus_an_actor
from pipelines.view_reader import CALLS_APART, decode_apart

COUNT = 20
VIEWS = (1, 7, 12)
"""The photos that are views of one place."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, ray_on_two_cpus: None) -> Path:
    """Photos of which three are views of one place and one is none; model, world and index."""
    home = tmp_path_factory.mktemp("inference")
    photos = write_photos(home / "photos", COUNT)
    photos[4].write_text("no photo")
    lines = [
        f"photos/{photo.name},{'square' if i in VIEWS else ''}" for i, photo in enumerate(photos)
    ]
    (home / "photos.csv").write_text("\n".join(["path,location_id", *lines]) + "\n")
    write_model(home / "model")
    write_world(home / "world.csv")
    embed_places(str(home / "model"), home / "places", home / "world.csv", actors=1)
    return home


@pytest.fixture(scope="module")
def locator(home: Path) -> Locator:
    world = Gazetteer.read(home / "world.csv")
    return Locator(load_encoder(home / "model"), PlaceIndex.read(home / "places"), world)


@pytest.fixture(scope="module")
def wanted(home: Path, locator: Locator) -> pd.DataFrame:
    photos = sorted((home / "photos").glob("*.jpg"))
    groups = ["square" if i in VIEWS else None for i in range(COUNT)]
    table = locator.guesses(locator.embed(photos), 3, groups, classes=True)
    return table.assign(photo_id=[f"photos/{Path(path).name}" for path in table["path"]])


def given(home: Path, top_k: int = 3) -> LocatorSpec:
    return LocatorSpec.of(str(home / "model"), home / "places", home / "world.csv", top_k=top_k)


def assert_as_wanted(table: pd.DataFrame, wanted: pd.DataFrame) -> None:
    columns = list(wanted.columns)
    pd.testing.assert_frame_equal(table[columns], wanted, check_exact=False, rtol=1e-4)


def test_a_folder_that_grows(home: Path, wanted: pd.DataFrame, tmp_path: Path) -> None:
    lines = (home / "photos.csv").read_text().splitlines(keepends=True)
    few = home / "few.csv"
    few.write_text("".join(line for line in lines if "square" in line or "path" in line))
    out = str(tmp_path / "out")
    locate_into(out, photo_parts([few], 1), given(home), Pool(1))
    assert set(read_rows(tmp_path / "out")["location_id"]) == {"square"}
    assert not list((tmp_path / "out-ledger").glob("*"))
    before = {path.name for path in (tmp_path / "out").iterdir()}

    output = locate_into(out, photo_parts([home / "photos.csv"], 1), given(home), Pool(1))
    table = read_rows(tmp_path / "out")
    assert_as_wanted(table, wanted)
    assert before < {path.name for path in (tmp_path / "out").iterdir()}
    assert list(table.columns) == [*COLUMNS, *EXTRA, "geometry"]
    points = gpd.read_parquet(tmp_path / "out")
    assert points.crs.to_epsg() == 4326
    ledger = read_rows(tmp_path / "out-ledger")
    assert ledger[["photo_id", "status"]].values.tolist() == [["photos/0004.jpg", "not a photo"]]
    assert "0004.jpg" in ledger["message"][0]
    assert output.summary() == (f"{COUNT} photos in {out}; 1 could not be read ({out}-ledger).")
    with pytest.raises(GeoclipError, match=r"was begun with another top_k: give the same again"):
        locate_into(out, photo_parts([few], 1), given(home, top_k=2), Pool(1))


def test_one_file(home: Path, wanted: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "guesses.csv"
    parts = photo_parts([home / "photos.csv"], 1)
    said = locate_to_file(out, parts, given(home), Pool(1))
    assert said.startswith(f"{COUNT} photos in {out}; 1 could not be read")
    pd.testing.assert_frame_equal(
        read_guesses(out).reset_index(drop=True), wanted[list(COLUMNS)],
        check_exact=False, rtol=1e-4,
    )  # fmt: skip
    assert pd.read_csv(out)["photo_id"].tolist() == wanted["photo_id"].tolist()
    assert "not a photo" in (tmp_path / "guesses.csv-ledger.csv").read_text()


def test_an_embedded_model_is_used_as_its_folder_says(
    tmp_path: Path, ray_on_two_cpus: None
) -> None:
    folder = CHECKPOINTS / "street-tiny"
    index = embed_places("street-tiny", tmp_path / "places", actors=1)
    settings = LocatorSpec.of("street-tiny", tmp_path / "places").settings
    assert settings == ModelSettings.read(folder).ranking != RankingSettings()
    shipped = PlaceIndex.read(folder / SHIPPED_FOLDER)
    assert index.key == shipped.key == PlaceIndex.read(tmp_path / "places").key
    np.testing.assert_array_equal(index.embeddings, shipped.embeddings)


def test_method_and_point_override_those_of_the_model() -> None:
    own = ModelSettings.read(CHECKPOINTS / "street-tiny").ranking
    spec = LocatorSpec("street-tiny", "places", "key", None, own, 5)
    assert spec.reranked() == spec
    assert spec.reranked("greedy", "city").settings == own.overridden("greedy", "city") != own
    options = {option.name for option in command_of(main).params}
    assert {"method", "point"} <= options


def test_a_model_folder_words_its_own_prompts(
    home: Path, tmp_path: Path, ray_on_two_cpus: None
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(home / "model", folder)
    ModelSettings(CaptionSettings(prefix="A postcard")).write(folder)
    there = embed_places(str(folder), tmp_path / "places", home / "world.csv", actors=1)
    world = Gazetteer.read(home / "world.csv")
    assert there.key == index_key(load_encoder(folder), world, CaptionSettings("A postcard"))
    assert there.key != PlaceIndex.read(home / "places").key


def test_a_table_in_memory(home: Path, locator: Locator, wanted: pd.DataFrame) -> None:
    names = [f"photos/{i:04}.jpg" for i in reversed(range(COUNT))]
    square = [f"photos/{i:04}.jpg" for i in VIEWS]
    photos = pd.DataFrame(
        {
            "photo_id": names,
            "path": [str(home / name) for name in names],
            "location_id": ["square" if name in square else name for name in names],
        }
    )
    found = embed_table(photos, str(home / "model"), Pool(1))
    table = answers(locator, found, photos, top_k=3).drop("geometry").to_pandas()
    assert list(dict.fromkeys(table["photo_id"])) == names
    assert_as_wanted(table.sort_values(["photo_id", "rank"], ignore_index=True), wanted)


def test_embeddings(
    home: Path, locator: Locator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = list(sliced(csv_photos(str(home / "photos.csv")), 2))
    assert len(parts) > 2  # more actors are requested than have room
    embed_photos(str(tmp_path / "out"), parts, str(home / "model"), Pool(40))
    said = capfd.readouterr().err
    assert f"room for 2 actors, so 2 work instead of {len(parts)}." in said
    assert re.search(rf"^photos: {COUNT} of {COUNT}, .* left, 1 could not be read$", said, re.M)
    table = read_rows(tmp_path / "out")
    assert len(table) == COUNT
    assert table["embedding"].isna().tolist() == [i == 4 for i in range(COUNT)]
    known = table[table["status"] == "ok"]
    embedded = locator.embed(known["path"].tolist())
    np.testing.assert_allclose(np.stack(known["embedding"].tolist()), embedded.values, atol=1e-5)
    assert len(read_rows(tmp_path / "out-ledger")) == 1
    with pytest.raises(GeoclipError, match="begun with another ranking, top_k, places"):
        Output(str(tmp_path / "out")).begin({"ranking": 1, "top_k": 2, "places": 3})


def test_a_shard_that_is_mended(home: Path, tmp_path: Path, locator: Locator) -> None:
    photos = sorted((home / "photos").glob("*.jpg"))
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "00.tar", "w") as tar:
        for photo in photos[5:9]:
            tar.add(photo, photo.name)
    whole = (tmp_path / "in" / "00.tar").read_bytes()
    (tmp_path / "in" / "00.tar").write_bytes(whole[:4000])
    content = [photo.read_bytes() for photo in photos[:4]]
    places = [1, 1, 2, 2]
    pq.write_table(
        pa.table({"id": list("abcd"), "bytes": content, "location_id": places}),
        tmp_path / "in" / "x.parquet",
        row_group_size=3,
    )
    output = Output(str(tmp_path / "out"))
    first = photo_parts([tmp_path / "in"], 1, output.done())
    embed_photos(output.name, first, str(home / "model"), Pool(1))
    shard = f"{tmp_path}/in/00.tar"
    assert read_rows(tmp_path / "out-ledger")["photo_id"].tolist() == [shard]
    before = read_rows(tmp_path / "out")["photo_id"].tolist()
    assert shard in before and f"{shard}/0005.jpg" in before
    assert output.done().photos == len(before)

    (tmp_path / "in" / "00.tar").write_bytes(whole)
    (left,) = photo_parts([tmp_path / "in"], 1, output.done())
    assert left.shard and left.shard.name == shard
    embed_photos(output.name, [left], str(home / "model"), Pool(1))
    table = read_rows(tmp_path / "out").set_index("photo_id")
    assert not list((tmp_path / "out-ledger").iterdir())
    assert sorted(table.index) == sorted([*"abcd", *(f"{shard}/{p.name}" for p in photos[5:9])])
    embedded = locator.embed([*photos[:4], *photos[5:9]])
    order = [*"abcd", *(f"{shard}/{photo.name}" for photo in photos[5:9])]
    vectors = np.stack(table.loc[order, "embedding"].tolist())
    np.testing.assert_allclose(vectors, embedded.values, atol=1e-5)
    assert photo_parts([tmp_path / "in"], 1, output.done()) == []


@pytest.mark.parametrize("program", ["locate_photos", "embed_photos"])
def test_bad_arguments_are_found_before_ray_starts(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"pipelines.{program}")
    monkeypatch.setattr(module, "ray_session", lambda **_: pytest.fail("Ray was started"))
    for model, error in (("clip-b-23", "no model or folder"), ("clip-b-32", "holds no photo")):
        given = ["--photos", str(tmp_path), "--model", model, "--out", str(tmp_path / "out")]
        with pytest.raises(GeoclipError, match=error):
            command_of(module.main)(given, standalone_mode=False)


def test_files_of_an_unknown_run(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.parquet").touch()
    with pytest.raises(GeoclipError, match="does not say of which run: name another --out"):
        Output(str(tmp_path / "out")).begin({})


def test_what_is_noted_of_a_run(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "out"))
    output.begin({"temperatures": (1.0, 2.0)})
    output.begin({"temperatures": (1.0, 2.0)})
    noted = json.loads((tmp_path / "out-checkpoint" / "run.json").read_text())
    assert noted == {"temperatures": [1.0, 2.0]}


def test_an_index_that_changed_since_the_job_began(home: Path) -> None:
    with pytest.raises(GeoclipError, match="another place index than when this job began"):
        PhotoLocator(replace(given(home), index_key="another key"), Pool(threads=1))


def test_locations_of_one_name_in_a_block_are_not_averaged(home: Path, locator: Locator) -> None:
    """They come from two files, or from rows that do not stand side by side."""
    paths = [str(home / "photos" / f"{i:04}.jpg") for i in range(4)]
    listed = [Photo(path, path, location_id="a") for path in paths]
    block = pa.concat_tables(
        table for pair in (listed[:2], listed[2:]) for table in read_blocks(ListedPhotos(pair))
    )
    assert block["location_id"].to_pylist() == ["a", "a"]
    (table,) = PhotoLocator(given(home), Pool(threads=1))(block)
    answers = table.to_pandas()
    wanted = locator.guesses(locator.embed(paths), 3, [1, 1, 2, 2])
    assert answers["photo_id"].tolist() == wanted["path"].tolist()
    np.testing.assert_allclose(answers["probability"], wanted["probability"], rtol=1e-4)
    assert answers["location_id"].unique().tolist() == ["a"]


def test_inputs_without_a_photo(home: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    parts = photo_parts([tmp_path / "empty.tar"], 1)
    said = locate_to_file(tmp_path / "x.csv", parts, given(home), Pool(1))
    assert said == f"0 photos in {tmp_path / 'x.csv'}; 0 could not be read."
    assert len(read_guesses(tmp_path / "x.csv")) == 0


def test_decoding_apart(home: Path) -> None:
    photo = home / "photos" / "0000.jpg"
    (apart,) = decode_apart(photo, None, 4, 16)
    (here,) = read_pictures(photo, None, 4, 16)
    assert np.array_equal(np.asarray(apart), np.asarray(here))
    for content, status in ((b"", "empty"), (b"text", "not a photo")):
        with pytest.raises(PhotoError) as caught:
            decode_apart("s3://bucket/a.jpg", content, 4, 16)
        assert caught.value.status == status
        assert "s3://bucket/a.jpg" in str(caught.value)


def test_a_run_keeps_its_precision(home: Path, locator: Locator, tmp_path: Path) -> None:
    lines = (home / "photos.csv").read_text().splitlines(keepends=True)
    (home / "one.csv").write_text("".join(lines[:2]))
    parts, out = photo_parts([home / "one.csv"], 1), tmp_path / "out"
    model = str(home / "model")
    embed_photos(str(out), parts, model, Pool(1, precision="bf16"))
    (half,) = read_rows(out)["embedding"]
    note = json.loads((tmp_path / "out-checkpoint" / "run.json").read_text())
    assert note["precision"] == "bf16"
    embed_photos(str(out), parts, model, Pool(1, precision="auto"))  # it goes on
    with pytest.raises(GeoclipError, match="precision"):
        embed_photos(str(out), parts, model, Pool(1))
    (full,) = locator.embed([home / "photos" / "0000.jpg"]).values
    assert 1e-5 < np.abs(half - full).max() < 0.1


def test_places_in_another_precision(home: Path, tmp_path: Path) -> None:
    model, world = str(home / "model"), home / "world.csv"
    full = PlaceIndex.read(home / "places")
    assert embed_places(model, home / "places", world, precision="bf16").key == full.key
    half = embed_places(model, tmp_path / "half", world, precision="bf16", actors=1)
    assert half.key == f"{full.key}-bf16"
    assert 1e-4 < np.abs(half.embeddings.astype(float) - full.embeddings).max() < 0.1
    again = embed_places(model, tmp_path / "half", world, actors=1)
    assert again.key == full.key  # made anew


def test_a_restarted_actor_decodes_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apart = []

    def noting(*arguments: object) -> list[Image.Image]:
        apart.append(arguments)
        return read_pictures(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(view_reader, "decode_apart", noting)
    path = str(home / "photos" / "0000.jpg")
    (block,) = read_blocks(ListedPhotos([Photo("a", path)]))
    fresh = PhotoEmbedder(str(home / "model"), Pool(threads=1))
    list(fresh(block))
    assert apart == []
    monkeypatch.setattr(view_reader, "was_restarted", lambda: True)
    embedder = PhotoEmbedder(str(home / "model"), Pool(threads=1))
    for _ in range(CALLS_APART + 3):
        list(embedder(block))
    assert len(apart) == CALLS_APART


def test_room_beside_the_actors(ray_on_two_cpus: None) -> None:
    assert ray.cluster_resources()["CPU"] == 2
    for cpus, actors in ((2, 1), (2, 2), (3, 2), (4, 2), (16, 1), (1600, 200)):
        assert cpus - actors * cpus_an_actor(cpus, actors) >= 1.5 - 1e-9
        taken = actors * cpus_an_actor(cpus, actors, growing=True)
        assert 0.75 * cpus <= taken <= cpus - 0.5
    assert cpus_an_actor(1600, 100) == 8


@pytest.mark.parametrize(
    ("free", "each", "photos"),
    [(0, 1e6, BATCH), (1e9, 1e6, 480), (8e10, 1e6, LARGEST_BATCH), (1e9, 0, LARGEST_BATCH)],
)
def test_batches_fit_the_memory(free: float, each: float, photos: int) -> None:
    assert batch_for(free, each) == photos
