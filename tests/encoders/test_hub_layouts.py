"""Every published layout, from a cache of the hub: loaded, used, tuned, read elsewhere."""

import json
from pathlib import Path

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from hub_layouts import LARGE, LAYOUTS, NAFLEX, clip_config, write_hub_cache, write_layout
from PIL import Image

from geoclip.encoders import load_encoder
from geoclip.encoders.conversion import convert_state_dict
from geoclip.encoders.hub import check_weights, weights_folder
from geoclip.encoders.registry import KNOWN_MODELS, KnownModel
from geoclip.errors import GeoclipError
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.places.captions import CaptionBook
from geoclip.training.batches import Batches
from geoclip.training.photo_set import PhotoSet
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer

TEXTS = ["A Street View photo in Peru.", "A Street View photo from Saint-Denis, Réunion."]
ONE_STEP = TrainingSettings(epochs=1, batch_size=4, learning_rate=1e-3, warmup=0.0, augment=False)


QUICK = {  # one of each kind; the others are slow tests
    "geolocal/StreetCLIP",
    "google/siglip-base-patch16-224",
    "google/siglip2-base-patch16-224",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "timm/ViT-B-16-SigLIP",
}


def each(layouts):
    """Test parameters of the layouts, by their names on the hub."""
    marks = {
        layout.hub_id: () if layout.hub_id in QUICK else pytest.mark.slow for layout in layouts
    }
    found = [pytest.param(a, id=a.hub_id, marks=marks[a.hub_id]) for a in layouts]
    return pytest.mark.parametrize("layout", found)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An empty cache of the hub, and no hub that can be reached."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.setenv("GEOCLIP_DATA", str(home / "data"))
        patch.setenv("GEOCLIP_CACHE", str(home / "places"))
        yield home


def image(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def plain(folder: Path, library: str, tokens: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of `image()` and of tokens by the library alone, from a folder."""
    if library == "open_clip":
        model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        pixels = preprocess(image())[None]
        encoders = model.encode_image, model.encode_text
    else:
        from transformers import AutoImageProcessor, AutoModel

        model = AutoModel.from_pretrained(folder)
        made = AutoImageProcessor.from_pretrained(folder)(images=image(), return_tensors="pt")
        pixels = made["pixel_values"]
        encoders = model.get_image_features, model.get_text_features
    model.eval()
    with torch.no_grad():
        outputs = encoders[0](pixels), encoders[1](tokens)
    features = [getattr(output, "pooler_output", output) for output in outputs]
    pictures, texts = (f / f.norm(dim=-1, keepdim=True) for f in features)
    return pictures.numpy(), texts.numpy()


def full_tokens(encoder, texts):
    """Tokens at the tower's whole length, as the library itself pads them."""
    tokens = encoder.tokenize(texts)
    if isinstance(encoder.tokenizer, open_clip.SimpleTokenizer):
        return encoder.tokenizer(texts)
    if getattr(encoder, "causal", False):
        return encoder.tokenizer(texts, padding="max_length", return_tensors="pt")["input_ids"]
    return tokens


def assert_same(encoder, folder, library):
    pictures, texts = plain(folder, library, full_tokens(encoder, TEXTS))
    np.testing.assert_allclose(encoder.encode_images([image()]), pictures, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, atol=1e-5)


@each(LAYOUTS)
def test_a_published_layout_is_located_with_tuned_and_read_elsewhere(
    layout, home, tiny_world, photos, tmp_path
):
    write_hub_cache(home / "hub", layout)
    name = f"hf:{layout.hub_id}"
    locator = Locator.from_pretrained(name, tiny_world)
    encoder = locator.encoder
    assert_same(encoder, encoder.folder, layout.library)
    known = KnownModel("x", layout.library, "", 1, "MIT", "", layout.hub_id, whole=True)
    assert weights_folder(known) == encoder.folder
    check_weights(known)
    row = locator.locate([image()], LocateSettings(level="country"), top_k=1).iloc[0]
    assert row["status"] == "ok" and row["country_code"] in {"FR", "BE", "NA", "SG"}

    tuned = load_encoder(name)
    few = PhotoSet(photos.ids[:4], photos.paths[:4], photos.rows[:4])
    loss = "siglip" if tuned.logit_bias is not None else "clip"
    settings = TrainingSettings(**{**vars(ONE_STEP), "loss": loss})
    trainer = Trainer(Batches(tuned, CaptionBook(tiny_world), few, settings))
    assert [np.isfinite(step["loss"]) for step in trainer.run()] == [True]
    trainer.finish()
    assert np.abs(tuned.encode_texts(TEXTS) - encoder.encode_texts(TEXTS)).max() > 1e-4
    tuned.save(tmp_path / "tuned")
    assert_same(tuned, tmp_path / "tuned", layout.library)
    again = load_encoder(tmp_path / "tuned")
    np.testing.assert_allclose(again.encode_texts(TEXTS), tuned.encode_texts(TEXTS), atol=1e-6)
    assert again.fingerprint() == tuned.fingerprint()


@each([layout for layout in LAYOUTS if layout.pickled])
def test_a_local_copy_with_a_pickle_loads_after_the_command_that_the_refusal_names(
    layout, tmp_path
):
    folder = write_layout(layout, tmp_path)
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    with pytest.raises(GeoclipError) as caught:
        load_encoder(folder)
    command, file = str(caught.value).rsplit(" ", 1)
    assert command.endswith("geoclip models convert")
    convert_state_dict(file)
    for name, value in load_encoder(folder).model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_model_of_variable_picture_size_is_refused_and_another_is_named(tmp_path):
    with pytest.raises(GeoclipError, match="NaFlex") as caught:
        load_encoder(write_layout(NAFLEX, tmp_path))
    assert "google/siglip2-base-patch16-224" in str(caught.value)


def test_a_repository_of_two_layouts_is_read_in_that_of_its_safetensors(tmp_path):
    laion = next(layout for layout in LAYOUTS if layout.hub_id.startswith("laion/"))
    folder = write_layout(laion, tmp_path)
    assert type(load_encoder(folder)).__name__ == "OpenClipEncoder"
    (folder / "open_clip_model.safetensors").rename(folder / "open_clip_pytorch_model.bin")
    encoder = load_encoder(folder)
    assert type(encoder).__name__ == "TransformersEncoder"
    assert_same(encoder, folder, "transformers")


@pytest.mark.parametrize(
    ("tag", "hub_id"),
    [
        ("ViT-B-32-quickgelu:metaclip_400m", "timm/vit_base_patch32_clip_224.metaclip_400m"),
        pytest.param(
            "MobileCLIP2-S0:dfndr2b", "timm/MobileCLIP2-S0-OpenCLIP", marks=pytest.mark.slow
        ),
    ],
)
def test_a_tag_of_open_clip_loads_from_the_cache(tag, hub_id, home, monkeypatch):
    """open_clip's own list defines a tag; only the sizes of its towers are made small."""
    layout = next(layout for layout in LAYOUTS if layout.hub_id == hub_id)
    snapshot = write_hub_cache(home / "hub", layout)
    config = json.loads((snapshot / "open_clip_config.json").read_text())["model_cfg"]
    architecture = tag.split(":")[0]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, architecture, config)
    encoder, folder = load_encoder(tag), load_encoder(f"hf:{hub_id}")
    assert encoder.tokenize(TEXTS).tolist() == folder.tokenize(TEXTS).tolist()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), folder.encode_texts(TEXTS), atol=1e-6)
    np.testing.assert_allclose(
        encoder.encode_images([image()]), folder.encode_images([image()]), atol=1e-6
    )


@pytest.mark.parametrize("name", ["siglip", "siglip2"])
def test_a_known_siglip_is_its_repository(name, home):
    known = KNOWN_MODELS[name]
    layout = next(layout for layout in LAYOUTS if layout.hub_id == known.hub_id)
    write_hub_cache(home / "hub", layout)
    check_weights(known)
    encoder, folder = load_encoder(name), load_encoder(f"hf:{known.hub_id}")
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS), folder.encode_texts(TEXTS))


def test_the_full_size_layout_has_as_many_weights_as_the_published_model():
    from transformers import CLIPConfig, CLIPModel

    config = clip_config(336, 14, **LARGE)
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig.from_dict(config))
    assert sum(p.numel() for p in model.parameters()) == 427_944_193
