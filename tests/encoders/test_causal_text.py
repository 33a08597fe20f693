"""Causal text towers: shared prefixes against every text by itself, at full length."""

import numpy as np
import pytest
import torch
from same_features import assert_same_features_and_gradients
from tiny_encoders import clip_encoder

from geoclip.encoders import open_clip_text
from geoclip.encoders.causal_text import PrefixTree
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.encoders.open_clip_text import encode_causal_text

TEXTS = [
    "A Street View photo in France.",
    "A Street View photo close to the town of Lyon in France.",
    "A Street View photo close to the town of Lyon in the region of Lyon in France.",
    "A Street View photo",
    "",
    "Something else",
    "A Street View photo in France.",
]


def random_tokens(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of few different tokens, so that many prefixes are shared, and their ends."""
    rng = np.random.default_rng(seed)
    tokens = torch.from_numpy(rng.integers(0, 3, (rng.integers(1, 9), rng.integers(1, 6))))
    return tokens, torch.from_numpy(rng.integers(0, tokens.shape[1], len(tokens)))


@pytest.mark.parametrize("seed", range(40))
def test_nodes_are_the_distinct_beginnings(seed):
    tokens, ends = random_tokens(seed)
    tree = PrefixTree.of(tokens, ends)
    beginnings = [
        [tuple(row[: j + 1]) for j in range(int(end) + 1)]
        for row, end in zip(tokens.tolist(), ends, strict=True)
    ]
    # Two texts share a node exactly while their tokens agree.
    named = {}
    for found, expected in zip(tree.node.tolist(), beginnings, strict=True):
        for node, beginning in zip(found, expected, strict=False):
            assert named.setdefault(node, beginning) == beginning
    assert len(named) == len({b for row in beginnings for b in row}) == len(tree.first)
    row_of, column_of = tree.first // tokens.shape[1], tree.first % tokens.shape[1]
    for node, (row, column) in enumerate(zip(row_of.tolist(), column_of.tolist(), strict=True)):
        assert beginnings[row][column] == named[node]
    assert [named[node] for node in tree.end.tolist()] == [row[-1] for row in beginnings]


def towers() -> list[tuple[str, OpenClipEncoder]]:
    return [
        ("plain", clip_encoder({"layers": 3})),
        ("its own tower", clip_encoder({"vocab_size": 512, "layers": 2}, custom_text=True)),
        ("end by id", clip_encoder({"pool_type": "eos", "eos_id": 511}, custom_text=True)),
        ("projection with bias", clip_encoder({"proj_bias": True}, custom_text=True)),
        ("no projection", clip_encoder({"proj_type": "none", "width": 32}, custom_text=True)),
        ("scaled layers", clip_encoder({"ls_init_value": 0.3}, custom_text=True)),
        ("another kind of block", clip_encoder({"qk_norm": True}, custom_text=True)),
    ]


TOWERS = towers()


@pytest.mark.parametrize("encoder", [e for _, e in TOWERS], ids=[name for name, _ in TOWERS])
def test_features_and_gradients_are_those_of_each_text_alone(encoder):
    assert encoder.can_cut
    encoder.model.double()
    tower = encoder._text_tower
    full = encoder.tokenizer(TEXTS)
    alone = torch.cat([encoder.model.encode_text(row[None]) for row in full])
    together = encode_causal_text(tower, encoder.tokenize(TEXTS))
    weights = [p for p in encoder.tower_parameters("text") if p.requires_grad]
    assert_same_features_and_gradients(together, alone, weights)


def test_checkpointed_blocks_are_run_again_and_give_the_same_gradients():
    encoder = clip_encoder({"layers": 2})
    encoder.model.double().train()
    weight, passes = encoder.model.token_embedding.weight, []
    encoder.model.transformer.resblocks[1].mlp.register_forward_pre_hook(
        lambda *_: passes.append(1)
    )
    found = []
    for checkpointing in (False, True):
        encoder.model.transformer.grad_checkpointing = checkpointing
        features = encode_causal_text(encoder.model, encoder.tokenize(TEXTS))
        found += torch.autograd.grad(features.square().sum(), weight)
    assert len(passes) == 1 + 2
    torch.testing.assert_close(found[0], found[1], atol=1e-12, rtol=1e-9)


def test_a_beginning_is_computed_once():
    encoder = clip_encoder()
    tower, rows = encoder.model, []
    tower.transformer.resblocks[0].mlp.register_forward_hook(
        lambda module, inputs, output: rows.append(len(inputs[0]))
    )
    tokens = encoder.tokenize(["A Street View photo in France.", "A Street View photo in Japan."])
    encode_causal_text(tower, tokens)
    assert tokens.shape == (2, 8)
    assert rows == [6 + 2 * 2]  # start, five words; then two by two


def test_blocks_whose_weights_come_by_a_hook_are_called_whole(monkeypatch):
    encoder = clip_encoder()
    tokens = encoder.tokenize(TEXTS)
    expected = encode_causal_text(encoder.model, tokens)
    called = []
    encoder.model.transformer.resblocks[0].register_forward_pre_hook(
        lambda module, inputs: called.append(1)
    )
    monkeypatch.setattr(open_clip_text, "_on_tree", None)
    torch.testing.assert_close(encode_causal_text(encoder.model, tokens), expected)
    assert called == [1]
