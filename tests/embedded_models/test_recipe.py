"""The embedded model's recipe from tables of photos to a model folder, on a tiny set."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from geoclip import Locator
from geoclip.encoders import load_encoder
from geoclip.errors import GeoclipError
from geoclip.photos.trained_photos import TrainedPhotos, fingerprints
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import SETTINGS_FILE
from pipelines.embedded_models.place_features import PlaceFeatureSettings
from pipelines.embedded_models.text_pretraining import PretrainingSettings
from pipelines.embedded_models.train_street_tiny import (
    PROBING,
    STREET_TINY,
    TUNING,
    Recipe,
    train_street_tiny,
)

SMALL = Recipe(
    pretraining=PretrainingSettings(
        width=32,
        layers=1,
        heads=2,
        image_tower="test_efficientnet",
        image_size=64,
        steps=4,
        batch_size=16,
        features=PlaceFeatureSettings(dim=32),
    ),
    frozen_stages=2,
    versions=2,
    probing=replace(PROBING, epochs=2, batch_size=6),
    tuning=replace(TUNING, epochs=1, batch_size=6),
    views=(1, 2),
)
SPOTS = {"FR": (45.75, 4.85), "BE": (50.85, 4.35), "SG": (1.29, 103.85)}


@pytest.fixture(scope="module")
def table(photo_folder: Path) -> Path:
    """Photos of three cities, two views each of most locations; two photos are held out."""
    rows = [
        (f"{i}.png", *SPOTS[code], code, f"place {i // 2}", "train" if i < 10 else "test")
        for i in range(12)
        for code in [list(SPOTS)[i // 2 % 3]]
    ]
    columns = ["path", "lat", "lon", "country_code", "location_id", "split"]
    path = photo_folder / "photos.csv"
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def folder(table: Path, tiny_world: Gazetteer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recipe")
    train_street_tiny([table], out / "model", out / "work", recipe=SMALL, gazetteer=tiny_world)
    return out


def test_the_model_loads_and_locates_photos(
    folder: Path,
    tiny_world: Gazetteer,
    photo_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GEOCLIP_CACHE", str(tmp_path))
    locator = Locator.from_pretrained(folder / "model", tiny_world)
    found = locator.locate([photo_folder / "0.png", photo_folder / "11.png"], top_k=1)
    assert found["status"].tolist() == ["ok", "ok"]
    assert set(found["place_id"]) <= set(tiny_world.ids)
    assert list(tmp_path.iterdir()) == []  # it read the index shipped with the model


def test_its_settings_name_the_countries_of_the_training_photos(folder: Path) -> None:
    assert '["BE", "FR", "SG"]' in (folder / "model" / SETTINGS_FILE).read_text()


def test_it_knows_the_photos_that_it_was_trained_on(folder: Path, photo_folder: Path) -> None:
    known = TrainedPhotos.read(folder / "model")
    found = known.holds(fingerprints(str(photo_folder / f"{i}.png") for i in range(12)))
    assert found.tolist() == [True] * 10 + [False] * 2
    assert known.countries == ("BE", "FR", "SG")


def test_the_same_recipe_makes_the_same_model_from_what_it_keeps(
    folder: Path, table: Path, tiny_world: Gazetteer, capsys: pytest.CaptureFixture[str]
) -> None:
    again = folder / "again"
    train_street_tiny([table], again, folder / "work", recipe=SMALL, gazetteer=tiny_world)
    assert capsys.readouterr().out.splitlines() == [
        "10 training photos, 0 missing",
        f"wrote {again}",
    ]
    weights = "open_clip_model.safetensors"
    assert (again / weights).read_bytes() == (folder / "model" / weights).read_bytes()
    assert load_encoder(again).fingerprint() == load_encoder(folder / "model").fingerprint()


def test_what_another_recipe_made_is_not_taken(
    folder: Path, table: Path, tiny_world: Gazetteer
) -> None:
    longer = replace(SMALL, pretraining=replace(SMALL.pretraining, steps=5))
    with pytest.raises(GeoclipError, match="other files or settings; name another one"):
        train_street_tiny(
            [table], folder / "other", folder / "work", recipe=longer, gazetteer=tiny_world
        )


def test_the_recipe_of_the_model_that_ships() -> None:
    assert Recipe() == STREET_TINY
    assert STREET_TINY.pretraining.image_tower == "tf_efficientnet_lite2"
    assert len(STREET_TINY.views) == 4 and len(STREET_TINY.smoothing) == 2
