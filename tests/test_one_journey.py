"""Library and command answer alike: `Locator.locate`, `locate_folder` and `geoclip locate`."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import without_notes
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.guesses.gps_comparison import EXTRA_COLUMNS
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionSettings
from geoclip.ranking.travel import TripSettings
from geoclip.runs.locate_folder import locate_folder

LYON = {1: "N", 2: (45.0, 45.0, 0.0), 3: "E", 4: (4.0, 51.0, 0.0)}
SIDE = 96  # small: a large JPEG file is decoded at half size or less, an image never


@pytest.fixture(scope="module")
def locator() -> Locator:
    return Locator.from_pretrained("street-tiny")


@pytest.fixture(autouse=True)
def loaded_once(locator: Locator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command loads the same model, but anew for every run."""
    monkeypatch.setattr("geoclip.commands.locate._load", lambda *_, **__: locator)


def scene(seed: int) -> Image.Image:
    """A picture that is neither blank nor print nor drawn."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((SIDE, SIDE)), np.float64)
    pixels = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def exif(minute: int, gps: dict[int, Any] | None = None) -> bytes:
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x9003] = f"2023:05:01 12:{minute:02}:00"
    if gps:
        tags[0x8825] = gps
    return tags.tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven photos in two folders, one with a position, a blank one and one invalid."""
    home = tmp_path_factory.mktemp("photos")
    (home / "sub").mkdir()
    for i in range(6):
        name = home / ("sub" if i % 2 else "") / f"{i}.jpg"
        scene(i).save(name, exif=exif(i, LYON if i == 2 else None))
    scene(9).save(home / "8.png")
    Image.new("RGB", (SIDE, SIDE)).save(home / "black.png")
    (home / "none.jpg").write_text("no photo")
    return home


SETTINGS = {
    "as it is": ((), LocateSettings()),
    "the model alone": (
        ("--gps", "ignore", "--evidence", "off", "--top-k", "3"),
        LocateSettings(3, gps="ignore", abstention=AbstentionSettings("off")),
    ),
    "at one level": (
        ("--level", "country", "--confidence", "0.9"),
        LocateSettings(level="country", confidence=0.9),
    ),
    "sooner at a city": (("--confidence", "0.01"), LocateSettings(confidence=0.01)),
    "compared, as an album": (
        ("--gps", "compare", "--album", "--evidence", "pixels"),
        LocateSettings(gps="compare", trip=TripSettings(), abstention=AbstentionSettings("pixels")),
    ),
}


def told(table: pd.DataFrame) -> pd.DataFrame:
    """Without the points, and without texts that a file leaves empty."""
    plain = pd.DataFrame(table).drop(columns="geometry")
    return plain.astype({"gps_note": "str"}) if "gps_note" in plain else plain


def command(out: Path, *arguments: object, status: int = 0) -> pd.DataFrame:
    """The table of the command, every digit of it."""
    given = ["locate", *map(str, arguments), "--out", str(out)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == status, result.output
    return told(pd.read_parquet(out))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_folder(locator: Locator, folder: Path, tmp_path: Path, name: str) -> None:
    options, settings = SETTINGS[name]
    wanted = command(tmp_path / "o.parquet", folder, *options, status=3)
    sources = {"the model alone": {"model"}, "compared, as an album": {"album", "model"}}
    assert set(wanted["source"]) - {""} == sources.get(name, {"gps", "model"})
    ours = locator.locate(folder, settings)
    pd.testing.assert_frame_equal(told(ours), wanted, check_exact=True)
    assert (ours.geometry.notna() == ours["lat"].notna()).all()
    assert (set(EXTRA_COLUMNS) <= set(ours.columns)) == ("compare" in options)
    report = locate_folder(folder, locator, settings)
    pd.testing.assert_frame_equal(told(report.guesses()), wanted, check_exact=True)
    assert [failure.status for failure in report.failures] == ["not a photo"]


def test_a_file_a_glob_and_a_text(locator: Locator, folder: Path) -> None:
    whole = locator.locate(folder)
    for photo in (folder / "0.jpg", str(folder / "0.jpg"), f"{folder}/0.*"):
        table = locator.locate(photo)
        assert set(table["path"]) == {str(folder / "0.jpg")}
        alike = whole[whole["path"] == str(folder / "0.jpg")]
        assert table["place_id"].tolist() == alike["place_id"].tolist()
    assert locator.locate_one(folder / "0.jpg")[0].path == str(folder / "0.jpg")


@pytest.mark.parametrize("kind", ["image", "array", "bytes"])
@pytest.mark.parametrize("name", ["0.jpg", "2.jpg", "8.png", "black.png"])
def test_a_photo_in_memory(
    locator: Locator, folder: Path, tmp_path: Path, kind: str, name: str
) -> None:
    path = folder / name
    content = {
        "image": lambda: Image.open(path),
        "array": lambda: np.asarray(Image.open(path)),
        "bytes": path.read_bytes,
    }[kind]()
    # An array carries no position.
    options = ("--gps", "ignore") if kind == "array" else ()
    wanted = command(tmp_path / "o.parquet", path, *options).assign(path="photo 0")
    if name == "2.jpg":
        assert set(wanted["source"]) == {"model" if kind == "array" else "gps"}
    assert (wanted["status"][0] == "no evidence") == (name == "black.png")
    ours = told(locator.locate(content))
    ours = without_notes(ours) if kind == "array" else ours
    pd.testing.assert_frame_equal(ours, wanted, check_exact=True)


def test_photos_of_all_kinds_at_once(locator: Locator, folder: Path) -> None:
    image, path = Image.open(folder / "0.jpg"), folder / "sub" / "1.jpg"
    given = [path, image, b"no photo", np.asarray(image), image]
    table = locator.locate(given, top_k=2)
    assert list(dict.fromkeys(table["path"])) == [
        str(path), "photo 1", "photo 2", "photo 3", "photo 4",
    ]  # fmt: skip
    first = table[table["rank"] == 1].set_index("path")
    assert first["status"].tolist() == ["ok", "ok", "not a photo", "ok", "ok"]
    assert first.loc[["photo 1", "photo 3", "photo 4"], "place_id"].nunique() == 1


@pytest.mark.parametrize("other", [5, [None], np.zeros((3, 3, 2), np.uint8), {"a": 1}.values()])
def test_anything_else_is_one_sentence(locator: Locator, other: Any) -> None:
    with pytest.raises(GeoclipError, match=r"give .*\.$") as error:
        locator.locate(other)
    assert str(error.value).count(". ") == 0


def test_an_empty_folder(locator: Locator, tmp_path: Path) -> None:
    with pytest.raises(GeoclipError, match="No photos were found in"):
        locator.locate(tmp_path)
    assert locator.locate([]).empty


def test_views_of_a_location(locator: Locator, folder: Path, tmp_path: Path) -> None:
    names = ["0.jpg", "sub/1.jpg", "8.png", "sub/3.jpg", "4.jpg", "sub/5.jpg"]
    ids = ["x", "", "y", "x", "", "y"]
    rows = "".join(f"{folder / name},{own}\n" for name, own in zip(names, ids, strict=True))
    (tmp_path / "list.csv").write_text(f"path,place\n{rows}")
    listed = tmp_path / "list.csv"
    wanted = command(tmp_path / "o.parquet", listed, "--location-id", "place")
    photos = [folder / name for name in names]
    ours = told(locator.locate(photos, location_ids=ids))
    pd.testing.assert_frame_equal(ours, wanted, check_exact=True)
    first = ours[ours["rank"] == 1].set_index("path")
    assert list(first.index)[:2] == [str(photos[0]), str(photos[3])]  # side by side
    assert first["probability"].iloc[0] == first["probability"].iloc[1]
    old = command(tmp_path / "old.parquet", listed, "--group-by", "place")
    pd.testing.assert_frame_equal(old, wanted, check_exact=True)


def test_a_folder_of_views(locator: Locator, folder: Path) -> None:
    """The photos of a folder share its id; without one each is a location of its own."""
    together = locator.locate([folder / "sub", folder / "0.jpg"], location_ids=["x", None])
    apart = locator.locate([folder / "sub", folder / "0.jpg"], location_ids=[None, None])
    best = [table[table["rank"] == 1]["probability"] for table in (together, apart)]
    assert best[0].nunique() == 2
    assert best[1].nunique() == 4
    with pytest.raises(GeoclipError, match="1 ids for 2 photos"):
        locator.locate([folder / "sub", folder / "0.jpg"], location_ids=["x"])
