"""The classes of photos in a folder, by a table of levels: rows, files, and what is refused."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import FakeEncoder
from torchvision.transforms.functional import pil_to_tensor
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.guesses.class_guesses import class_guesses
from geoclip.guesses.failures import failures_path
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.travel import TripSettings
from geoclip.runs.locate_folder import locate_folder

TREE = """sector,branch,product
Food,Dairy,Milch
Food,Dairy,K\u00e4se
Food,,Salt
Tools,Dairy,Churn
Tools,Iron,Nail
"""


@pytest.fixture
def locator(fake_encoder: FakeEncoder, tmp_path: Path) -> Locator:
    (tmp_path / "tree.csv").write_text(TREE, encoding="utf-8")
    tree = Gazetteer.read(tmp_path / "tree.csv")
    fake_encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
    return Locator(fake_encoder, PlaceIndex.build(fake_encoder, tree), tree)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, one of them truncated and one with a position, and one invalid file.

    The position plays no part.
    """
    home = tmp_path / "photos"
    home.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(home / f"{i}.jpg")
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (45.0, 45.0, 0.0), 3: "E", 4: (4.0, 51.0, 0.0)}
    Image.fromarray(pixels).save(home / "gps.jpg", exif=exif)
    whole = (home / "2.jpg").read_bytes()
    (home / "2.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    (home / "bad.jpg").write_text("no photo")
    return home


def test_each_photo_has_the_classes_of_its_own_embedding(locator: Locator, folder: Path) -> None:
    report = locate_folder(folder, locator, LocateSettings(top_k=2))
    table = report.table
    assert report.of_classes
    assert {"lat", "lon", "country"}.isdisjoint(table)
    statuses = table.drop_duplicates("path").set_index("path")["status"]
    assert [statuses[str(folder / f"{n}.jpg")] for n in ("0", "1", "2", "gps", "bad")] == [
        "ok", "ok", "partial", "ok", "not a photo"
    ]  # fmt: skip
    assert [Path(failure.path).name for failure in report.failures] == ["2.jpg", "bad.jpg"]
    photos = [folder / name for name in ("0.jpg", "1.jpg", "gps.jpg")]
    alone = class_guesses(locator.ranker, locator.embed(photos), top_k=2)
    same = table[table["path"].isin(alone["path"])]
    ids = ["path", "rank", "level", "place_id", "product_id"]
    pd.testing.assert_frame_equal(
        same[ids].sort_values(["path", "rank"], ignore_index=True),
        alone[ids].sort_values(["path", "rank"], ignore_index=True),
    )
    assert same["probability"].to_numpy() == pytest.approx(alone["probability"], abs=2e-3)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_file_holds_the_table_and_may_be_made_again(
    ending: str, locator: Locator, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"guesses{ending}"
    first = locate_folder(folder, locator, out=out)
    found = pd.read_csv(out) if ending == ".csv" else pd.read_parquet(out)
    assert found["path"].tolist() == first.table["path"].tolist()
    assert failures_path(out).exists()
    content = out.read_bytes()
    locate_folder(folder, locator, out=out, force=False)  # it is a table of the same photos
    assert out.read_bytes() == content
    (folder / "0.jpg").rename(tmp_path / "other.jpg")
    with pytest.raises(GeoclipError, match="holds guesses for other photos"):
        locate_folder(tmp_path / "other.jpg", locator, out=out, force=False)


def test_a_level_of_the_table_may_be_asked_for(locator: Locator, folder: Path) -> None:
    levels = locator.gazetteer.level_names
    settings = LocateSettings(level="branch", own_levels=levels, top_k=9)
    table = locate_folder(folder, locator, settings).table
    rows = table[table["path"] == str(folder / "0.jpg")]
    assert set(rows["level"]) == {"branch"}
    # "Dairy" stands under two sectors: two classes.
    assert sorted(rows["place_id"]) == ["Food/Dairy", "Tools/Dairy", "Tools/Iron"]
    assert set(rows["product"]) == {""}
    with pytest.raises(GeoclipError, match="level is 'species'"):
        replace(settings, level="species")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"map_file": "map.html"}, "nothing for a map"),
        ({"out": "guesses.geojson"}, "cannot hold classes"),
        ({"out": "guesses.csv", "sidecars": "write"}, "nothing for sidecars"),
        ({"settings": LocateSettings(gps="compare")}, r"stated positions \(gps\)"),
        ({"settings": LocateSettings(gallery="self")}, "a gallery goes with places"),
        ({"settings": LocateSettings(trip=TripSettings())}, "trip smoothing"),
        ({"out": "guesses.csv", "settings": LocateSettings(level="city")}, "'city' is not a level"),
    ],
)
def test_what_needs_positions_is_refused(
    options: dict[str, object], said: str, locator: Locator, folder: Path, tmp_path: Path
) -> None:
    paths = {name: tmp_path / options[name] for name in ("out", "map_file") if name in options}
    with pytest.raises(GeoclipError, match=said):
        locate_folder(folder, locator, **{**options, **paths})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "tree.csv"]
    with pytest.raises(GeoclipError, match="has no coordinates"):
        locator.narrowed(countries=["Food"])
    with pytest.raises(GeoclipError, match="greedy"):
        locate_folder(folder, locator.reranked("greedy"))


def test_the_command_prints_classes(
    locator: Locator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Locator, "from_pretrained", lambda *_, **__: locator)
    monkeypatch.setattr("geoclip.support.process.keep_freed_memory", lambda: True)
    monkeypatch.setattr("geoclip.commands.locate.made_to_last", nullcontext)
    given = ["locate", str(folder / "0.jpg"), "--gazetteer", str(tmp_path / "tree.csv")]
    told = CliRunner().invoke(app, [*given, "--level", "product", "--top-k", "1"])
    assert told.exit_code == 0, told.output
    assert "product" in told.output
    assert "lat" not in told.output
    wrong = CliRunner().invoke(app, [*given, "--level", "species"])
    assert wrong.exit_code == 2
    assert "auto, sector, branch, product" in wrong.output
