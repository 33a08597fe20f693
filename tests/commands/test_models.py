"""The known names, whether their weights are here, and the conversion of pickles."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.encoders.hub import weights_folder
from geoclip.encoders.registry import KNOWN_MODELS, check_model_name, known_models
from geoclip.errors import GeoclipError
from geoclip.ranking.model_settings import ModelSettings, settings_folder
from geoclip.ranking.settings import RankingSettings


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_weights(cache: Path, hub_id: str, name: str = "model.safetensors") -> Path:
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    folder = repository / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (folder / name).write_bytes(b"weights")
    return folder


def test_every_open_clip_name_is_in_its_list_with_the_right_activation() -> None:
    import open_clip

    for model in KNOWN_MODELS.values():
        if model.kind != "open_clip":
            continue
        architecture, tag = model.reference.split(":")
        stored = open_clip.get_pretrained_cfg(architecture, tag)
        assert stored["hf_hub"].rstrip("/") == model.hub_id, model
        quick = open_clip.get_model_config(architecture).get("quick_gelu", False)
        assert quick == stored.get("quick_gelu", False), model


def test_names_and_licences() -> None:
    assert set(KNOWN_MODELS) - {"street-tiny"} == {
        "streetclip", "clip-l-336", "clip-l", "clip-b-16", "clip-b-32", "laion-b-32", "siglip",
        "siglip-so400m", "siglip2", "siglip2-so400m",
    }  # fmt: skip
    streetclip = KNOWN_MODELS["streetclip"]
    assert (streetclip.licence, streetclip.reference) == ("CC BY-NC 4.0", "geolocal/StreetCLIP")
    assert "inherits" in streetclip.note


def test_the_embedded_model_is_listed_where_its_folder_is(tmp_path: Path) -> None:
    assert "street-tiny" not in known_models(tmp_path)
    (tmp_path / "street-tiny").mkdir()
    embedded = known_models(tmp_path)["street-tiny"]
    assert weights_folder(embedded) == tmp_path / "street-tiny"


@pytest.mark.parametrize("name", ["streetclip", "hf:a/b", "hf-hub:a/b", "ViT-B-32:openai", "."])
def test_names_that_can_be_models(name: str) -> None:
    check_model_name(name)


def test_other_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(GeoclipError, match="did you mean clip-l-336"):
        check_model_name("clip-l-366")


def test_table(cache: Path) -> None:
    put_weights(cache, "geolocal/StreetCLIP")
    result = run()
    assert result.exit_code == 0
    assert "CC BY-NC 4.0" in result.stdout
    rows = {line.split()[1]: line for line in result.stdout.splitlines() if "hf:" in line}
    assert " yes " in rows["streetclip"]
    assert " no " in rows["siglip"]


def test_which_models_are_calibrated(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOCLIP_DATA", str(tmp_path / "data"))
    own = settings_folder("hf:geolocal/StreetCLIP")
    own.mkdir(parents=True)
    ModelSettings(ranking=RankingSettings(radius_share=0.5)).write(own)
    listed = {model["name"]: model["calibrated"] for model in json.loads(run("--json").stdout)}
    assert {name for name in listed if listed[name]} == {"streetclip", "street-tiny"}


def test_json(cache: Path) -> None:
    folder = put_weights(cache, "timm/ViT-B-16-SigLIP", "open_clip_model.safetensors")
    listed = {model["name"]: model for model in json.loads(run("--json").stdout)}
    assert set(listed) == set(KNOWN_MODELS)
    assert listed["siglip"]["on_this_machine"] is True
    assert listed["siglip"]["folder"] == str(folder)
    assert listed["streetclip"]["on_this_machine"] is False
    assert listed["streetclip"]["weights"] == "hf:geolocal/StreetCLIP"


def test_what_is_here_and_does_not_load_is_said_with_the_reason(cache: Path) -> None:
    folder = put_weights(cache, "geolocal/StreetCLIP")
    put_weights(cache, "timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors")
    listed = {model["name"]: model for model in json.loads(run("--json").stdout)}
    assert listed["streetclip"]["loads"] is False
    assert str(folder) in listed["streetclip"]["problem"]
    assert listed["clip-b-32"]["loads"] is False and listed["siglip2"]["loads"] is None
    assert "open_clip_model.safetensors" in listed["clip-b-32"]["problem"]
    shown = run().stdout
    assert "streetclip does not load: " in shown and "siglip2 does not" not in shown


def test_open_clips_own_models_need_no_more_than_their_weights(cache: Path) -> None:
    folder = put_weights(cache, "timm/vit_base_patch32_clip_224.openai", "x")
    save_file({"a": torch.ones(1)}, folder / "open_clip_model.safetensors")
    listed = {model["name"]: model for model in json.loads(run("--json").stdout)}
    assert listed["clip-b-32"]["loads"] is True and listed["street-tiny"]["loads"] is True


def test_half_a_download_is_not_here(cache: Path) -> None:
    folder = put_weights(cache, "geolocal/StreetCLIP", "config.json")
    assert weights_folder(KNOWN_MODELS["streetclip"]) is None
    (folder / "model.safetensors").symlink_to(cache / "absent")
    assert weights_folder(KNOWN_MODELS["streetclip"]) is None


def test_pickled_weights_are_not_here_because_they_are_refused(cache: Path) -> None:
    put_weights(cache, "geolocal/StreetCLIP", "pytorch_model.bin")
    assert weights_folder(KNOWN_MODELS["streetclip"]) is None


@pytest.mark.parametrize("variable, below", [("HF_HOME", "hub"), ("HF_HUB_CACHE", ".")])
def test_the_cache_is_where_the_hubs_own_variables_say(
    tmp_path: Path, variable: str, below: str
) -> None:
    folder = put_weights(tmp_path / below, "geolocal/StreetCLIP")
    others = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    code = "from geoclip.commands.app import app; app(['models', '--json'])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**others, variable: str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    listed = {model["name"]: model for model in json.loads(result.stdout)}
    assert listed["streetclip"]["folder"] == str(folder)
    assert listed["siglip"]["on_this_machine"] is False


@pytest.mark.parametrize(
    ("name", "converted"),
    [
        ("open_clip_pytorch_model.bin", "open_clip_model.safetensors"),
        ("pytorch_model.bin", "model.safetensors"),
        ("epoch_3.pt", "epoch_3.safetensors"),
    ],
)
def test_convert(tmp_path: Path, name: str, converted: str) -> None:
    weight = torch.arange(6.0).reshape(2, 3).T
    state = {"module.a": weight, "module.tied": weight, "b": torch.ones(2, dtype=torch.float16)}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / name)
    result = run("convert", tmp_path / name)
    assert result.exit_code == 0, result.output
    stored = load_file(tmp_path / converted)
    assert set(stored) == {"a", "tied", "b"}
    assert torch.equal(stored["a"], weight)
    assert stored["b"].dtype == torch.float16
    assert (tmp_path / name).is_file()
    again = run("convert", tmp_path / name)
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_convert_into_another_folder(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.bin")
    assert run("convert", tmp_path / "w.bin", "--out", tmp_path / "new").exit_code == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["w.safetensors"]


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_refused_files(tmp_path: Path) -> None:
    mark = tmp_path / "the code ran"
    torch.save({"a": Trap(mark)}, tmp_path / "trap.bin")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Trap(mark)))
    (tmp_path / "text.bin").write_text("no weights")
    (tmp_path / "empty.bin").touch()
    torch.save([torch.ones(1)], tmp_path / "list.bin")
    torch.save({"a": 1}, tmp_path / "number.bin")
    for path in [*sorted(tmp_path.glob("*.bin")), tmp_path / "absent.bin"]:
        result = run("convert", path)
        assert result.exit_code == 2, path
        assert result.stderr.startswith("geoclip: ")
        assert path.name in result.stderr
        assert result.stderr.count("\n") == 1
    assert not mark.exists()
    assert not list(tmp_path.glob("*safetensors*"))
