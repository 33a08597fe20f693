"""`geoclip mix`: mixes of two encoders, against means of their files' weights."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from inference import write_photos, write_world
from PIL import Image
from safetensors.torch import load_file
from tiny_encoders import random_tiny_clip, timm_encoder
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.encoders import load_encoder
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.settings import PointEstimate, RankingSettings

WEIGHTS = "open_clip_model.safetensors"
SPLITS = ("train", "seen", "unseen")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, one tuned from it, a world, and photos of three splits in as many countries."""
    home = tmp_path_factory.mktemp("mix")
    encoder = random_tiny_clip()
    encoder.save(home / "start")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in encoder.model.parameters():
            weights.add_(0.05 * torch.randn(weights.shape, generator=generator))
    encoder.save(home / "tuned")
    point = PointEstimate.city()
    ranking = RankingSettings(point=point, calibration=Calibration(photos=60))
    ModelSettings(ranking=ranking).write(home / "tuned")
    timm_encoder(full_vocabulary=True).save(home / "other")
    places = Gazetteer.read(write_world(home / "world.csv"))
    cities = places.level_rows("city")
    countries = list(dict.fromkeys(places.country_codes[cities]))[:3]
    of_split = dict(zip(SPLITS, countries, strict=True))
    rows = []
    for i, path in enumerate(write_photos(home / "photos", 18)):
        split = SPLITS[i % 3]
        row = cities[places.country_codes[cities] == of_split[split]][0]
        rows.append((f"photos/{path.name}", places.lat[row], places.lon[row], split))
    rows.append(("photos/absent.jpg", 0.0, 0.0, "seen"))
    table = pd.DataFrame(rows, columns=["path", "lat", "lon", "split"])
    table.to_csv(home / "photos.csv", index=False)
    return home


def run(home: Path, *more: object, tuned: str = "tuned", photos: str = "photos.csv") -> Result:
    arguments = ["mix", home / "start", home / tuned, "--photos", home / photos]
    arguments += ["--gazetteer", home / "world.csv", "--device", "cpu", *more]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_ends_of_the_sweep_are_the_two_models(home: Path) -> None:
    """Figures at 0 and 1 are those of the models on disk, ranked the same, measured by hand."""
    result = run(home, "--alpha", "1,0,0.5", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert set(report["splits"]) == {"seen", "unseen"}
    assert list(report["splits"]["seen"]) == ["0", "0.5", "1"]
    places = Gazetteer.read(home / "world.csv")
    ranking = ModelSettings.read(home / "tuned").ranking
    table = pd.read_csv(home / "photos.csv")
    for split in ("seen", "unseen"):
        photos = table[(table["split"] == split) & ~table["path"].str.contains("absent")]
        for alpha, name in (("0", "start"), ("1", "tuned")):
            locator = Locator.from_pretrained(home / name, places, "cpu", ranking)
            paths = [home / path for path in photos["path"]]
            found = locator.locate(paths, LocateSettings.model_alone(top_k=1))
            km = great_circle_km(
                *(t[k].to_numpy() for t in (found, photos) for k in ("lat", "lon"))
            )
            figures = report["splits"][split][alpha]
            assert figures["n"] == len(photos) == 6
            assert figures["mean_km"] == pytest.approx(np.mean(km))
            assert figures["within_km"]["2500"] == pytest.approx(100 * np.mean(km <= 2500))
    by_alpha = report["gzsl"]["country"]
    assert list(by_alpha) == ["0", "0.5", "1"]
    assert by_alpha["0.5"]["n_seen"] == 6
    assert by_alpha["0.5"]["n_unseen"] == 6


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_mix_that_is_kept_has_the_mean_of_the_weights(
    home: Path, share: float, tmp_path: Path
) -> None:
    out = tmp_path / "mix"
    result = run(home, "--alpha", "0.5", "--out", out, "--keep", share)
    assert result.exit_code == 0, result.output
    start, tuned, mix = (load_file(f / WEIGHTS) for f in (home / "start", home / "tuned", out))
    assert mix.keys() == start.keys()
    for name, value in mix.items():
        mean = share * tuned[name].double() + (1 - share) * start[name].double()
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), mean, rtol=1e-5, atol=1e-7)
    ranking = ModelSettings.read(out).ranking
    assert ranking.point == PointEstimate.city()
    assert not ranking.calibrated  # the radii were calibrated for other weights
    picture = Image.new("RGB", (32, 32), (200, 30, 90))
    assert np.isfinite(load_encoder(out).encode_images([picture])).all()
    again = run(home, "--alpha", "0.5", "--out", out, "--keep", share)
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_nothing_is_written_unless_asked(home: Path) -> None:
    before = sorted(home.iterdir())
    result = run(home, "--alpha", "0,1")
    assert result.exit_code == 0, result.output
    assert "alpha 0" in result.stdout
    assert "alpha 1" in result.stdout
    assert "1 photos are missing" in result.stderr
    assert sorted(home.iterdir()) == before


def test_a_table_without_splits_is_one(home: Path) -> None:
    table = pd.read_csv(home / "photos.csv").drop(columns="split")
    table.to_csv(home / "plain.csv", index=False)
    report = json.loads(run(home, "--alpha", "1", "--json", photos="plain.csv").stdout)
    assert report["splits"]["photos"]["1"]["n"] == 18
    assert report["gzsl"] == {}
    (home / "plain.csv").unlink()


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (("--alpha", "0,2"), "alpha is '2'"),
        (("--alpha", "half"), "alpha is 'half'"),
        (("--keep", "0.5"), "--out and --keep go together"),
    ],
)
def test_bad_arguments(home: Path, more: tuple[str, ...], error: str) -> None:
    result = run(home, *more)
    assert result.exit_code == 2
    assert error in result.stderr


def test_towers_of_other_shapes_are_refused_in_one_sentence(home: Path) -> None:
    result = run(home, tuned="other")
    assert result.exit_code == 2
    assert "towers of different shapes" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("geoclip: ")


def test_training_photos_alone_measure_nothing(home: Path) -> None:
    table = pd.read_csv(home / "photos.csv").assign(split="train")
    table.to_csv(home / "train.csv", index=False)
    result = run(home, photos="train.csv")
    assert result.exit_code == 2
    assert "nothing can be measured" in result.stderr
    (home / "train.csv").unlink()
