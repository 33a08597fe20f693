"""The calibration at the end of training on Ray, on held-out photos."""

import json
from pathlib import Path

import pandas as pd
import pytest
from known_world import write_gazetteer, write_photos
from tiny_encoders import random_tiny_clip

from geoclip.commands.calibration_terminal import UNCALIBRATED
from geoclip.photos.photo_table import read_photo_table
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.training.photo_set import label_photos, split_photos, training_photos
from pipelines.calibrate_encoder import calibrate_encoder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Places, captions and the model of a run; the photos of two places were trained on."""
    out = tmp_path_factory.mktemp("run")
    places = Gazetteer.read(write_gazetteer(out / "places"))
    table, _ = split_photos(label_photos(read_photo_table(write_photos(out)), places))
    table["split"] = table["split"].map({"old": "train", "new": "test"})
    table.to_parquet(out / "captions.parquet")
    random_tiny_clip().save(out / "encoder")
    training_photos(table, places).trained(places).write(out / "encoder")
    return out


def test_an_encoder_in_storage_is_calibrated_there(
    run: Path, ray_on_two_cpus: None, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate_encoder(f"file://{run}/encoder", run / "captions.parquet", run / "places")
    assert "Fitted on 116 photos of 58 places." in capsys.readouterr().out
    calibration = ModelSettings.read(run / "encoder").ranking.calibration
    assert calibration is not None and calibration.photos == 116
    stored = json.loads((run / "encoder" / "calibration.json").read_text())
    assert stored["left_out"]["trained_on"] == 0
    assert len(TrainedPhotos.read(run / "encoder").records) == 4


def test_too_few_photos_are_said_and_change_nothing(
    run: Path, ray_on_two_cpus: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random_tiny_clip().save(tmp_path / "encoder")
    captions = pd.read_parquet(run / "captions.parquet")
    old = captions.drop(columns="fingerprint")
    for table, said in (
        (captions.iloc[:20], "needs photos of at least 50 places, here are 8"),
        (old, "is of an older version: write the captions anew"),
    ):
        table.to_parquet(tmp_path / "captions.parquet")
        calibrate_encoder(str(tmp_path / "encoder"), tmp_path / "captions.parquet", run / "places")
        told = capsys.readouterr().out
        assert told.startswith(UNCALIBRATED) and said in told
    assert not ModelSettings.read(tmp_path / "encoder").ranking.calibrated
