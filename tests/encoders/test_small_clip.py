"""The embedded default's kind of model: read without open_clip, it equals open_clip's model."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from tiny_encoders import random_tiny_clip, small_clip

from geoclip.encoders import load_encoder
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.encoders.pixels import SquarePixels
from geoclip.encoders.small_clip import SmallClipEncoder, can_read
from geoclip.errors import GeoclipError
from geoclip.photos.keys import encoder_key

TEXTS = ["", "Lyon, France, Ōsaka", "Saint-Louis-du-Ha! Ha!", "a &amp; b", "x " * 40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of random weights."""
    home = tmp_path_factory.mktemp("model")
    small_clip(mean=(0.5, 0.4, 0.3)).save(home)
    return home


@pytest.fixture(scope="module")
def pair(folder):
    """The encoder without open_clip, and the one with it."""
    return tuple(load_encoder(folder, for_photos=own).for_photos() for own in (True, False))


def noise_images():
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (90, 71), (35, 200), (20, 25)]
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_its_embeddings_are_those_of_open_clips_model(pair, precision):
    small, plain = (encoder.for_photos(precision) for encoder in pair)
    assert isinstance(small, SmallClipEncoder) and isinstance(plain, OpenClipEncoder)
    expected = plain.encode_images(noise_images())
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_array_equal(small.encode_images(noise_images()), expected)
    np.testing.assert_array_equal(small.encode_texts(TEXTS), plain.encode_texts(TEXTS))


def test_keys_and_what_is_fed_are_the_same(pair):
    small, plain = pair
    assert small.fingerprint() == plain.fingerprint()
    assert encoder_key(small, 1) == encoder_key(plain, 1)
    assert torch.equal(small.tokenize(TEXTS), plain.tokenize(TEXTS))
    assert torch.equal(small.log_logit_scale, plain.log_logit_scale)
    assert (small.image_size, small.folder, small.name) == (32, plain.folder, plain.name)
    assert tuple(small.normalization[0]) == (0.5, 0.4, 0.3)


def test_it_is_not_saved(pair, tmp_path):
    with pytest.raises(GeoclipError, match="without for_photos"):
        pair[0].save(tmp_path)


def test_weights_of_another_size_are_refused_in_a_sentence(folder, tmp_path):
    (tmp_path / "open_clip_model.safetensors").symlink_to(folder / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(
        (folder / "open_clip_config.json").read_text().replace('"width": 32', '"width": 48')
    )
    with pytest.raises(GeoclipError, match="does not load as a model"):
        load_encoder(tmp_path, for_photos=True)


def test_another_model_is_left_to_open_clip(tmp_path):
    random_tiny_clip().save(tmp_path)
    assert isinstance(load_encoder(tmp_path, for_photos=True), OpenClipEncoder)


@pytest.mark.parametrize(
    "changes",
    [
        {"quick_gelu": True},
        {"custom_text": True},
        {"init_logit_bias": 0.0},
        {"vision_cfg": {"timm_model_name": "tf_efficientnet_lite0"}},
        {"vision_cfg": {"timm_proj": "linear"}},
        {"vision_cfg": {"image_size": 72}},
        {"vision_cfg": {"timm_drop_path": 0.1}},
        {"text_cfg": {"vocab_size": 512}},
        {"text_cfg": {"hf_tokenizer_name": "x"}},
        {"preprocess_cfg": {"resize_mode": "squash"}},
        {"preprocess_cfg": {"interpolation": "bilinear"}},
    ],
)
def test_a_config_that_says_anything_else_is_left_to_open_clip(folder, tmp_path, changes):
    config = json.loads((folder / "open_clip_config.json").read_text())
    written = tmp_path / "open_clip_config.json"
    written.write_text(json.dumps(config))
    assert can_read(tmp_path)
    for name, value in changes.items():
        home = config if name in config else config["model_cfg"]
        home[name] = {**home[name], **value} if isinstance(value, dict) else value
    written.write_text(json.dumps(config))
    assert not can_read(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model_cfg": {"vision_cfg": 3}}'])
def test_a_config_that_is_none_is_left_to_open_clip(tmp_path, text):
    (tmp_path / "open_clip_config.json").write_text(text)
    assert not can_read(tmp_path)


@given(
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    side=st.sampled_from([32, 33, 64]),
    mode=st.sampled_from(["RGB", "L", "RGBA", "P"]),
)
@settings(max_examples=60, deadline=None)
def test_pixels_are_those_of_open_clips_transform(width, height, side, mode):
    mean, std = (0.48, 0.45, 0.4), (0.26, 0.27, 0.28)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 4), dtype=np.uint8)
    image = Image.fromarray(noise).convert("RGB").convert(mode)
    theirs = image_transform_v2(PreprocessCfg(size=side, mean=mean, std=std), is_train=False)
    assert torch.equal(SquarePixels(side, mean, std)(image), theirs(image))
