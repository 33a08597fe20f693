"""`geoclip calibrate`: settings that fit photos, kept where every later command finds them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
import pandas as pd
import pytest
from known_world import PLACES, VIEWS, write_gazetteer, write_photos
from tiny_encoders import random_tiny_clip
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.encoders.registry import CHECKPOINTS
from geoclip.evaluation.fitting.calibration import Fitted, Given
from geoclip.evaluation.fitting.known_photos import KnownPhotos
from geoclip.locator import Locator
from geoclip.photos.trained_photos import TRAINED_FILE, TrainedPhotos, fingerprints
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.model_settings import SETTINGS_FILE, ModelSettings, settings_folder
from geoclip.ranking.ranker import UNCALIBRATED_WARNING, PlaceRanker
from geoclip.ranking.settings import PointEstimate, RankingSettings, Temperatures
from geoclip.runs import calibrate_model
from geoclip.runs.calibrate_model import CALIBRATION_FILE

PHOTOS = PLACES * VIEWS


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gazetteer, photos and an uncalibrated model."""
    folder = tmp_path_factory.mktemp("scene")
    write_gazetteer(folder / "places")
    write_photos(folder)
    random_tiny_clip().save(folder / "model")
    return folder


@pytest.fixture
def model(scene: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scene / "model", tmp_path / "model"))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder."""
    monkeypatch.setenv("GEOCLIP_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the fit, which takes seconds, in tests of other parts."""

    def fitted(ranker: PlaceRanker, photos: KnownPhotos, given: Given) -> Fitted:
        calibration = Calibration(len(photos))
        chosen = RankingSettings(calibration=calibration)
        return Fitted(chosen, {"photos": len(photos), "places": len(photos.by_location())})

    monkeypatch.setattr(calibrate_model, "calibrate", fitted)


@pytest.fixture
def hub(scene: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub on which every model is the tiny one."""
    from geoclip.encoders import loading

    monkeypatch.setattr(loading, "_load_hub", lambda name: loading.load_folder(scene / "model"))


def run(scene: Path, model: object, *more: object, photos: str = "photos.csv") -> Result:
    arguments = ["calibrate", model, "--photos", scene / photos, "--gazetteer", scene / "places"]
    return CliRunner().invoke(app, [str(argument) for argument in [*arguments, *more]])


def figures(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / CALIBRATION_FILE).read_text())
    return found


def counted(folder: Path) -> dict[str, int]:
    return {reason: n for reason, n in figures(folder)["left_out"].items() if n}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_folder_is_calibrated_in_place(scene: Path, model: Path) -> None:
    before = contents(model)
    result = run(scene, model)
    assert result.exit_code == 0, result.output
    after = contents(model)
    assert set(after) - set(before) == {SETTINGS_FILE, CALIBRATION_FILE}
    assert {name: after[name] for name in before} == before
    ranking = ModelSettings.read(model).ranking
    assert ranking.calibration is not None and ranking.calibration.photos == PHOTOS
    locator = Locator.from_pretrained(model, Gazetteer.read(scene / "places"))
    assert locator.settings == ranking and UNCALIBRATED_WARNING not in locator.warnings
    first = locator.locate(scene / "source0" / "0_0.png", top_k=1).iloc[0]
    assert 0 < first["radius_km"] <= first["radius_90_km"]
    says_what_changed(result, figures(model)["source"])
    assert f"geoclip locate PHOTOS --model {model} --gazetteer" in result.stdout


def says_what_changed(result: Result, of_source: dict[str, Any]) -> None:
    assert f"Fitted on {PHOTOS} photos of {PLACES} places." in result.stdout
    assert "sources that were left out" in result.stdout
    lines = {line.split("│")[1].strip(): line for line in result.stdout.splitlines() if "│" in line}
    before, after = of_source["before"], of_source["after"]
    for what, values in {
        "median distance, km": [f"{side['median_km']:,.0f}" for side in (before, after)],
        "GeoScore": [f"{side['geoscore']:,.0f}" for side in (before, after)],
        "90 % radii that hold the true point, %": ["–", f"{after['holds_90']['holds']:.0f}"],
        "calibration error (ECE) of countries": [f"{after['country']['ece']:.3f}"],
    }.items():
        assert all(f" {value} " in lines[what] for value in values)


def test_the_radii_alone_are_fitted_if_asked_for(scene: Path, model: Path) -> None:
    point = PointEstimate.expected_score_regions(1.3)
    own = RankingSettings(temperatures=Temperatures(1.5, 1.4, 1.3, 1.2), point=point)
    ModelSettings(ranking=own).write(model)
    assert run(scene, model, "--keep-posterior").exit_code == 0
    found = ModelSettings.read(model).ranking
    assert found.calibration is not None and found.calibration.photos == PHOTOS
    assert found.without_radius() == own


def test_how_much_a_gallery_counts_is_fitted_if_asked_for(
    scene: Path, model: Path, tmp_path: Path, no_fit: None
) -> None:
    result = run(scene, model, "--gallery", "self")
    assert result.exit_code == 0, result.output
    assert "The weights of a gallery" in result.stdout
    of_itself = ModelSettings.read(model).ranking
    assert of_itself.gallery is not None and of_itself.gallery.calibration is not None
    assert figures(model)["gallery"]["weights"] == asdict(of_itself.gallery.weights)
    assert run(scene, model, "--keep-posterior").exit_code == 0
    assert ModelSettings.read(model).ranking.gallery == of_itself.gallery
    assert run(scene, model).exit_code == 0
    assert ModelSettings.read(model).ranking.gallery is None  # it belonged to another posterior
    folder = tmp_path / "gallery"
    table = str(scene / "photos.csv")
    built = ["gallery", "build", table, "--out", str(folder), "--model", str(model)]
    assert CliRunner().invoke(app, built).exit_code == 0
    assert run(scene, model, "--gallery", folder).exit_code == 0
    assert ModelSettings.read(model).ranking.gallery is not None
    about = json.loads((folder / "gallery.json").read_text())
    (folder / "gallery.json").write_text(json.dumps(about | {"encoder": "x"}))
    refused = run(scene, model, "--gallery", folder)
    assert refused.exit_code == 2 and "another encoder" in refused.stderr


def test_figures_are_of_sources_by_column_or_folder(scene: Path, model: Path) -> None:
    assert run(scene, model).exit_code == 0
    folders = {f"source{i}" for i in range(4)}
    assert set(figures(model)["source"]["after"]["sources"]) == folders
    assert run(scene, model, "--source-column", "Author").exit_code == 0
    assert set(figures(model)["source"]["after"]["sources"]) == {f"person {i}" for i in range(3)}


def test_photos_that_the_model_was_trained_on_are_left_out_wherever_they_lie(
    scene: Path, model: Path, tmp_path: Path, no_fit: None
) -> None:
    """Three photos of two places: the other view of a place is left out, too."""
    trained = [scene / "source0" / f"{name}.png" for name in ("0_0", "4_0", "4_1")]
    known = fingerprints(map(str, trained))
    TrainedPhotos().joined(known, ["FR", "BR", "BR"]).write(model)
    elsewhere = shutil.copytree(scene, tmp_path / "elsewhere")
    result = run(elsewhere, model)
    assert result.exit_code == 0, result.output
    assert "4 that the model was trained on" in result.stdout
    assert counted(model) == {"trained_on": 4}
    assert figures(model)["photos"] == PHOTOS - 4
    assert "training photos are not recorded" not in result.stderr
    assert (
        "The model's training photos"
        in run(scene, shutil.copytree(scene / "model", tmp_path / "m")).stderr
    )


def test_photos_that_are_missing_or_cannot_be_read_are_counted(
    scene: Path, model: Path, tmp_path: Path, no_fit: None
) -> None:
    other = Path(shutil.copytree(scene, tmp_path / "other"))
    (other / "source1" / "1_0.png").unlink()
    (other / "source2" / "2_1.png").write_text("<html>404</html>")
    result = run(other, model)
    assert result.exit_code == 0, result.output
    assert "1 that are not where their table says, 1 that cannot be read" in result.stdout
    assert counted(model) == {"missing": 1, "unreadable": 1}
    assert figures(model)["photos"] == PHOTOS - 2


def test_splits(scene: Path, model: Path, no_fit: None) -> None:
    assert run(scene, model, "--split", "new").exit_code == 0
    assert figures(model)["photos"] == PHOTOS - 2 * VIEWS
    assert run(scene, model, "--split", "new", "--split", "old").exit_code == 0
    assert figures(model)["photos"] == PHOTOS


def test_a_hub_models_settings_are_found_again_by_its_id(
    scene: Path, data: Path, hub: None, no_fit: None
) -> None:
    before = contents(scene / "model")
    assert run(scene, "hf:some/one").exit_code == 0
    assert contents(scene / "model") == before
    assert set(contents(data)) == {
        f"models/some%2Fone/{name}" for name in (SETTINGS_FILE, CALIBRATION_FILE)
    }
    places = Gazetteer.read(scene / "places")
    for name, calibrated in (("hf-hub:some/one", True), ("hf:other/one", False)):
        assert Locator.from_pretrained(name, places).settings.calibrated == calibrated


def test_pipelines_find_them_too(scene: Path, data: Path, hub: None, no_fit: None) -> None:
    from pipelines.photo_actors import model_settings

    assert not model_settings("streetclip").ranking.calibrated
    assert run(scene, "streetclip").exit_code == 0
    assert model_settings("hf:geolocal/StreetCLIP").ranking.calibrated
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    calibrated = {one["name"] for one in listed if one["calibrated"]}
    assert "streetclip" in calibrated and "siglip" not in calibrated


def test_an_embedded_model_is_not_written_to(scene: Path, data: Path, no_fit: None) -> None:
    own = CHECKPOINTS / "street-tiny"
    before = sorted((path, path.stat().st_mtime_ns) for path in own.rglob("*"))
    assert run(scene, "street-tiny").exit_code == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in own.rglob("*")) == before
    settings = ModelSettings.of_model("street-tiny")
    assert settings == ModelSettings.read(settings_folder(own)) != ModelSettings.read(own)


def test_out_gets_a_calibrated_copy(scene: Path, model: Path, tmp_path: Path, no_fit: None) -> None:
    (model / "LICENSE").write_text("all yours")
    TrainedPhotos().joined(fingerprints([]), []).write(model)
    before, out = contents(model), tmp_path / "copy"
    result = run(scene, model, "--out", out)
    assert result.exit_code == 0, result.output
    assert contents(model) == before
    copied = contents(out)
    assert {name: copied[name] for name in before} == before
    assert TRAINED_FILE in before and ModelSettings.of_model(out).ranking.calibrated
    assert f"--model {out}" in result.stdout
    again = run(scene, model, "--out", out)
    assert again.exit_code == 2 and "name a new folder" in again.stderr


def test_out_holds_a_hub_models_weights(
    scene: Path, data: Path, hub: None, tmp_path: Path, no_fit: None
) -> None:
    result = run(scene, "streetclip", "--out", tmp_path / "out")
    assert result.exit_code == 0 and "CC BY-NC 4.0" in result.stderr
    assert not data.exists()
    assert ModelSettings.of_model(tmp_path / "out").ranking.calibrated
    open_clip.create_model(f"local-dir:{tmp_path / 'out'}")


def rows(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["location_id"].str[6:].astype(int) < 40]


def nowhere(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(path="gone/" + table["path"])


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (rows, (), "at least 50 places, here are 40"),
        (nowhere, (), "here are 0; give more. Left out are photos: 120 that are not where"),
        (None, ("--split", "test"), "No photo is of the split 'test': the splits are new, old."),
        (None, ("--source-column", "camera"), "has no column camera"),
        (None, ("--device", "meta"), "The device meta holds no values"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    scene: Path,
    model: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame] | None,
    options: tuple[str, ...],
    said: str,
) -> None:
    table = pd.read_csv(scene / "photos.csv")
    (table if change is None else change(table)).to_csv(scene / "other.csv", index=False)
    result = run(scene, model, *options, photos="other.csv")
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.splitlines()[-1].startswith("geoclip: ")
    assert not (model / SETTINGS_FILE).exists()


def test_a_model_that_is_not_there(scene: Path) -> None:
    result = run(scene, "streetclap")
    assert result.exit_code == 2 and "did you mean streetclip" in result.stderr


def test_a_full_disk_is_one_sentence(
    scene: Path, model: Path, monkeypatch: pytest.MonkeyPatch, no_fit: None
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ModelSettings, "write", full)
    result = run(scene, model)
    assert result.exit_code == 2 and "No space left on device" in result.stderr


def test_photos_of_which_only_the_country_is_known(
    scene: Path, model: Path, tmp_path: Path
) -> None:
    """Temperatures are fitted; distances are unknown, so no radius is stated."""
    table = pd.read_csv(scene / "photos.csv").drop(columns=["lat", "lon"])
    table.to_csv(scene / "countries.csv", index=False)
    result = run(scene, model, photos="countries.csv")
    assert result.exit_code == 0, result.output
    assert ModelSettings.read(model).ranking.calibration is None
    assert "median_km" not in figures(model)["source"]["after"]


def test_photos_of_one_source(scene: Path, model: Path) -> None:
    table = pd.read_csv(scene / "photos.csv").assign(source="one")
    table.to_csv(scene / "one.csv", index=False)
    result = run(scene, model, photos="one.csv")
    assert result.exit_code == 0, result.output
    assert "one source, so these figures are too good" in result.stdout
    assert "source" not in figures(model)
