"""From a name or folder to an encoder; everything else is one clear sentence."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import random_tiny_clip, write_transformers_clip

from geoclip.encoders import Encoder, load_encoder
from geoclip.errors import GeoclipError

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"


@pytest.fixture(scope="module")
def tiny():
    return random_tiny_clip()


@pytest.fixture
def folder(tiny, tmp_path):
    tiny.save(tmp_path)
    return tmp_path


def refused(name, match):
    with pytest.raises(GeoclipError, match=match) as caught:
        load_encoder(name)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_folder_of_open_clips_layout(folder, tiny):
    encoder = load_encoder(folder)
    assert isinstance(encoder, Encoder) and encoder.folder == folder
    np.testing.assert_allclose(
        encoder.encode_texts(["Lyon"]), tiny.encode_texts(["Lyon"]), atol=1e-6
    )
    assert not encoder.model.training and encoder.device.type == "cpu"
    assert load_encoder(str(folder)).name == str(folder)


def test_a_folder_of_transformers_layout(tmp_path):
    encoder = load_encoder(write_transformers_clip(tmp_path / "clip"))
    assert type(encoder).__name__ == "TransformersEncoder"
    assert encoder.folder == tmp_path / "clip"


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_one_sentence(folder, device):
    with pytest.raises(GeoclipError, match=f"device {device} cannot be used") as caught:
        load_encoder(folder, device)
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_name_is_answered_with_near_ones():
    assert "streetclip" in refused("street-clip", "no model or folder")
    refused("no/such/folder", "no model or folder")


def test_unknown_architectures_and_tags_are_answered_with_known_ones():
    assert "ViT-B-32" in refused("ViT-B-33:openai", "no architecture")
    assert "openai" in refused("ViT-B-32:openia", "no pretrained tag")


@pytest.mark.parametrize("file", ["open_clip_pytorch_model.bin", "model.pt", "weights.ckpt"])
def test_a_folder_with_a_pickle_alone_is_refused_with_the_cure(folder, file):
    (folder / WEIGHTS).unlink()
    torch.save({}, folder / file)
    message = refused(folder, "is a pickle")
    assert f"geoclip models convert {folder / file}" in message


@pytest.mark.parametrize("exists", [True, False])
def test_a_pickle_file_is_refused_with_the_cure(tmp_path, exists):
    path = tmp_path / "model.pth"
    if exists:
        path.write_bytes(b"x")
    assert f"geoclip models convert {path}" in refused(path, "is a pickle")


def test_another_file_is_refused(folder):
    refused(folder / WEIGHTS, "name the folder")


def test_a_folder_without_weights(folder):
    (folder / WEIGHTS).unlink()
    refused(folder, "no .*safetensors weights")


def test_a_folder_without_a_config(folder):
    (folder / CONFIG).unlink()
    refused(folder, "neither open_clip_config.json nor config.json")


@pytest.mark.parametrize("length", [0, 4, 200, 100_000])
def test_truncated_weights_are_one_sentence(folder, length):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:length])
    refused(folder, f"{folder} does not load as a model")


def test_weights_of_another_shape_or_with_one_missing(folder):
    tensors = load_file(folder / WEIGHTS)
    save_file({**tensors, "text_projection": torch.zeros(3, 3)}, folder / WEIGHTS)
    refused(folder, "does not load as a model")
    tensors.pop("text_projection")
    save_file(tensors, folder / WEIGHTS)
    refused(folder, "does not load as a model")


@pytest.mark.parametrize(
    "config",
    ["{", "[]", "{}", '{"model_cfg": 3}', '{"model_cfg": {"embed_dim": 32}}'],
)
def test_a_wrong_config_is_one_sentence(folder, config):
    (folder / CONFIG).write_text(config)
    refused(folder, f"{folder} does not load as a model")


def test_a_config_of_another_width(folder):
    config = json.loads((folder / CONFIG).read_text())
    config["model_cfg"]["text_cfg"]["width"] = 32
    (folder / CONFIG).write_text(json.dumps(config))
    refused(folder, "does not load as a model")


@pytest.mark.parametrize("damage", ["truncated", "other model", "no tokenizer"])
def test_a_damaged_transformers_folder_is_one_sentence(tmp_path, damage):
    folder = write_transformers_clip(tmp_path / "clip")
    if damage == "truncated":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "other model":
        (folder / "config.json").write_text('{"model_type": "bert"}')
    else:
        for path in folder.glob("*"):
            if path.name not in ("config.json", "model.safetensors"):
                path.unlink()
    refused(folder, f"{folder} does not load as a model")
