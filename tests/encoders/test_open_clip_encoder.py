"""Encoders of open_clip: exact cutting, activations, what is written and read."""

import json

import numpy as np
import open_clip
import pytest
import torch
from hub_layouts import mobile_config
from PIL import Image
from safetensors.torch import load_file
from tiny_encoders import clip_encoder, random_tiny_clip, siglip_like_encoder, timm_encoder

from geoclip.encoders import open_clip_encoder
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.errors import GeoclipError

TEXTS = ["Lyon", "A Street View photo close to the town of Ōsaka in Japan.", "Nice! !", ""]


def noise_images(count=3, size=(50, 40)):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for _ in range(count)]


@pytest.fixture(scope="module")
def tiny():
    return random_tiny_clip()


def full_vocabulary(**text):
    return clip_encoder({"vocab_size": 49408, **text}, custom_text=True)


@pytest.mark.parametrize("make", [random_tiny_clip, full_vocabulary])
@pytest.mark.parametrize("text", [*TEXTS, "Saint-Louis-du-Ha! Ha!", "!" * 40])
def test_cut_tokens_give_the_embedding_of_the_full_length(make, text):
    encoder = make()
    cut, full = encoder.tokenize([text]), encoder.tokenizer([text])
    assert encoder.can_cut and cut.shape[1] <= full.shape[1]
    assert len(text) > 20 or cut.shape[1] < 10
    with torch.no_grad():
        expected = encoder.model.encode_text(full, normalize=True)
        torch.testing.assert_close(encoder.text_features(cut), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(encoder.text_features(full), expected, atol=1e-5, rtol=0)


def test_neighbours_in_a_batch_do_not_change_an_embedding(tiny):
    together = tiny.encode_texts(TEXTS)
    alone = np.concatenate([tiny.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(
    "text", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}]
)
def test_towers_that_look_beyond_the_end_are_not_cut(text):
    encoder = full_vocabulary(**text)
    tokens = encoder.tokenize(["Lyon"])
    assert not encoder.can_cut and tokens.shape[1] >= 31
    with torch.no_grad():
        expected = encoder.model.encode_text(tokens, normalize=True)
        assert torch.equal(encoder.text_features(tokens), expected)


def test_texts_are_encoded_once_and_come_back_in_order(tiny, monkeypatch):
    counts = []
    tokenize = tiny.tokenize
    monkeypatch.setattr(tiny, "tokenize", lambda t: counts.append(len(t)) or tokenize(t))
    texts = ["Lyon", "a long text about Paris", "Lyon", "Nice", "Lyon"]
    embeddings = tiny.encode_texts(texts, batch_size=2)
    assert sum(counts) == 3 and max(counts) == 2
    assert np.array_equal(embeddings[0], embeddings[2])
    singles = np.concatenate([tiny.encode_texts([t]) for t in texts])
    np.testing.assert_allclose(embeddings, singles, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert embeddings.dtype == np.float32


def test_nothing_in_nothing_out(tiny):
    assert tiny.encode_texts([]).shape == (0, 32)
    assert tiny.encode_images([]).shape == (0, 32)


def test_random_weights_come_with_a_notice(tiny):
    assert any("random weights" in notice for notice in tiny.warnings)
    assert "random-tiny" in repr(tiny)


def test_towers_share_out_all_parameters_but_the_scalars():
    encoder = siglip_like_encoder()
    images, texts = (encoder.tower_parameters(t) for t in ("image", "text"))
    assert not {id(p) for p in images} & {id(p) for p in texts}
    assert len(images) + len(texts) + 2 == len(list(encoder.model.parameters()))
    assert any(p is encoder.model.visual.proj for p in images)
    assert any(p is encoder.model.text.token_embedding.weight for p in texts)


def test_fingerprint_changes_with_the_text_tower_alone():
    encoder = clip_encoder()
    before = encoder.fingerprint()
    assert before == clip_encoder().fingerprint()
    with torch.no_grad():
        encoder.tower_parameters("image")[0].add_(1)
        encoder.log_logit_scale.add_(1)
    assert encoder.fingerprint() == before
    with torch.no_grad():
        encoder.model.text_projection.mul_(1.001)
    assert encoder.fingerprint() != before


@pytest.mark.parametrize("tower", ["test_efficientnet", "test_resnet", "convnext_zepto_rms"])
def test_channels_last_changes_the_speed_and_not_the_embeddings(tower):
    encoder = timm_encoder(tower)
    weights = [p for p in encoder.model.visual.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    pixels = torch.randn(4, 3, 32, 32)
    plain = timm_encoder(tower).model.to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        expected = plain.encode_image(pixels, normalize=True)
        torch.testing.assert_close(encoder.image_features(pixels), expected, atol=1e-5, rtol=0)


def test_towers_that_skip_pixels_keep_the_plain_order():
    """The gradient of a strided 1 × 1 convolution of pixels would write beyond its memory."""
    assert (
        OpenClipEncoder.from_config("mobile", mobile_config()).memory_format
        == torch.contiguous_format
    )
    assert timm_encoder().memory_format == torch.channels_last


@pytest.mark.parametrize(
    "make", [random_tiny_clip, lambda: timm_encoder(full_vocabulary=True), siglip_like_encoder]
)
def test_what_is_saved_loads_again_with_the_same_embeddings(make, tmp_path):
    encoder = make()
    open_clip.set_model_preprocess_cfg(
        encoder.model, encoder.preprocess_config | {"mean": (0.1, 0.2, 0.3)}
    )
    encoder = OpenClipEncoder("x", encoder.model, encoder.tokenizer, encoder.model_config)
    encoder.save(tmp_path)
    again = OpenClipEncoder.from_folder(tmp_path)
    tokens = torch.randint(1, 500, (2, encoder.model.context_length))
    images = noise_images()
    with torch.no_grad():
        expected = encoder.text_features(tokens)
        torch.testing.assert_close(again.text_features(tokens), expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(
        again.encode_images(images), encoder.encode_images(images), atol=1e-6
    )
    assert tuple(again.normalization[0]) == (0.1, 0.2, 0.3)
    assert load_file(tmp_path / "open_clip_model.safetensors").keys()
    assert again.warnings == []


def test_half_precision_weights_load_in_full_precision(tmp_path):
    encoder = clip_encoder()
    encoder.model.half()
    encoder.save(tmp_path)
    again = OpenClipEncoder.from_folder(tmp_path)
    assert {p.dtype for p in again.model.parameters()} == {torch.float32}


def test_a_pickle_beside_the_weights_is_not_touched(tmp_path):
    encoder = random_tiny_clip()
    encoder.save(tmp_path)
    (tmp_path / "open_clip_model.safetensors").rename(tmp_path / "weights.safetensors")
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"a pickle that open_clip would prefer")
    again = OpenClipEncoder.from_folder(tmp_path)
    np.testing.assert_allclose(again.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-6)


# QuickGELU ------------------------------------------------------------------------------------


@pytest.fixture
def tags(monkeypatch):
    """Architectures of which open_clip knows a tag, without any weights to download."""
    tiny = {"embed_dim": 32, **random_tiny_clip().model_config}
    configs = {"tiny": tiny, "tiny-quickgelu": {**tiny, "quick_gelu": True}}
    trained = {"openai": {"quick_gelu": True}, "laion": {}}
    asked = []

    def create_model(name, pretrained=None, force_quick_gelu=False, **_):
        asked.append((name, pretrained, force_quick_gelu))
        use_quick_gelu = force_quick_gelu or configs[name].get("quick_gelu", False)
        model = open_clip.CLIP(**{**tiny, "quick_gelu": use_quick_gelu})
        open_clip.set_model_preprocess_cfg(model, {"size": 32, "mode": "RGB"} | PREPROCESS)
        return model

    monkeypatch.setattr(open_clip_encoder.open_clip, "create_model", create_model)
    monkeypatch.setattr(
        open_clip_encoder.open_clip, "get_model_config", lambda name: dict(configs[name])
    )
    monkeypatch.setattr(
        open_clip_encoder.open_clip, "get_pretrained_cfg", lambda name, tag: trained[tag]
    )
    monkeypatch.setattr(
        open_clip_encoder.open_clip, "get_tokenizer", lambda name: open_clip.SimpleTokenizer()
    )
    return asked


PREPROCESS = {
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}


def activations(encoder):
    return {type(m).__name__ for m in encoder.model.modules() if "GELU" in type(m).__name__}


def test_quick_gelu_is_switched_on_for_weights_trained_with_it(tags, tmp_path):
    encoder = OpenClipEncoder.from_reference("tiny", "openai")
    assert activations(encoder) == {"QuickGELU"}
    assert any("QuickGELU" in notice for notice in encoder.warnings)
    encoder.save(tmp_path)
    written = json.loads((tmp_path / "open_clip_config.json").read_text())
    assert written["model_cfg"]["quick_gelu"] is True


def test_no_notice_where_the_architecture_says_it_already(tags):
    encoder = OpenClipEncoder.from_reference("tiny-quickgelu", "openai")
    assert activations(encoder) == {"QuickGELU"} and encoder.warnings == []


def test_weights_trained_without_quick_gelu_are_not_run_with_it(tags):
    assert activations(OpenClipEncoder.from_reference("tiny", "laion")) == {"GELU"}
    with pytest.raises(GeoclipError, match="use tiny:laion"):
        OpenClipEncoder.from_reference("tiny-quickgelu", "laion")


def test_random_tag_loads_no_weights_and_says_so(tags):
    encoder = OpenClipEncoder.from_reference("tiny", "random")
    assert tags == [("tiny", None, False)]
    assert "random weights" in encoder.warnings[0]


def test_the_activation_survives_saving(tmp_path):
    encoder = clip_encoder({"vocab_size": 49408}, quick_gelu=True)
    encoder.save(tmp_path)
    again = OpenClipEncoder.from_folder(tmp_path)
    assert activations(again) == {"QuickGELU"}
    np.testing.assert_allclose(again.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-6)
