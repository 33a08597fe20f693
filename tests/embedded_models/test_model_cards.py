"""The model cards: front matter that a model hub reads, one screen of text."""

import pytest
from huggingface_hub import ModelCard

from geoclip.encoders.registry import CHECKPOINTS

ONE_SCREEN = 90  # lines
FOLDERS = sorted(folder for folder in CHECKPOINTS.iterdir() if folder.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_has_front_matter_and_fits_one_screen(folder):
    path = folder / "README.md"
    card = ModelCard.load(path)
    assert card.data.library_name == "open_clip"
    assert card.data.pipeline_tag == "zero-shot-image-classification"
    assert "geolocation" in card.data.tags
    assert card.text.strip().startswith(f"# {folder.name}\n")
    assert len(path.read_text().splitlines()) <= ONE_SCREEN


def test_the_licences_are_the_right_ones():
    terms = {folder.name: ModelCard.load(folder / "README.md").data for folder in FOLDERS}
    assert terms["planet-start"].license == "mit"
    own = terms["street-tiny"]
    assert (own.license, own.license_name) == ("other", "research-and-demonstration-only")
    assert "research" in (CHECKPOINTS / "street-tiny" / own.license_link).read_text()
