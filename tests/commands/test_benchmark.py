"""`geoclip benchmark` end to end on small folders of drawn and of free photos."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import FakeEncoder
from torchvision.transforms.functional import pil_to_tensor
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.evaluation import benchmark_files
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch, small_gazetteer: Gazetteer) -> None:
    def load(name: str, gazetteer: Any = None, device: Any = None, **_: Any) -> Locator:
        encoder = FakeEncoder(salt=name)
        encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
        return Locator(encoder, PlaceIndex.build(encoder, small_gazetteer), small_gazetteer)

    monkeypatch.setattr(Locator, "from_pretrained", load)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six drawn photos, and one that is listed and missing."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(6):
        picture = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{i}.png")
        rows.append((f"{i}.png", f"author {i % 3}", 45.75, 4.85))
    table = pd.DataFrame([*rows, ("gone.png", "author", 0, 0)])
    table.columns = pd.Index(["IMG_ID", "AUTHOR", "LAT", "LON"])
    table.to_csv(folder / "im2gps3k_places365.csv", index=False)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)])


def rows_of(out: Path, name: str) -> dict[str, dict[str, Any]]:
    report = json.loads((out / "benchmark.json").read_text())
    return {row["system"]: row for row in report[name]["rows"]}


def test_models_by_sets_in_one_go(photos: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine.csv"
    pd.DataFrame({"filename": ["0.png"], "latitude": [45.75], "longitude": [4.85]}).to_csv(mine)
    models = ("--model", "streetclip", "--model", "clip-b-32")
    result = run("im2gps3k", mine, "--images", photos, "--images", photos, *models, "--out", out)
    assert result.exit_code == 0, result.output
    assert "StreetCLIP zero-shot" in result.stdout and "22.4" in result.stdout
    assert "1 of 7 photos of im2gps3k are not in" in result.stderr
    assert "No published rows of mine are known here" in result.stderr
    rows = rows_of(out, "im2gps3k")
    assert {"streetclip", "clip-b-32", "GeoCLIP"} <= set(rows)
    assert not rows["streetclip"]["published"] and rows["GeoCLIP"]["published"]
    assert rows["streetclip"]["n"] == 7 and rows["streetclip"]["missing"] == 1
    assert "not calibrated" in rows["streetclip"]["protocol"]
    assert set(rows_of(out, "mine")) == {"streetclip", "clip-b-32"}
    table = pd.read_csv(out / "benchmark.csv")
    assert len(table) == len(rows) + 2
    assert {"25 km by country", "25 km low", "GeoScore by country high"} <= set(table.columns)
    own = table[(table["benchmark"] == "im2gps3k") & (table["system"] == "streetclip")].iloc[0]
    low, high = rows["streetclip"]["intervals"]["within_km"]["2500"]
    assert (own["2500 km low"], own["2500 km high"]) == (pytest.approx(low), pytest.approx(high))
    by_country = rows["streetclip"]["within_km_by_country"]["2500"]
    assert own["2500 km by country"] == pytest.approx(by_country)
    assert table.loc[table["source"].notna(), "25 km low"].isna().all()
    assert "Measured here, with 95 % intervals" in result.stdout
    assert (out / "benchmark.png").read_bytes().startswith(b"\x89PNG")


def test_the_row_is_that_of_the_guesses(photos: Path, tmp_path: Path) -> None:
    protocol = ("--method", "greedy", "--point", "city")
    model = ("--model", "streetclip", *protocol)
    out, guesses = tmp_path / "out", tmp_path / "guesses.csv"
    assert run("im2gps3k", "--images", photos, *model, "--out", out).exit_code == 0
    locator = Locator.from_pretrained("streetclip").reranked("greedy", "city")
    found = sorted(photos.glob("*.png"))
    h = locator.ranker.hierarchy
    points = locator.ranker.rank(locator.embed(found).values).points
    pd.DataFrame(
        {"path": [str(path) for path in found], "lat": h.lat[points], "lon": h.lon[points]}
    ).to_csv(guesses, index=False)
    again = run("im2gps3k", "--images", photos, "--guesses", guesses, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.output
    first = rows_of(out, "im2gps3k")["streetclip"]
    second = rows_of(tmp_path / "again", "im2gps3k")["guesses"]
    assert first["within_km"] == second["within_km"]
    assert first["median_km"] == pytest.approx(second["median_km"])
    assert first["protocol"].startswith("greedy, point city")


def test_each_method_is_a_row(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greedy and joint of a checkpoint side by side; photos are read once."""
    read: list[int] = []
    encoded = FakeEncoder.encode_pixels
    monkeypatch.setattr(
        FakeEncoder, "encode_pixels", lambda self, p: read.append(len(p)) or encoded(self, p)
    )
    model = ("--model", "streetclip", "--point", "city")
    both, out = ("--method", "greedy", "--method", "joint"), tmp_path / "both"
    result = run("im2gps3k", "--images", photos, *model, *both, "--out", out)
    assert result.exit_code == 0, result.output
    assert sum(read) == 6
    rows = rows_of(out, "im2gps3k")
    for method in ("greedy", "joint"):
        alone = tmp_path / method
        command = ("im2gps3k", "--images", photos, *model, "--method", method, "--out", alone)
        assert run(*command).exit_code == 0
        row, expected = rows[f"streetclip, {method}"], rows_of(alone, "im2gps3k")["streetclip"]
        assert row["protocol"].startswith(f"{method}, point city")
        assert row["median_km"] == expected["median_km"]
    read.clear()
    assert run("im2gps3k", "--images", photos, *model, *both).exit_code == 0
    assert sum(read) == 6


def test_guesses_of_one_set_make_no_row_of_another(photos: Path, tmp_path: Path) -> None:
    other, guesses = tmp_path / "other.csv", tmp_path / "guesses.csv"
    other.write_text("filename,latitude,longitude\n5.png,45.75,4.85\n")
    guesses.write_text("path,lat,lon\nelsewhere/0.png,45.75,4.85\n")
    sets = ("im2gps3k", other, "--images", photos, "--images", photos)
    out = tmp_path / "out"
    result = run(*sets, "--guesses", guesses, "--out", out)
    assert result.exit_code == 0, result.output
    assert rows_of(out, "other") == {}
    row = rows_of(out, "im2gps3k")["guesses"]
    assert row["within_km"]["1"] == pytest.approx(100 / 7)
    assert row["protocol"].endswith("; 6 photos without a guess are misses")
    guesses.write_text("path,lat,lon\nnone.png,45.75,4.85\n")
    result = run(*sets, "--guesses", guesses)
    assert result.exit_code == 2
    assert "has no guess for a photo of im2gps3k, other" in result.stderr


def test_the_same_command_goes_on_where_it_was(photos: Path, tmp_path: Path) -> None:
    command = ("im2gps3k", "--images", photos, "--model", "streetclip", "--out", tmp_path / "out")
    first = run(*command)
    assert first.exit_code == 0 and "were read before" not in first.stderr
    again = run(*command)
    assert "6 of 6 photos were read before." in again.stderr
    assert again.stdout == first.stdout


def test_without_matplotlib_there_is_no_plot(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert not benchmark_files.write_plot(tmp_path / "plot.png", [])
    assert not (tmp_path / "plot.png").exists()


def test_bad_arguments_are_one_sentence(photos: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    truth = photos / "im2gps3k_places365.csv"
    for arguments, message in (
        (("im2gps3k", "--images", photos), "--model NAME, or --guesses"),
        (("im2gps", "im2gps3k", "--images", photos, "--model", "clip-l"), "do not match"),
        (("im2gps", "--images", photos, "--model", "clip-l"), "no truth file of im2gps"),
        ((truth, "--images", empty, "--model", "clip-l"), "holds none of the 7 photos"),
        ((truth, "--images", photos, "--model", "clup"), "There is no model"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr and result.stderr.count("\n") == 1


def test_free_photos(shared_data: Path, tmp_path: Path) -> None:
    """The free photos as a benchmark of their own, whose GPS positions must not be used."""
    listed = pd.read_csv(shared_data / "exif_photos.csv").head(6)
    names = listed["path"].str.rsplit("/", n=1).str[1]
    truth, out = tmp_path / "free.csv", tmp_path / "out"
    table = pd.DataFrame({"filename": names, "latitude": listed["lat"], "longitude": listed["lon"]})
    table.to_csv(truth, index=False)
    images = shared_data / "exif_photos"
    result = run(truth, "--images", images, "--model", "streetclip", "--out", out)
    assert result.exit_code == 0, result.output
    row = rows_of(out, "free")["streetclip"]
    assert row["n"] == row["answered"] == 6 and row["missing"] == 0
    assert row["within_km"]["1"] == 0  # a position from the file would be exact
