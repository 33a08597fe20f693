"""transformers' CLIP texts: prefixes computed once against the library, a text at a time."""

import pytest
import torch
from hub_layouts import LAYOUTS, write_layout
from same_features import assert_same_features_and_gradients
from tiny_encoders import write_transformers_clip

from geoclip.encoders.loading import load_folder
from geoclip.encoders.transformers_encoder import TransformersEncoder

TEXTS = [
    "A Street View photo in France.",
    "A Street View photo from Lyon, France.",
    "A Street View photo from Lyon, Lyon, France.",
    "A Street View photo",
    "",
    "Something else!",
    "A Street View photo in France.",
    "in Lyon " * 60,
]
CLIP = [one for one in LAYOUTS if one.library == "transformers" and "siglip" not in one.hub_id]


def read_alone(encoder: TransformersEncoder, texts: list[str] = TEXTS) -> torch.Tensor:
    """Features by plain transformers: each text by itself, at full length."""
    rows = [
        encoder.tokenizer(
            text, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        )
        for text in texts
    ]
    return torch.cat([encoder.model.get_text_features(**row).pooler_output for row in rows])


@pytest.fixture(params=["end by id", "largest is end"])
def encoder(request, tmp_path):
    """Double precision, where rounding hides no fault."""
    found = TransformersEncoder.from_pretrained(write_transformers_clip(tmp_path / "clip"))
    if request.param == "largest is end":
        found.model.text_model.eos_token_id = 2  # as in early configs
    found.model.double()
    return found


@pytest.mark.parametrize("checkpointing", [False, True])
def test_features_and_gradients_are_those_of_each_text_alone(encoder, checkpointing):
    alone = read_alone(encoder)
    if checkpointing:
        encoder.model.gradient_checkpointing_enable()
        encoder.model.train()
    together = encoder.raw_text_features(encoder.tokenize(TEXTS))
    assert alone.std() > 1e-3
    weights = encoder.tower_parameters("text")
    assert_same_features_and_gradients(together, alone, weights)


@pytest.mark.parametrize("layout", [one for one in CLIP if not one.pickled], ids=lambda x: x.label)
def test_embeddings_of_published_layouts_are_those_of_plain_transformers(layout, tmp_path):
    encoder = load_folder(write_layout(layout, tmp_path))
    with torch.no_grad():
        alone = torch.nn.functional.normalize(read_alone(encoder), dim=-1)
    torch.testing.assert_close(
        torch.from_numpy(encoder.encode_texts(TEXTS)), alone, atol=1e-5, rtol=0
    )


def rows_through_the_first_mlp(encoder: TransformersEncoder, texts: list[str]) -> list[int]:
    rows: list[int] = []
    encoder.model.text_model.encoder.layers[0].mlp.register_forward_hook(
        lambda module, inputs, output: rows.append(inputs[0].shape[:-1].numel())
    )
    encoder.raw_text_features(encoder.tokenize(texts))
    return rows


def test_checkpointed_blocks_are_run_again_on_the_way_back(encoder):
    encoder.model.gradient_checkpointing_enable()
    encoder.model.train()
    passes = []
    encoder.model.text_model.encoder.layers[0].mlp.register_forward_pre_hook(
        lambda *_: passes.append(1)
    )
    features = encoder.raw_text_features(encoder.tokenize(TEXTS))
    assert len(passes) == 1
    features.sum().backward()
    assert len(passes) == 2


def test_a_prefix_is_computed_once(encoder):
    tokens = encoder.tokenize(TEXTS[:2])
    shared = int((tokens[0] == tokens[1]).cumprod(0).sum())
    ends = (tokens == encoder.tokenizer.eos_token_id).int().argmax(dim=1)
    assert shared > 4
    rows = rows_through_the_first_mlp(encoder, TEXTS[:2])
    assert rows == [shared + sum(int(end) + 1 - shared for end in ends)]


@pytest.mark.parametrize("why", ["hook", "dropout", "another class"])
def test_towers_that_cannot_be_taken_apart_are_run_by_transformers(encoder, why):
    layer = encoder.model.text_model.encoder.layers[1]
    if why == "hook":
        layer.register_forward_pre_hook(lambda module, inputs: None)
    elif why == "another class":
        layer.__class__ = type("OtherLayer", (type(layer),), {})
    else:
        encoder.model.train()
        layer.self_attn.dropout = 0.1
    rows = rows_through_the_first_mlp(encoder, TEXTS)
    assert rows == [encoder.tokenize(TEXTS).numel()]
    if why != "dropout":
        found = encoder.raw_text_features(encoder.tokenize(TEXTS))
        torch.testing.assert_close(found, read_alone(encoder), atol=1e-10, rtol=0)
