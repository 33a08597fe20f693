"""The embedded model: plain open_clip agrees, its index is its own, photos are placed."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from geoclip import Gazetteer, LocateSettings, Locator
from geoclip.commands.app import app
from geoclip.encoders import load_encoder
from geoclip.encoders.registry import CHECKPOINTS, KNOWN_MODELS
from geoclip.evaluation.split_figures import locations, split_figures
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.ranking.place_index import SHIPPED_FOLDER, PlaceIndex, embed_rows
from tests.benchmarks.street_tiny import held_out, located

FOLDER = CHECKPOINTS / "street-tiny"
PINNED_LOCATIONS = 60


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("street-tiny")


def photo_of_noise(path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((800, 600)).save(path)
    return path


def test_it_is_small_and_says_what_it_is():
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 40e6
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".npy", ".md", ""}
    card = (FOLDER / "README.md").read_text()
    assert all(word in card for word in ("dev_seen", "dev_unseen", "must not be used"))
    assert "research" in (FOLDER / "LICENSE").read_text()


def test_plain_open_clip_gives_the_same_embeddings(encoder, tmp_path):
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{FOLDER}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{FOLDER}")
    image = Image.open(photo_of_noise(tmp_path / "a.png")).convert("RGB")
    texts = ["a street in Lyon, France", "Gaborone, Botswana"]
    with torch.no_grad():
        theirs = model.eval().encode_image(preprocess(image)[None], normalize=True).numpy()
        their_texts = model.encode_text(tokenizer(texts), normalize=True).numpy()
    ours = encoder.encode_images([image])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), their_texts, atol=1e-5)


def test_the_index_that_ships_is_the_one_it_would_build(encoder, monkeypatch, tmp_path):
    monkeypatch.setenv("GEOCLIP_CACHE", str(tmp_path))
    gazetteer = Gazetteer.default()
    shipped = PlaceIndex.cached(encoder, gazetteer, CaptionSettings())
    assert list(tmp_path.iterdir()) == []
    assert shipped.key == PlaceIndex.read(FOLDER / SHIPPED_FOLDER).key
    rows = np.random.default_rng(0).choice(len(gazetteer), 50, replace=False)
    anew = embed_rows(encoder, CaptionBook(gazetteer, CaptionSettings()), rows.tolist())
    np.testing.assert_allclose(np.asarray(shipped.embeddings[rows], np.float32), anew, atol=2e-3)


def test_it_answers_without_being_named_and_says_once_what_is_larger(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOCLIP_DATA", str(tmp_path / "data"))
    photos = [photo_of_noise(tmp_path / f"{name}.jpg") for name in "ab"]
    result = CliRunner().invoke(app, ["locate", *map(str, photos), "--gps", "ignore"])
    assert result.exit_code == 0
    size = KNOWN_MODELS["streetclip"].size_mb
    assert result.stderr.count(f"--model streetclip ({size:,} MB") == 1
    again = CliRunner().invoke(app, ["locate", str(photos[0]), "--gps", "ignore"])
    assert again.exit_code == 0 and "--model streetclip" not in again.stderr
    named = CliRunner().invoke(app, ["locate", str(photos[0]), "--model", "street-tiny"])
    assert named.exit_code == 0 and "--model streetclip" not in named.stderr


def test_the_named_city_is_where_the_point_lies(tmp_path):
    photo, named = photo_of_noise(tmp_path / "a.jpg"), LocateSettings(level="city")
    best = Locator.from_pretrained("street-tiny").locate([photo], named).iloc[0]
    assert best["city"]
    assert (best["lat"], best["lon"]) == (best["place_lat"], best["place_lon"])


def test_its_countries_are_those_of_its_settings():
    ranking = json.loads((FOLDER / "geoclip.json").read_text())["ranking"]["prior"]
    assert {"US", "AU", "HR", "ZA"} <= set(ranking["seen_countries"])
    assert not {"MY", "PT", "NZ", "AR"} & set(ranking["seen_countries"])


def test_accuracy_on_real_photos_is_what_it_was(shared_data):
    gazetteer = Gazetteer.default()
    photos = held_out([shared_data / "photos.csv"], "gsv_", gazetteer)
    held = photos[photos["split"].str.startswith("dev_")]
    names = held["location_id"].drop_duplicates().sort_values()
    few = names.iloc[:: len(names) // PINNED_LOCATIONS]
    part = held[held["location_id"].isin(few)].reset_index(drop=True)
    locator = Locator.from_pretrained("street-tiny")
    found = located(locator, locator.embed(part["path"].tolist()), part)
    figures = split_figures(found, locations(part), gazetteer)
    # Measured once with the shipped checkpoint; other processors round a photo or two differently.
    assert figures["n"] == 74
    assert figures["median_km"] == pytest.approx(1990, rel=0.1)
    assert figures["within_km"]["750"] == pytest.approx(27.0, abs=3)
    assert figures["continent_top1"] == pytest.approx(53.0, abs=3)
    assert figures["country_top5"] == pytest.approx(39.3, abs=3)
