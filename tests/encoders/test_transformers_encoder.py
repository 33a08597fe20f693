"""Encoders of transformers: the same embeddings as plain transformers, cut or not."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import write_transformers_clip

from geoclip.encoders.transformers_encoder import TransformersEncoder

TEXTS = ["a photo in Lyon", "pho", "A Street View photo in the region of Khomas in Namibia.", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_transformers_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="module")
def encoder(folder):
    return TransformersEncoder.from_pretrained(folder)


def images():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)) for _ in range(3)]


def test_embeddings_are_those_of_plain_transformers(encoder, folder):
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(str(folder)).eval()
    processor = CLIPProcessor.from_pretrained(str(folder))
    inputs = processor(
        text=TEXTS, images=images(), return_tensors="pt", padding="max_length", truncation=True
    )
    with torch.no_grad():
        output = model(**inputs)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), output.text_embeds, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_images(images()), output.image_embeds, atol=1e-5)


def test_cut_tokens_give_the_embedding_of_the_full_length(encoder):
    for text in TEXTS:
        cut = encoder.tokenize([text])
        full = encoder.tokenizer([text], padding="max_length", max_length=77, return_tensors="pt")[
            "input_ids"
        ]
        assert cut.shape[1] < full.shape[1] == 77
        with torch.no_grad():
            ours, theirs = encoder.text_features(cut), encoder.text_features(full)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_too_long_a_text_is_cut_at_the_towers_length(encoder):
    assert encoder.tokenize(["in Lyon " * 60]).shape == (1, 77)
    assert np.isfinite(encoder.encode_texts(["in Lyon " * 60])).all()


def test_nothing_in_nothing_out(encoder):
    assert encoder.encode_texts([]).shape == (0, 24)
    assert encoder.encode_images([]).shape == (0, 24)


def test_towers_share_out_all_parameters_but_the_scale(encoder):
    pictures, texts = (encoder.tower_parameters(t) for t in ("image", "text"))
    assert not {id(p) for p in pictures} & {id(p) for p in texts}
    assert len(pictures) + len(texts) + 1 == len(list(encoder.model.parameters()))
    assert any(p is encoder.model.visual_projection.weight for p in pictures)
    assert any(p is encoder.model.text_projection.weight for p in texts)


def test_saved_weights_are_safetensors_and_load_again(encoder, tmp_path):
    encoder.save(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".pkl")]
    again = TransformersEncoder.from_pretrained(tmp_path)
    np.testing.assert_allclose(again.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-6)
    assert again.fingerprint() == encoder.fingerprint()


def test_normalization_and_size_are_the_processors(encoder):
    mean, std = encoder.normalization
    assert len(mean) == len(std) == 3 and encoder.image_size == 32
    assert encoder.preprocess(images()[0]).shape == (3, 32, 32)
