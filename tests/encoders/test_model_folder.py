"""Folders that would give wrong answers, or none, are refused, with file and cure."""

import gzip
import json
import shutil

import open_clip
import pytest
import torch
from hub_layouts import LAYOUTS, write_layout
from PIL import Image
from safetensors.torch import load_file, save_file

from geoclip.encoders import load_encoder
from geoclip.encoders.conversion import convert_state_dict
from geoclip.encoders.model_folder import (
    ModelFolder,
    library_of,
    refuse_disguised,
    weights_among,
)
from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionBook

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 1710671599\n"
)
BY_ID = {layout.hub_id: layout for layout in LAYOUTS}
CLIP, SIGLIP2 = "patrickjohncyh/fashion-clip", "google/siglip2-base-patch16-224"
OPEN_CLIP, TIMM_SIGLIP = "imageomics/bioclip", "timm/ViT-B-16-SigLIP"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    home = tmp_path_factory.mktemp("layouts")
    return {
        name: write_layout(BY_ID[name], home / BY_ID[name].label)
        for name in (CLIP, SIGLIP2, OPEN_CLIP, TIMM_SIGLIP)
    }


@pytest.fixture
def copy(written, tmp_path):
    def copied(name):
        return shutil.copytree(written[name], tmp_path / BY_ID[name].label)

    return copied


def refused(folder, *words):
    """The one sentence that refuses a folder; it contains the words."""
    with pytest.raises(GeoclipError) as caught:
        load_encoder(folder)
    sentence = str(caught.value)
    assert len(sentence.splitlines()) == 1 and str(folder) in sentence
    for word in words:
        assert word in sentence, sentence
    return sentence


def edit(file, **changes):
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | changes))


def shard(folder, parts=2):
    """Split the weights as the hub does."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-{i + 1:05}-of-{parts:05}.safetensors" for i in range(parts)]
    placed = {key: names[i % parts] for i, key in enumerate(sorted(tensors))}
    for name in names:
        kept = {key: tensors[key] for key, place in placed.items() if place == name}
        save_file(kept, folder / name, {"format": "pt"})
    index = {"metadata": {"total_size": 0}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return names


@pytest.mark.parametrize(
    "missing",
    [("vocab.json", "merges.txt", "tokenizer.json"), ("merges.txt", "tokenizer.json")],
)
def test_a_tokenizer_without_its_files(copy, missing):
    folder = copy(CLIP)
    for name in missing:
        (folder / name).unlink()
    refused(folder, missing[-1] if len(missing) == 3 else "merges.txt", "copy that file")


@pytest.mark.parametrize("name", [CLIP, SIGLIP2, TIMM_SIGLIP])
def test_a_tokenizer_that_makes_captions_alike(copy, name):
    """An empty vocabulary, as a library invents for missing files."""
    folder = copy(name)
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    special = [token["content"] for token in content["added_tokens"]]
    if isinstance(vocabulary, dict):
        content["model"] |= {"vocab": {t: i for t, i in vocabulary.items() if t in special}}
        content["model"] |= {"merges": [], "byte_fallback": False}
    else:
        content["model"]["vocab"] = [entry for entry in vocabulary if entry[0] in special]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    for other in ("vocab.json", "merges.txt"):
        (folder / other).unlink(missing_ok=True)
    refused(folder, "captions alike", "copy")


def test_an_open_clip_folder_without_its_tokenizer(copy):
    folder = copy(TIMM_SIGLIP)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    refused(folder, "tokenizer.json", "copy that file")


def test_a_tokenizer_of_another_model(copy, written):
    folder = copy(SIGLIP2)
    shutil.copyfile(written[CLIP] / "tokenizer.json", folder / "tokenizer.json")
    refused(folder, "tokenizer", "copy")


def test_pictures_of_another_size(copy):
    folder = copy(CLIP)
    edit(
        folder / "preprocessor_config.json",
        size={"shortest_edge": 336},
        crop_size={"height": 336, "width": 336},
    )
    refused(folder, "preprocessor_config.json", "336 × 336", "224 × 224")


def test_open_clip_makes_pictures_as_large_as_its_tower_takes_them(copy):
    folder = copy(OPEN_CLIP)
    content = json.loads((folder / "open_clip_config.json").read_text())
    content["preprocess_cfg"]["size"] = 336
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    encoder = load_encoder(folder)
    assert encoder.preprocess(Image.new("RGB", (400, 300))).shape == (3, 224, 224)


def test_pictures_that_are_not_cropped(copy):
    folder = copy(CLIP)
    edit(folder / "preprocessor_config.json", do_center_crop=False)
    refused(folder, "preprocessor_config.json", "224 × 224")


@pytest.mark.parametrize(
    "name", ["CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor"]
)
def test_a_preprocessor_that_another_version_names_otherwise(copy, written, name):
    from test_hub_layouts import image

    folder = copy(CLIP)
    edit(folder / "preprocessor_config.json", image_processor_type=name)
    expected = load_encoder(written[CLIP]).preprocess(image())
    assert torch.equal(load_encoder(folder).preprocess(image()), expected)


def test_a_preprocessor_of_an_unknown_class(copy):
    folder = copy(CLIP)
    edit(folder / "preprocessor_config.json", image_processor_type="CleverImageProcessor")
    refused(folder, "preprocessor_config.json", "CleverImageProcessor", "CLIPImageProcessor")


def test_no_preprocessor(copy):
    folder = copy(CLIP)
    (folder / "preprocessor_config.json").unlink()
    refused(folder, "preprocessor_config.json", "copy")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (CLIP, "model.safetensors"),
        (OPEN_CLIP, "open_clip_model.safetensors"),
        (SIGLIP2, "tokenizer.json"),
    ],
)
def test_a_pointer_of_git_lfs(copy, name, file):
    folder = copy(name)
    (folder / file).write_text(POINTER)
    refused(folder, file, f"git -C {folder} lfs pull")


def test_a_pointer_in_the_place_of_a_pickle(copy):
    folder = copy(CLIP)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_text(POINTER)
    refused(folder, "pytorch_model.bin", "lfs pull")


def test_weights_that_are_packed_or_renamed(copy):
    file = (folder := copy(OPEN_CLIP)) / "open_clip_model.safetensors"
    weights = file.read_bytes()
    file.write_bytes(gzip.compress(weights))
    refused(folder, file.name, "packed with gzip; unpack it with gzip -dc")
    file.rename(f"{file}.gz")
    refused(folder, f"packed with gzip; unpack it with: gzip -d {file}.gz")
    torch.save({"weight": torch.zeros(3)}, file)
    refused(folder, file.name, "a pickle under another name", "geoclip models convert")
    torch.save({"weight": torch.zeros(3)}, file, _use_new_zipfile_serialization=False)
    refused(folder, file.name, "a pickle under another name")
    file.write_bytes(weights)
    assert load_encoder(folder).image_size
    packed = folder / "other.bin"
    packed.write_bytes(gzip.compress(weights))
    with pytest.raises(GeoclipError, match=r"other.bin is packed with gzip; unpack it with"):
        convert_state_dict(packed)


@pytest.mark.parametrize("length", [0x8B1F, 0x0280])
def test_weights_whose_header_is_as_long_as_a_sign_of_others(tmp_path, length):
    """Safetensors begin with that length; these equal the first bytes of gzip and pickle."""
    file = tmp_path / "model.safetensors"
    save_file({"x": torch.zeros(1)}, file)
    own = int.from_bytes(file.read_bytes()[:8], "little")
    header, values = file.read_bytes()[8 : 8 + own], file.read_bytes()[8 + own :]
    file.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + values)
    refuse_disguised(file)
    assert load_file(file)["x"].tolist() == [0]


def test_the_pickle_of_the_weights_is_named_among_others(copy):
    folder = copy(CLIP)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "optimizer.pt").touch()
    refused(folder, f"geoclip models convert {folder / 'pytorch_model.bin'}")


def test_a_link_to_weights_that_are_gone(copy):
    folder = copy(CLIP)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "absent")
    refused(folder, "no safetensors weights")


def test_an_encoder_whose_folder_is_gone_is_not_saved_without_its_tokenizer(copy, tmp_path):
    folder = copy(CLIP)
    encoder = load_encoder(folder)
    shutil.rmtree(folder)
    with pytest.raises(GeoclipError, match="is gone"):
        encoder.save(tmp_path / "saved")


def test_clips_tokens_are_open_clips_own(copy, world):
    encoder, book = load_encoder(copy(CLIP)), CaptionBook(world)
    prompts = [book.prompts(row)[0] for row in range(0, len(world), len(world) // 200)]
    theirs = open_clip.SimpleTokenizer()(prompts)
    ours = encoder.tokenize(prompts)
    for mine, other in zip(ours.tolist(), theirs.tolist(), strict=True):
        length = mine.index(49407) + 1
        assert mine[:length] == other[:length] and not any(other[length:])


def test_pointers_that_nobody_needs_are_no_harm(copy):
    folder = copy(CLIP)
    (folder / "pytorch_model.bin").write_text(POINTER)
    (folder / "tf_model.h5").write_text(POINTER)
    load_encoder(folder)


def test_shards_that_are_all_there(copy, written):
    folder = copy(CLIP)
    shard(folder)
    ours, whole = (load_encoder(path).model.state_dict() for path in (folder, written[CLIP]))
    assert all(torch.equal(ours[key], whole[key]) for key in whole)


def test_half_a_sharded_checkpoint(copy):
    folder = copy(CLIP)
    names = shard(folder, 3)
    (folder / names[1]).unlink()
    refused(folder, names[1], "1 of the 3", "copy")


def test_shards_without_their_index(copy):
    folder = copy(CLIP)
    shard(folder)
    (folder / "model.safetensors.index.json").unlink()
    refused(folder, "model.safetensors.index.json", "copy")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_lists_nothing(copy, content):
    folder = copy(CLIP)
    shard(folder)
    (folder / "model.safetensors.index.json").write_text(content)
    refused(folder, "model.safetensors.index.json")


def test_weights_of_one_tower_alone(copy):
    """transformers would use random weights for the missing ones."""
    folder = copy(CLIP)
    tensors = load_file(folder / "model.safetensors")
    text = {key: value for key, value in tensors.items() if not key.startswith("vision_")}
    save_file(text, folder / "model.safetensors", {"format": "pt"})
    refused(folder, "lack", "vision_model.", "copy")


@pytest.mark.parametrize("length", [0, 7, 500, 100_000])
def test_a_damaged_file_is_found_by_its_header(copy, length):
    folder = copy(CLIP)
    ModelFolder.read(folder).check()
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(GeoclipError, match=r"model\.safetensors is no complete file"):
        ModelFolder.read(folder).check()


@pytest.mark.parametrize(
    ("names", "library", "weights"),
    [
        (["config.json", "model.safetensors"], "transformers", ["model.safetensors"]),
        (["open_clip_config.json", "x.safetensors"], "open_clip", ["x.safetensors"]),
        (
            ["config.json", "model.safetensors", "open_clip_config.json"],
            "transformers",
            ["model.safetensors"],
        ),
        (
            ["config.json", "open_clip_config.json", "open_clip_pytorch_model.bin"],
            "open_clip",
            [],
        ),
        (
            ["open_clip_config.json", "model.safetensors", "open_clip_model.safetensors"],
            "open_clip",
            ["open_clip_model.safetensors"],
        ),
        (["config.json", "weights.safetensors"], "transformers", []),
        (["model.safetensors"], None, []),
    ],
)
def test_which_files_are_the_weights(names, library, weights):
    assert library_of(names) == library
    assert library is None or weights_among(names, library) == weights
