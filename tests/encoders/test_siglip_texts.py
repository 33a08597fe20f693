"""SigLIP's texts: canonical as in training, by open_clip and by transformers' folders alike."""

import re
import string

import numpy as np
import open_clip
import pytest
from hub_layouts import LAYOUTS, write_layout
from tokenizers import Tokenizer

from geoclip.encoders import load_encoder
from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionBook

PAIRS = {  # the folder of transformers → that of open_clip, of one vocabulary
    "google/siglip-base-patch16-224": "timm/ViT-B-16-SigLIP",
    "google/siglip2-base-patch16-224": "timm/ViT-B-16-SigLIP2",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("siglip")
    wanted = {*PAIRS, *PAIRS.values()}
    return {
        layout.hub_id: write_layout(layout, home / layout.label)
        for layout in LAYOUTS
        if layout.hub_id in wanted
    }


@pytest.fixture(scope="module")
def prompts(world):
    """Two hundred prompts of the packaged gazetteer, spread over the world."""
    rows = np.linspace(0, len(world) - 1, 400).astype(int)
    book = CaptionBook(world)
    found = [prompt for row in rows for prompt in book.prompts(row)[:1]]
    return list(dict.fromkeys(found))[:200]


def canonical(text):
    """What big_vision's `canonicalize_text` says: no punctuation, lower case, single spaces."""
    kept = "".join(sign for sign in text.replace("_", " ") if sign not in string.punctuation)
    return re.sub(r"\s+", " ", kept.lower()).strip()


@pytest.mark.parametrize("name", PAIRS)
def test_tokens_are_open_clips_own(name, folders, prompts):
    assert len(prompts) == 200
    theirs = open_clip.get_tokenizer(f"local-dir:{folders[PAIRS[name]]}")(prompts)
    ours = load_encoder(folders[name]).tokenize(prompts)
    assert ours.shape == (200, 64)
    assert ours.tolist() == theirs.tolist()
    through_open_clip = load_encoder(folders[PAIRS[name]]).tokenize(prompts)
    assert through_open_clip.tolist() == theirs.tolist()
    assert len({tuple(row) for row in ours.tolist()}) > 190


@pytest.mark.parametrize("name", PAIRS)
def test_tokens_are_those_of_the_published_vocabulary_file(name, folders, prompts):
    """The file itself, read without transformers, which remakes tokenizers by its own rules."""
    tokenizer = Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    fill = {"google/siglip-base-patch16-224": 1, "google/siglip2-base-patch16-224": 0}[name]
    expected = []
    for prompt in prompts:
        ids = tokenizer.encode(canonical(prompt)).ids
        ids = [*ids[:63], 1] if len(ids) > 64 else ids
        expected.append(ids + [fill] * (64 - len(ids)))
    assert load_encoder(folders[name]).tokenize(prompts).tolist() == expected


@pytest.mark.parametrize("name", PAIRS)
def test_capitals_and_punctuation_do_not_count(name, folders):
    encoder = load_encoder(folders[name])
    plain, loud = encoder.tokenize(
        ["a street view photo in peru", "A  Street-View photo, in PERU!"]
    )
    assert plain.tolist() == encoder.tokenize(["A Street View photo in Peru."])[0].tolist()
    assert loud.tolist() == encoder.tokenize(["a streetview photo in peru"])[0].tolist()


def test_a_sentencepiece_vocabulary_alone(folders, prompts, tmp_path):
    """Where sentencepiece is installed tokens are the same; where it is not, its lack is named."""
    siglip = next(layout for layout in LAYOUTS if layout.hub_id in PAIRS)
    folder = write_layout(siglip, tmp_path)
    expected = load_encoder(folder).tokenize(prompts).tolist()
    (folder / "tokenizer.json").unlink()
    try:
        import sentencepiece  # noqa: F401
    except ImportError:
        with pytest.raises(GeoclipError, match="pip install sentencepiece"):
            load_encoder(folder)
        return
    assert load_encoder(folder).tokenize(prompts).tolist() == expected


def test_the_library_itself_reads_the_saved_tokenizer(folders, prompts, tmp_path):
    pytest.importorskip("sentencepiece")
    from transformers import AutoProcessor

    encoder = load_encoder(folders["google/siglip-base-patch16-224"])
    encoder.save(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    texts = [canonical(prompt) for prompt in prompts]
    theirs = processor(text=texts, padding="max_length", truncation=True, max_length=64)
    assert encoder.tokenize(prompts).tolist() == theirs["input_ids"]
