"""Calibrating a model for a table of levels: what is fitted, kept beside it, and used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import FakeEncoder
from torchvision.transforms.functional import pil_to_tensor

from geoclip.commands.calibration_terminal import tell
from geoclip.errors import GeoclipError
from geoclip.locator import Locator
from geoclip.photos.photo_table import read_photo_table
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.settings import UNCALIBRATED, RankingSettings, Temperatures
from geoclip.runs.calibrate_model import FreshPhotos, calibrate_model, ids_trained_on
from geoclip.training.photo_set import label_photos

TREE = "sector,branch,product\n" + "".join(
    f"s{a},b{b},p{c}\n" for a in range(2) for b in range(2) for c in range(3)
)
KEY = "sector/branch/product"


@pytest.fixture
def tree(tmp_path: Path) -> Gazetteer:
    (tmp_path / "tree.csv").write_text(TREE)
    return Gazetteer.read(tmp_path / "tree.csv")


@pytest.fixture
def photos(tmp_path: Path, tree: Gazetteer) -> pd.DataFrame:
    """72 photos, six of each product."""
    rng, rows = np.random.default_rng(0), []
    for number in range(72):
        name = f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
        rows.append((name, tree.ids[tree.leaf_rows[number % 12]]))
    listed = tmp_path / "photos.csv"
    pd.DataFrame(rows, columns=["path", "place_id"]).to_csv(listed, index=False)
    return label_photos(read_photo_table(listed), tree)


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch, tree: Gazetteer, fake_encoder: FakeEncoder) -> None:
    fake_encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
    made = Locator(fake_encoder, PlaceIndex.build(fake_encoder, tree), tree)
    monkeypatch.setattr(Locator, "from_pretrained", lambda *_, **__: made)


def test_what_is_fitted_stands_beside_the_ranking_of_places(
    tree: Gazetteer, photos: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    of_places = ModelSettings(ranking=RankingSettings(temperatures=Temperatures(city=7)))
    of_places.write(model)
    before = (model / "geoclip.json").read_bytes()
    trained = TrainedPhotos().joined(photos["fingerprint"].to_numpy()[:5], [""] * 5)
    seen = ids_trained_on(photos, trained)
    assert seen == tuple(photos["place_id"][:5])
    fresh = replace(FreshPhotos.of(photos, trained), seen=seen)
    assert len(fresh.table) == 67
    found = calibrate_model(model, fresh, trained, tree)
    found.write(model)
    again = ModelSettings.of_model(model)
    assert again.ranking == of_places.ranking
    assert again.ranking_of(tree) == again.tables[KEY] == found.settings.tables[KEY]
    assert again.tables[KEY].calibrated
    assert again.tables[KEY].temperatures.country > 1  # the photos are noise
    (tmp_path / "other.csv").write_text("sector,product\ns,p\n")
    assert again.ranking_of(Gazetteer.read(tmp_path / "other.csv")) == UNCALIBRATED
    of_places.write(model)
    assert (model / "geoclip.json").read_bytes() == before
    tell(found)
    said = capsys.readouterr().out
    assert "classes that were left out" in said
    assert "H of product" in said
    tell(replace(found, figures=found.figures | {"class": None}))
    said = capsys.readouterr().out
    assert "classes are too few" in said and "block" not in said


def test_radii_and_galleries_need_positions(tree: Gazetteer, photos: pd.DataFrame) -> None:
    fresh = FreshPhotos.of(photos, TrainedPhotos())
    assert fresh.seen == ()
    for given in ({"keep_posterior": True}, {"gallery": "self"}):
        with pytest.raises(GeoclipError, match="has no coordinates"):
            calibrate_model("model", fresh, TrainedPhotos(), tree, **given)
