"""Models of the hub: downloaded once, converted where they are pickles, found again offline."""

import json
import shutil
import socket
from pathlib import Path

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from fake_hub import FakeHub, serving
from hub_layouts import LAYOUTS, write_hub_cache, write_layout
from safetensors.torch import load_file, save_file
from tiny_encoders import random_tiny_clip
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.encoders import load_encoder
from geoclip.encoders.hub import converted_folder, find_folder, snapshots
from geoclip.errors import GeoclipError
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.settings import RankingSettings, Temperatures

STREETCLIP = next(layout for layout in LAYOUTS if layout.hub_id == "geolocal/StreetCLIP")
NOWHERE = "http://127.0.0.1:9"
PINNED = "4d1b654" + "0" * 33
TEXTS = ["A Street View photo in Peru.", "A Street View photo from Lyon, France."]


def point_at(url, monkeypatch):
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Empty folders for downloads and conversions, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    point_at(NOWHERE, monkeypatch)
    monkeypatch.setenv("GEOCLIP_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture(scope="module")
def pickled(tmp_path_factory):
    return write_layout(STREETCLIP, tmp_path_factory.mktemp("street") / "clip")


@pytest.fixture
def hub(home, monkeypatch):
    with serving(FakeHub()) as hub:
        point_at(hub.url, monkeypatch)
        yield hub


def with_tensors(pickled, folder):
    """The same repository with safetensors, as a pull request of the hub's converter has it."""
    shutil.copytree(pickled, folder)
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def listed(name="streetclip"):
    models = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    return next(model for model in models if model["name"] == name)


def test_streetclip_comes_from_the_pinned_pull_request(hub, home, pickled, monkeypatch):
    hub.publish(STREETCLIP.hub_id, pickled, "c" * 40)
    hub.publish(STREETCLIP.hub_id, pickled, "d" * 40, "refs/pr/1")
    hub.publish(STREETCLIP.hub_id, with_tensors(pickled, home / "pr"), PINNED, "refs/pr/3")
    encoder = load_encoder("streetclip")
    assert encoder.folder.name == PINNED and encoder.name == STREETCLIP.hub_id
    assert "model.safetensors" in hub.served and "pytorch_model.bin" not in hub.served
    assert not converted_folder(STREETCLIP.hub_id).exists() and encoder.warnings == []
    asked = len(hub.served)
    point_at(NOWHERE, monkeypatch)
    again = load_encoder("streetclip")  # without the hub
    np.testing.assert_array_equal(again.encode_texts(TEXTS), encoder.encode_texts(TEXTS))
    assert len(hub.served) == asked
    model = listed()
    assert (model["on_this_machine"], model["loads"]) == (True, True)
    assert model["folder"] == str(encoder.folder)


@pytest.mark.parametrize("name", ["streetclip", "hf:geolocal/StreetCLIP"])
def test_a_pickle_is_converted_once_and_said(hub, pickled, monkeypatch, name):
    hub.publish(STREETCLIP.hub_id, pickled, "c" * 40)
    encoder = load_encoder(name)
    folder = converted_folder(STREETCLIP.hub_id)
    assert encoder.folder == folder
    assert any("converted" in sentence and str(folder) in sentence for sentence in encoder.warnings)
    stored = load_file(folder / "model.safetensors")
    for key, value in torch.load(pickled / "pytorch_model.bin", weights_only=True).items():
        assert torch.equal(stored[key], value)
    point_at(NOWHERE, monkeypatch)
    changed = folder.stat().st_mtime_ns
    again = load_encoder(name)
    assert again.warnings == [] and folder.stat().st_mtime_ns == changed
    np.testing.assert_array_equal(again.encode_texts(TEXTS), encoder.encode_texts(TEXTS))
    assert listed()["loads"] is True


def test_settings_that_a_hub_model_brings_are_used(hub, home, pickled):
    folder = with_tensors(pickled, home / "repository")
    own = ModelSettings(ranking=RankingSettings(temperatures=Temperatures(1.5)))
    own.write(folder)
    hub.publish("a/tuned", folder, "c" * 40)
    assert ModelSettings.of_model("hf:a/tuned") == ModelSettings()  # nothing is here yet
    load_encoder("hf:a/tuned")
    assert ModelSettings.of_model("hf:a/tuned") == own


def test_a_pickle_that_is_here_already_is_converted_without_the_hub(home):
    snapshot = write_hub_cache(home / "hub", STREETCLIP)
    assert find_folder(STREETCLIP.hub_id) is None
    model = listed()
    assert (model["on_this_machine"], model["loads"]) == (True, True)
    assert "pickle" in model["note"] and model["folder"] == str(snapshot)
    assert load_encoder("streetclip").folder == converted_folder(STREETCLIP.hub_id)
    assert find_folder(STREETCLIP.hub_id) == converted_folder(STREETCLIP.hub_id)
    assert [path.name for path in (home / "data" / "weights").iterdir()] == ["geolocal--StreetCLIP"]


def test_a_pickle_that_runs_code_is_refused_and_leaves_nothing(hub, home, pickled):
    mark = home / "the code ran"

    class Trap:
        def __reduce__(self):
            return Path.mkdir, (mark,)

    folder = home / "trap"
    shutil.copytree(pickled, folder)
    torch.save({"a": Trap()}, folder / "pytorch_model.bin")
    hub.publish("a/b", folder, "c" * 40)
    with pytest.raises(GeoclipError, match="holds more than tensors"):
        load_encoder("hf:a/b")
    assert not mark.exists() and not list((home / "data" / "weights").iterdir())


def test_a_data_folder_that_cannot_be_written(home, monkeypatch):
    write_hub_cache(home / "hub", STREETCLIP)
    (home / "file").touch()
    monkeypatch.setenv("GEOCLIP_DATA", str(home / "file"))
    with pytest.raises(GeoclipError, match="GEOCLIP_DATA") as caught:
        load_encoder("streetclip")
    assert str(home / "file") in str(caught.value)


def test_converted_weights_are_kept_with_the_users_data(monkeypatch):
    monkeypatch.delenv("GEOCLIP_DATA", raising=False)
    folder = converted_folder("a/b")
    assert folder.parts[-3:] == ("geoclip", "weights", "a--b") and folder.is_absolute()


def test_only_what_is_needed_is_downloaded(hub, home, pickled):
    folder = with_tensors(pickled, home / "repository")
    for name in ("README.md", "nagasaki.jpg", "tf_model.h5", "flax_model.msgpack"):
        (folder / name).write_bytes(b"x")
    hub.publish("a/b", folder, "c" * 40)
    load_encoder("hf:a/b")
    assert set(hub.served) == {
        "config.json",
        "merges.txt",
        "model.safetensors",
        "preprocessor_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    }


def test_nothing_is_asked_of_the_hub_where_no_model_of_it_is_named(hub, pickled):
    with pytest.raises(GeoclipError):
        load_encoder(pickled)
    CliRunner().invoke(app, ["models"])
    assert hub.served == []


def test_a_hub_out_of_reach_and_an_unknown_repository_are_one_sentence(home, hub, monkeypatch):
    with pytest.raises(GeoclipError, match=r"a/b could not be loaded.*check the id") as caught:
        load_encoder("hf:a/b")
    assert len(str(caught.value).splitlines()) == 1
    point_at(NOWHERE, monkeypatch)
    with pytest.raises(GeoclipError, match=r"StreetCLIP could not be loaded.*connection"):
        load_encoder("streetclip")


@pytest.mark.parametrize(
    "name, hub_id, pickle",
    [
        ("ViT-B-32:laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model"),
        ("ViTamin-S:datacomp1b", "jienengchen/ViTamin-S", "pytorch_model"),
    ],
)
def test_a_pickle_of_a_tag_is_not_loaded(hub, home, monkeypatch, name, hub_id, pickle):
    """open_clip would take a repository's pickle where its safetensors are missing."""
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("was loaded"))
    (home / "repository").mkdir()
    (home / "repository" / f"{pickle}.bin").write_bytes(b"pickle")
    hub.publish(hub_id, home / "repository", "c" * 40)
    with pytest.raises(GeoclipError, match=rf"{pickle}\.safetensors.*geoclip models convert FILE"):
        load_encoder(name)
    assert hub.served == []
    point_at(NOWHERE, monkeypatch)
    with pytest.raises(GeoclipError, match=rf"{hub_id} could not be loaded.*connection"):
        load_encoder(name)


def test_a_tag_is_downloaded_once_and_then_loaded_without_the_hub(hub, home, monkeypatch):
    """With the pictures that its tag asks for, which a file alone does not say."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", random_tiny_clip().model_config)
    tag = {"hf_hub": "a/b/", "mean": (0.1, 0.2, 0.3), "interpolation": "bilinear"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"own": tag})
    made = random_tiny_clip()
    made.save(home / "repository")
    hub.publish("a/b", home / "repository", "c" * 40)
    encoder = load_encoder("tiny:own")
    assert hub.served == ["open_clip_model.safetensors"]
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), made.encode_texts(TEXTS), atol=1e-6)
    assert encoder.preprocess_config["mean"] == tag["mean"]
    assert encoder.preprocess_config["interpolation"] == "bilinear"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))
    point_at(NOWHERE, monkeypatch)
    np.testing.assert_array_equal(
        load_encoder("tiny:own").encode_texts(TEXTS), encoder.encode_texts(TEXTS)
    )


def test_a_repository_without_weights(hub, home, pickled):
    folder = home / "repository"
    shutil.copytree(pickled, folder, ignore=shutil.ignore_patterns("*.bin"))
    hub.publish("a/b", folder, "c" * 40)
    with pytest.raises(GeoclipError, match="holds no safetensors weights"):
        load_encoder("hf:a/b")


def test_half_a_download_is_finished(hub, home, pickled):
    """A run that was stopped between two files left a snapshot without its config."""
    hub.publish("a/b", with_tensors(pickled, home / "repository"), "c" * 40)
    expected = load_encoder("hf:a/b").encode_texts(TEXTS)
    (snapshots("a/b")[0] / "config.json").unlink()
    np.testing.assert_array_equal(load_encoder("hf:a/b").encode_texts(TEXTS), expected)
