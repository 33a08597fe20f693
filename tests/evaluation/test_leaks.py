import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.evaluation.leaks import (
    can_hash,
    find_leaks,
    near_hashes,
    perceptual_hashes,
    read_training_table,
)

needs_hashes = pytest.mark.skipif(not can_hash(), reason="ImageHash is not installed")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def picture(path: Path, seed: int, size: int = 200, quality: int = 90) -> None:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    small.resize((size, size), Image.Resampling.BICUBIC).save(path, quality=quality)


def test_same_place_author_and_coordinates():
    train = pd.DataFrame(
        {
            "lat": [1.00001, 50.0, np.nan],
            "lon": [2.0, 60.0, np.nan],
            "author": ["x", "", "y"],
            "location_id": ["p", "", "q"],
        }
    )
    test = pd.DataFrame(
        {
            "lat": [1.0, 5.0, 6.0, 50.01],
            "lon": [2.0, 5.0, 6.0, 60.0],
            "author": ["x", "y", "", ""],
            "location_id": ["r", "q", "", "s"],
        }
    )
    leaks = find_leaks(train, test, hashes=False)
    assert leaks.found["author"].tolist() == [True, True, False, False]
    assert leaks.found["location_id"].tolist() == [False, True, False, False]
    assert leaks.found["coordinates"].tolist() == [True, False, False, False]
    assert leaks.report() == {
        "location_id": 1, "author": 2, "coordinates": 1, "any": 2, "hashed": None,
    }  # fmt: skip
    assert "author" not in find_leaks(train.drop(columns="author"), test, hashes=False).found


def test_near_hashes_bit_by_bit(monkeypatch):
    """Slow and independent: Python's own count of bits."""
    random = np.random.default_rng(4)
    theirs = random.integers(0, 2**63, 50, dtype=np.uint64)
    mine = np.concatenate(
        [theirs[:20] ^ np.uint64(0b10110011), random.integers(0, 2**63, 20, dtype=np.uint64)]
    )
    for bits in (0, 4, 5, 25):
        slow = [any((int(a) ^ int(b)).bit_count() <= bits for b in theirs) for a in mine]
        assert near_hashes(mine, theirs, bits).tolist() == slow
    monkeypatch.setattr("geoclip.evaluation.leaks.CHUNK_PAIRS", 120)
    assert near_hashes(mine, theirs, 5).sum() >= 20
    assert near_hashes(mine, theirs[:0]).tolist() == [False] * 40


@needs_hashes
def test_the_same_picture_in_another_size(tmp_path):
    picture(tmp_path / "a.jpg", seed=1)
    picture(tmp_path / "small.jpg", seed=1, size=120, quality=60)
    picture(tmp_path / "b.jpg", seed=2)
    Image.new("RGB", (50, 50), "grey").save(tmp_path / "grey.png")
    write(tmp_path / "broken.jpg", "no photo")
    names = ["small.jpg", "b.jpg", "grey.png", "broken.jpg", "absent.jpg"]
    test = pd.DataFrame({"key": [str(tmp_path / name) for name in names], "lat": 0.0, "lon": 0.0})
    train = test.iloc[:2].assign(key=[str(tmp_path / "a.jpg"), str(tmp_path / "grey.png")], lat=9.0)
    assert (perceptual_hashes(test) != 0).tolist() == [True, True, False, False, False]
    leaks = find_leaks(train, test)
    assert leaks.found["picture"].tolist() == [True, False, False, False, False]
    assert leaks.hashed == (2, 1)


def test_training_tables_of_both_layouts(tmp_path):
    by_path = write(
        tmp_path / "p.csv",
        "path,lat,lon,country_code,split,location_id,author\n"
        "a.jpg,1,2,,train,p,x\nb.jpg,3,4,,dev,q,x\nc.jpg,,,FR,train,,y\n",
    )
    table = read_training_table(by_path)
    assert table["photo_id"].tolist() == ["a.jpg", "c.jpg"]
    assert table["author"].tolist() == ["x", "y"]
    assert table["location_id"].tolist() == ["p", ""]
    assert table["key"].tolist() == [str(tmp_path / "a.jpg"), str(tmp_path / "c.jpg")]
    by_id = write(tmp_path / "i.csv", "IMG_ID,AUTHOR,LAT,LON\nz,w,1,2\n")
    assert read_training_table(by_id)[["author", "lat", "country_code"]].values.tolist() == [
        ["w", 1.0, ""]
    ]


def test_the_command_warns_and_gives_baselines(tmp_path):
    truth = write(tmp_path / "t.csv", "path,lat,lon,location_id\na,45.75,4.85,p\nb,48.85,2.35,q\n")
    train = write(tmp_path / "r.csv", "path,lat,lon,location_id\nv,45.76,4.85,p\nw,45.75,4.85,s\n")
    guesses = write(tmp_path / "g.csv", "path,lat,lon\na,45.75,4.85\nb,0,0\n")
    command = ["evaluate", guesses, "--truth", truth, "--train", train, "--no-photo-hashes"]
    told = CliRunner().invoke(app, [str(word) for word in [*command, "--json"]])
    assert told.exit_code == 0, told.output
    assert "1 of 2 photos share the location_id with a training photo." in told.stderr
    assert "1 of 2 photos share the coordinates (to 11 m)" in told.stderr
    assert "pictures themselves were not compared" in told.stderr
    report = json.loads(told.stdout)
    assert report["leaks"]["any"] == 1
    assert report["constant"]["within_km"]["25"] == 50
    assert 0 < report["chance"]["within_km"]["2500"] < 100
    printed = CliRunner().invoke(app, [str(word) for word in command]).stdout
    assert "constant" in printed
    assert "chance" in printed
