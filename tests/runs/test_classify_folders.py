"""Zero-shot, nearest photos and a linear probe on made-up photos, and `geoclip classes`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_world import FakeEncoder, hashed_vector
from tiny_encoders import random_tiny_clip
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.evaluation.class_folders import ClassFolders, prompts_of
from geoclip.runs.classify_folders import (
    classify_folders,
    linear_probe,
    nearest_votes,
    zero_shot_weights,
)

NAMES = ["palm", "tram", "truck"]


def fill(folder: Path, size: int = 8, count: int = 3) -> Path:
    """Photos that `FakeEncoder.pictured` knows: the red of a class is its number and 1."""
    for number, name in enumerate(NAMES):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture = Image.new("RGB", (size, size), (number + 1, 0, 0))
            picture.putpixel((size - 1, size - 1), (i, i, i))
            picture.save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def encoder(fake_encoder: FakeEncoder) -> FakeEncoder:
    """It mistakes a truck for a tram."""
    pictured = ["a photo of a palm.", "a photo of a tram.", "a photo of a tram."]
    fake_encoder.pictured = dict(enumerate(pictured, 1))
    return fake_encoder


def test_zero_shot_takes_the_most_similar_prompt(tmp_path: Path, encoder: FakeEncoder) -> None:
    photos = ClassFolders.open(fill(tmp_path / "test"))
    (tmp_path / "test" / "palm" / "bad.png").write_text("no photo")
    found = classify_folders(encoder, ClassFolders.open(tmp_path / "test"), prompts_of(NAMES))
    figures = found.methods["zero-shot"]
    assert figures["n"] == len(photos.photos) == 9 and len(found.unread) == 1
    assert figures["accuracy"] == pytest.approx(200 / 3)
    assert figures["classes"]["truck"]["taken_for"] == "tram"
    assert set(found.methods) == {"zero-shot"}


def test_photos_of_known_class_tell_what_prompts_do_not(
    tmp_path: Path, encoder: FakeEncoder
) -> None:
    encoder.pictured[3] = "something else"
    test, train = (ClassFolders.open(fill(tmp_path / name)) for name in ("test", "train"))
    found = classify_folders(encoder, test, [["x"], ["y"], ["z"]], train)
    assert found.methods["nearest"]["accuracy"] == 100
    assert found.methods["linear probe"]["accuracy"] == 100
    assert found.methods["image retrieval"]["accuracy"] == 100


def test_weights_are_the_mean_of_a_class(encoder: FakeEncoder) -> None:
    weights = zero_shot_weights(encoder, [["a", "b"], ["c"]])
    mean = hashed_vector(b"a") + hashed_vector(b"b")
    np.testing.assert_allclose(weights[0], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(weights[1], hashed_vector(b"c"), atol=1e-6)


def test_the_nearest_vote_by_weight() -> None:
    rng = np.random.default_rng(0)
    known, images = (rng.normal(size=(n, 4)).astype(np.float32) for n in (12, 5))
    known, images = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (known, images))
    classes = rng.integers(0, 3, 12)
    votes = nearest_votes(images, known, classes, 3)
    for image, row in zip(images, votes, strict=True):
        expected = np.zeros(3)
        for i in sorted(range(12), key=lambda i: -(image @ known[i]))[:5]:
            expected[classes[i]] += np.exp(float(image @ known[i]) / 0.07)
        np.testing.assert_allclose(row, expected, rtol=1e-4)


def test_the_probe_is_at_the_minimum_of_its_loss() -> None:
    rng = np.random.default_rng(1)
    known = rng.normal(size=(40, 5)).astype(np.float32)
    classes = (known[:, 0] + 0.3 * rng.normal(size=40) > 0).astype(int)
    logits = linear_probe(np.eye(5, dtype=np.float32), known, classes, 2)
    origin = linear_probe(np.zeros((1, 5), np.float32), known, classes, 2)
    weights = logits - origin
    scores = known @ weights + origin
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    gradient = known.T @ (p - np.eye(2)[classes]) / 40 + 2e-3 * weights
    assert np.abs(gradient).max() < 1e-3
    assert weights[0, 1] - weights[0, 0] > 1


def test_the_command(tmp_path: Path) -> None:
    random_tiny_clip().save(tmp_path / "model")
    folder, out = fill(tmp_path / "photos", 32, 2), tmp_path / "report.json"
    command = ["classes", str(folder), "--model", str(tmp_path / "model"), "--per-class"]
    command += ["--train", str(folder), "--prompt", "a {}", "--prompt", "the {}"]
    result = CliRunner().invoke(app, [*command, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "accuracy, %" in result.stdout and "most often taken for" in result.stdout
    (methods,) = json.loads(out.read_text()).values()
    assert set(methods) == {"zero-shot", "nearest", "linear probe", "image retrieval"}
    assert methods["nearest"]["accuracy"] > 60  # the photos themselves
    (folder / "palm" / "bad.png").write_text("no photo")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 3 and "bad.png" in result.stderr
    result = CliRunner().invoke(app, ["classes", str(tmp_path / "none"), *command[2:]])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_without_a_readable_photo_it_says_so(tmp_path: Path, encoder: FakeEncoder) -> None:
    (tmp_path / "palm").mkdir()
    (tmp_path / "palm" / "bad.png").write_text("no photo")
    with pytest.raises(GeoclipError, match="None of the 1 photos can be read"):
        classify_folders(encoder, ClassFolders.open(tmp_path), [["a palm"]])
