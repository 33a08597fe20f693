"""The page of evidence maps: what it holds, what it escapes, and by the command."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_world import FakeEncoder
from tiny_encoders import random_tiny_clip
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.encoders import Encoder
from geoclip.encoders.evidence_maps import caption_logits
from geoclip.errors import PhotoError
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.runs.explain_photo import explain_photo, overlay, write_explained


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((90, 60)).save(tmp_path / "a <b>.png")
    return tmp_path / "a <b>.png"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return random_tiny_clip()


def test_the_page_has_a_picture_for_each_caption(photo: Path, encoder: Encoder) -> None:
    explained = explain_photo(photo, ["in <b>Peru</b>", "in Japan"], encoder)
    assert explained.maps.shape == (2, 32, 32)
    with Image.open(photo) as image:
        logits = caption_logits(encoder, image.convert("RGB"), explained.captions)
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(explained.shares, expected, rtol=1e-3)
    page = photo.with_name("why.html")
    write_explained(explained, page)
    text = page.read_text()
    assert text.count("<img") == 3 and "img-src data:" in text
    assert "&lt;b&gt;Peru" in text and "<b>" not in text
    assert not re.search(r"https?://", text) and str(photo.parent) not in text


def test_red_speaks_for_and_blue_against() -> None:
    plain = Image.new("RGB", (3, 1), (100, 100, 100))
    red, grey, blue = np.asarray(overlay(plain, np.array([[1.0, 0.0, -1.0]])))[0].tolist()
    assert red[0] > red[2] and blue[2] > blue[0] and grey == [100, 100, 100]


def test_by_default_the_likeliest_countries_are_explained(
    photo: Path, small_gazetteer: Gazetteer, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = random_tiny_clip()
    index = PlaceIndex.build(encoder, small_gazetteer)
    locator = Locator(encoder, index, small_gazetteer)
    monkeypatch.setattr(Locator, "from_pretrained", lambda *_, **__: locator)
    explained = explain_photo(photo, model="street-tiny")
    with Image.open(photo) as image:
        ranked = locator.guesses(locator.embed(image.convert("RGB")), classes=True)
    codes = ranked["country_ranking"].iloc[0].split()[:3]
    names = [small_gazetteer.names[row] for row in small_gazetteer.rows(codes)]
    assert len(explained.captions) == 3
    for caption, name in zip(explained.captions, names, strict=True):
        assert caption.endswith(f"{name}.")


def test_the_command(photo: Path, encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "model")
    page = tmp_path / "why.html"
    command = ["explain", str(photo), "a tram", "a palm", "--model", str(tmp_path / "model")]
    result = CliRunner().invoke(app, [*command, "--page", str(page), "--method", "gradient"])
    assert result.exit_code == 0, result.output
    assert "a tram" in result.stdout and "%" in result.stdout and page.is_file()
    result = CliRunner().invoke(app, [*command, "--page", str(tmp_path / "why.txt")])
    assert result.exit_code == 2 and "does not end in .html" in result.stderr


def test_a_file_that_is_no_photo_is_refused(tmp_path: Path, fake_encoder: FakeEncoder) -> None:
    (tmp_path / "no.jpg").write_text("no photo")
    with pytest.raises(PhotoError):
        explain_photo(tmp_path / "no.jpg", ["a"], fake_encoder)
