"""The ranking that the main job fits knows nothing of the photos that are measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from geoclip.ranking.model_settings import ModelSettings
from geoclip.training.settings import TrainingSettings
from geoclip.training.splits import HELD_BACK, PSEUDO_UNSEEN, TRAIN
from pipelines import end_to_end as main_job
from pipelines.evaluate_guesses import measured
from pipelines.planet.planet import Planet, PlanetSettings

MANY_COUNTRIES = PlanetSettings(
    train_places=150, train_views=1, seen_places=20, unseen_places=20, held_out_countries=12
)
SETTINGS = TrainingSettings(epochs=1, batch_size=32, learning_rate=1e-3, text_learning_rate=0.0)


def options(gazetteer: Path) -> dict[str, Any]:
    """Half of the training countries are held back; one worker starts sooner than two."""
    return {"gazetteer": gazetteer, "workers": 1, "hold_back": 0.5}


@pytest.fixture(scope="module")
def photos(few_places: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from geoclip.places.gazetteer import Gazetteer

    planet = Planet(Gazetteer.read(few_places), MANY_COUNTRIES)
    return planet.write(tmp_path_factory.mktemp("many_countries"))


@pytest.fixture(scope="module")
def fitted_run(
    photos: Path, few_places: Path, ray_on_two_cpus: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The main job with half of the training countries held back."""
    out = tmp_path_factory.mktemp("fitted")
    main_job.end_to_end(out, [photos], settings=SETTINGS, **options(few_places))
    return out


def report_of(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def test_what_is_held_back_is_neither_trained_on_nor_measured(fitted_run: Path) -> None:
    captions = pd.read_parquet(fitted_run / "captions.parquet")
    held = captions[captions["split"].isin(HELD_BACK)]
    unseen = captions.loc[captions["split"] == PSEUDO_UNSEEN, "country_code"]
    trained = captions.loc[captions["split"] == TRAIN, "country_code"]
    assert len(held) >= 50
    assert not set(unseen) & set(trained)
    predicted = pd.read_parquet(fitted_run / "predictions.parquet")
    assert set(predicted["photo_id"]) == set(measured(captions)["photo_id"])
    assert not set(predicted["photo_id"]) & set(held["photo_id"])
    prior = ModelSettings.read(fitted_run / "encoder").ranking.prior
    assert set(prior.seen_countries) <= set(trained)


def test_report_has_figures_with_and_without_the_fit(fitted_run: Path) -> None:
    report = report_of(fitted_run)
    assert report["calibrated"] is True
    assert report["calibration"]["places"] == report["calibration"]["photos"] >= 50
    assert set(report["gzsl"]) == {"country", "region", "city"}
    for figures in report["gzsl"].values():
        assert set(figures) == {"before", "uncalibrated", "after"}
        assert all({"S", "U", "H"} <= set(own) for own in figures.values())
    for figures in report["splits"].values():
        assert {"before", "uncalibrated", "after", "constant", "chance"} == set(figures)
    stored = ModelSettings.read(fitted_run / "encoder").ranking
    assert report["ranking"]["temperatures"]["country"] == stored.temperatures.country


@pytest.mark.slow
def test_truth_of_the_measured_photos_plays_no_part(
    fitted_run: Path,
    photos: Path,
    few_places: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With each measured photo moved to another's place the same ranking is chosen."""
    table = pd.read_csv(photos, keep_default_na=False)
    table["path"] = [str(photos.parent / path) for path in table["path"]]
    rows = np.flatnonzero(table["split"] != "train")
    truth = ["lat", "lon", "country_code"]
    table.loc[rows, truth] = table.loc[np.roll(rows, 7), truth].to_numpy()
    table.to_csv(tmp_path / "photos.csv", index=False)

    def same_encoder(captions: Path, start: str, out: Path, *_: object, **__: object) -> str:
        shutil.copytree(fitted_run / "encoder", out / "encoder")
        ModelSettings().write(out / "encoder")
        return str(out / "encoder")

    monkeypatch.setattr(main_job, "train_encoder", same_encoder)
    out, files = tmp_path / "out", [tmp_path / "photos.csv"]
    main_job.end_to_end(out, files, settings=SETTINGS, **options(few_places))
    chosen, again = (ModelSettings.read(run / "encoder").ranking for run in (fitted_run, out))
    assert chosen == again
    before, after = report_of(fitted_run), report_of(out)
    assert before["splits"]["seen"]["after"] != after["splits"]["seen"]["after"]
    assert before["calibration"] == after["calibration"]
