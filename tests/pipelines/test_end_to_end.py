"""The main job on a small planet: real Ray, two training workers, every file it promises."""

import json
import math
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch

from geoclip.encoders import load_encoder
from geoclip.errors import GeoclipError
from geoclip.guesses.schema import COLUMNS
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.training.optimizer import PeakRates
from geoclip.training.settings import TrainingSettings
from pipelines.end_to_end import START, default_settings, end_to_end
from pipelines.evaluate_guesses import evaluate_guesses


@pytest.fixture(scope="module")
def report(run: Path) -> dict:
    return json.loads((run / "report.json").read_text())


def test_report_has_the_contracted_keys(report: dict) -> None:
    assert set(report["splits"]) == {"seen", "unseen"}
    for figures in report["splits"].values():
        assert set(figures) == {"before", "after", "constant", "chance"}
        for one in figures.values():
            assert one["n"] == 16
            for key in ("within_km", "within_km_by_country"):
                assert list(one[key]) == ["1", "25", "200", "750", "2500"]
                assert all(0 <= value <= 100 for value in one[key].values())
            for key in ("median_km", "mean_km", "geoscore", "geoscore_by_country"):
                assert one[key] >= 0
            for key in ("continent_top1", "country_top1", "country_top5"):
                assert 0 <= one[key] <= 100


def test_figures_of_the_model_have_intervals(report: dict) -> None:
    for figures in report["splits"].values():
        for name in ("before", "after"):
            low, high = figures[name]["intervals"]["geoscore"]
            assert low <= figures[name]["geoscore"] <= high
    for figures in report["gzsl"]["country"].values():
        assert set(figures["intervals"]) >= {"S", "U", "H", "n_clusters"}


def test_seen_and_unseen_are_told_apart_at_every_level(report: dict) -> None:
    assert set(report["gzsl"]) == {"country", "region", "city"}
    for level in report["gzsl"].values():
        for figures in level.values():
            assert figures["n_seen"] + figures["n_unseen"] <= 32
            assert figures["n_unseen"] >= 16
    country = report["gzsl"]["country"]["after"]
    assert (country["n_seen"], country["n_unseen"]) == (16, 16)


def test_captions_and_photos_find_each_other(report: dict) -> None:
    """And a true caption ranks above wrongly composed ones."""
    for split in ("seen", "unseen"):
        for name in ("before", "after"):
            found = report["retrieval"][split][name]
            assert found["n_photos"] == 16 and found["n_captions"] <= 16
            for way in ("image_to_text", "text_to_image"):
                shares = list(found[way]["recall"].values())
                assert list(found[way]["recall"]) == ["1", "5", "10"]
                assert 0 <= shares[0] <= shares[1] <= shares[2] <= 100
            probe = report["composition"][split][name]
            assert probe["n"] == 16
            assert 0 <= probe["both"] <= min(probe["wrong_city"], probe["wrong_country"]) <= 100


def test_report_names_its_starting_point_and_settings(report: dict) -> None:
    assert report["starting_point"]["model"] == "planet-start"
    assert "pretrained on the packaged gazetteer" in report["starting_point"]["note"]
    assert report["training"]["epochs"] == 2
    assert report["calibrated"] is False
    assert report["ranking"]["prior"]["population_exponent"] == 0.0  # the planet's own ranking
    assert report["ranking"]["point"]["rule"] == "expected_score"


def test_predictions_hold_every_photo_once_a_rank(run: Path, planet_photos: Path) -> None:
    table = pd.read_parquet(run / "predictions.parquet")
    assert set(COLUMNS) <= set(table.columns)
    assert not table.duplicated(["photo_id", "rank"]).any()
    photos = pd.read_csv(planet_photos, keep_default_na=False)
    held_out = photos.loc[photos["split"] != "train", "path"]
    assert set(table["photo_id"]) == set(held_out)
    assert (table["status"] == "ok").all()
    best = table.groupby("photo_id")["probability"]
    assert (best.first() >= best.last()).all()


def test_every_step_of_both_epochs_is_in_the_losses(run: Path) -> None:
    losses = pd.read_csv(run / "losses.csv")
    steps = 2 * (120 // 32)
    assert losses["step"].tolist() == list(range(1, steps + 1))
    assert np.isfinite(losses["loss"]).all()


def test_two_workers_take_the_steps_of_one(
    run: Path, few_places: Path, run_settings: TrainingSettings
) -> None:
    """The run on two Ray Train workers against the same steps in this process."""
    from geoclip.places.captions import CaptionBook
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.training.batches import Batches
    from geoclip.training.photo_set import training_photos
    from geoclip.training.trainer import Trainer

    gazetteer = Gazetteer.read(few_places)
    captions = pd.read_parquet(run / "captions.parquet")
    photos = training_photos(captions, gazetteer)
    batches = Batches(load_encoder(START), CaptionBook(gazetteer), photos, run_settings)
    alone = [record["loss"] for record in Trainer(batches).run()]
    together = pd.read_csv(run / "losses.csv")["loss"]
    np.testing.assert_allclose(together, alone, rtol=2e-4)


def test_tuned_encoder_loads_in_plain_open_clip(run: Path) -> None:
    ours = load_encoder(run / "encoder")
    model = open_clip.create_model(f"local-dir:{run / 'encoder'}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{run / 'encoder'}")
    texts = ["A Street View photo in France.", "A Street View photo from Lyon, France."]
    pixels = torch.rand(2, 3, ours.image_size, ours.image_size)
    with torch.no_grad():
        theirs = model.encode_text(tokenizer(texts), normalize=True)
        np.testing.assert_allclose(ours.encode_texts(texts), theirs.numpy(), atol=1e-5)
        torch.testing.assert_close(
            ours.image_features(pixels), model.encode_image(pixels, normalize=True)
        )


def test_tuned_encoder_locates_photos(run: Path, few_places: Path, planet_photos: Path) -> None:
    from geoclip.places.gazetteer import Gazetteer

    locator = Locator.from_pretrained(run / "encoder", Gazetteer.read(few_places))
    table = pd.read_parquet(run / "predictions.parquet")
    first = table[table["photo_id"] == table["photo_id"].iloc[0]]
    again = locator.guesses(locator.embed([first["path"].iloc[0]]))
    assert again["place_id"].tolist() == first["place_id"].tolist()
    assert math.isclose(again["probability"][0], first["probability"].iloc[0], rel_tol=1e-3)


def test_map_is_written(run: Path) -> None:
    page = (run / "map.html").read_text()
    assert "GeoNames" in page
    assert "http" not in page.split("<body", 1)[0].replace("http-equiv", "")


def test_defaults_suit_the_start() -> None:
    """Settings that teach a random tower in six epochs make a trained one forget its photos."""
    assert START.is_dir()
    ours, others = default_settings(None), default_settings("clip-b-32")
    assert default_settings(str(START)) == ours
    assert ours.text_learning_rate == 0
    assert others == TrainingSettings()
    assert PeakRates.of(others, 100).image < ours.learning_rate / 100


def test_a_split_of_which_only_countries_are_known_is_left_out(few_places: Path) -> None:
    places = Gazetteer.read(few_places)
    rows = places.level_rows("city")[:3]
    captions = pd.DataFrame(
        {
            "location_id": ["a", "b", "c"],
            "lat": [*places.lat[rows[:2]], np.nan],
            "lon": [*places.lon[rows[:2]], np.nan],
            "country_code": "FR",
            "place_row": rows,
            "place_id": places.ids[rows],
            "split": ["train", "seen", "countries"],
        }
    )
    answer = {
        "location_id": ["b"], "rank": 1, "status": "ok", "lat": 0.0, "lon": 0.0,
        "country_ranking": "", "continent_ranking": "", "country_id": "", "region_id": "",
        "city_id": "",
    }  # fmt: skip
    report = evaluate_guesses(captions, {"after": pd.DataFrame(answer)}, places)
    assert list(report["splits"]) == ["seen"]
    assert report["splits"]["seen"]["after"]["n"] == 1


def test_without_a_photo_held_out_nothing_is_trained(planet_photos: Path, tmp_path: Path) -> None:
    table = pd.read_csv(planet_photos)
    table["path"] = [str(planet_photos.parent / path) for path in table["path"]]
    table.assign(split="train").to_csv(tmp_path / "photos.csv", index=False)
    with pytest.raises(GeoclipError, match="held out, so nothing can be measured"):
        end_to_end(tmp_path / "out", [tmp_path / "photos.csv"])
    assert not (tmp_path / "out" / "training").exists()
