"""Which weights are tuned, by name, and steps with adapters against plain autograd."""

from dataclasses import replace

import pytest
import torch
from test_step import PLAIN, assert_same, global_batch, gradients, half_sum, plain_step, step
from test_step import training as in_training
from tiny_encoders import (
    clip_encoder,
    siglip_like_encoder,
    timm_encoder,
    write_transformers_clip,
)

from geoclip.encoders import Encoder, load_encoder
from geoclip.errors import GeoclipError
from geoclip.training.adapters import add_adapters, scale_adapters, without_adapters
from geoclip.training.optimizer import PeakRates, chosen_rate, freeze
from geoclip.training.settings import Tune
from geoclip.training.tuned_parts import tower_blocks

BOTH, IMAGE, TEXT = PeakRates(1.0, 1.0), PeakRates(1.0, 0.0), PeakRates(0.0, 1.0)


def tuned_names(encoder: Encoder, tune: str, rates: PeakRates = BOTH) -> set[str]:
    freeze(encoder, Tune.parse(tune), rates)
    return {name for name, p in encoder.model.named_parameters() if p.requires_grad}


def names(encoder: Encoder, *beginnings: str) -> set[str]:
    return {n for n, _ in encoder.model.named_parameters() if n.startswith(beginnings)}


def test_all_weights_are_tuned_or_those_of_one_tower() -> None:
    encoder = clip_encoder()
    assert tuned_names(encoder, "all") == names(encoder, "")
    assert tuned_names(encoder, "all", IMAGE) == names(encoder, "visual.", "logit_scale")
    text = names(encoder, "") - names(encoder, "visual.", "logit_scale")
    assert tuned_names(encoder, "all", TEXT) == text


def test_the_projection_of_open_clips_towers() -> None:
    encoder = clip_encoder()
    behind = ("visual.ln_post.", "visual.proj", "ln_final.", "text_projection", "logit_scale")
    assert tuned_names(encoder, "projection") == names(encoder, *behind)


def test_the_last_block_of_open_clips_towers_and_what_lies_behind() -> None:
    encoder = clip_encoder({"layers": 2})
    behind = ("visual.ln_post.", "visual.proj", "ln_final.", "text_projection", "logit_scale")
    last = ("visual.transformer.resblocks.1.", "transformer.resblocks.1.")
    assert tuned_names(encoder, "last:1") == names(encoder, *behind, *last)
    own = tuned_names(encoder, "last:2", IMAGE)
    assert own == names(
        encoder, "visual.ln_post.", "visual.proj", "logit_scale", "visual.transformer."
    )


def test_a_shorter_text_tower_is_tuned_as_far_as_it_goes() -> None:
    encoder = clip_encoder()  # two blocks, not one
    assert names(encoder, "transformer.resblocks.0.") <= tuned_names(encoder, "last:2")
    assert "token_embedding.weight" not in tuned_names(encoder, "last:2")


def test_the_last_stage_of_a_convolutional_tower() -> None:
    encoder = timm_encoder()
    stages = encoder.model.visual.trunk.blocks
    behind = ("visual.trunk.conv_head.", "visual.trunk.bn2.", "visual.head.")
    last = f"visual.trunk.blocks.{len(stages) - 1}."
    expected = names(encoder, *behind, last, "logit_scale")
    assert tuned_names(encoder, "last:1", IMAGE) == expected


def test_the_last_block_of_transformers_towers(tmp_path) -> None:
    encoder = load_encoder(write_transformers_clip(tmp_path / "start"))
    expected = names(
        encoder,
        *("vision_model.encoder.layers.1.", "vision_model.post_layernorm.", "visual_projection."),
        *("text_model.encoder.layers.1.", "text_model.final_layer_norm.", "text_projection."),
        "logit_scale",
    )
    assert tuned_names(encoder, "last:1") == expected


def test_siglips_bias_is_tuned_with_its_scale() -> None:
    assert {"logit_scale", "logit_bias"} <= tuned_names(siglip_like_encoder(), "projection")


@pytest.mark.parametrize("tune", ["some", "last", "last:0", "last:-1", "lora:", "all:2", "lora:x"])
def test_another_word_is_refused(tune) -> None:
    with pytest.raises(GeoclipError, match="use all, last:N"):
        Tune.parse(tune)


def test_more_blocks_than_there_are_are_refused() -> None:
    with pytest.raises(GeoclipError, match="has 2 blocks and 3 are to be tuned"):
        freeze(clip_encoder(), Tune("last", 3), BOTH)


def test_a_tower_without_blocks_is_refused() -> None:
    encoder = clip_encoder()
    encoder.model.visual.transformer.resblocks = torch.nn.ModuleDict()
    with pytest.raises(GeoclipError, match="image tower of tiny has no recognisable blocks"):
        freeze(encoder, Tune("last", 1), BOTH)


def test_the_chosen_rate_falls_to_the_published_one_and_is_larger_for_adapters() -> None:
    assert chosen_rate(10_000, Tune()) == pytest.approx(1e-6)
    assert chosen_rate(100, Tune()) == pytest.approx(1e-5)
    assert chosen_rate(100, Tune("lora", 8)) == pytest.approx(3e-4)


# --- adapters

ENCODERS = {"clip": clip_encoder, "convolutions": timm_encoder, "timm vit": "test_vit"}


def adapted(encoder: Encoder, rates: PeakRates = BOTH, rank: int = 2) -> Encoder:
    """In training, with adapters that add something."""
    in_training(encoder)
    add_adapters(encoder, rank, rates.towers, seed=3)
    freeze(encoder, Tune("lora", rank), rates)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in encoder.model.named_parameters():
            if ".lora_B." in name:
                value.normal_(0, 0.1, generator=generator)
    return encoder


def made(kind: str) -> Encoder:
    maker = ENCODERS[kind]
    return timm_encoder(maker) if isinstance(maker, str) else maker()


def added(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """B A, the product over the rank; `a` (r, in, …) and `b` (out, r, …)."""
    return torch.einsum("or,r...->o...", b.flatten(1), a)


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("kind", ENCODERS)
def test_gradients_of_adapters_are_those_of_plain_autograd(kind, chunk_size) -> None:
    """The oracle adds B A to the weights of a model without adapters."""
    encoder = adapted(made(kind))
    truth = torch.eye(7, dtype=torch.int8)
    truth[0, 1], truth[3, 4] = 1, -1
    batch = global_batch(encoder, truth)
    values, ours = step(encoder, batch, replace(PLAIN, chunk_size=chunk_size))
    ours = {n: g for n, g in ours.items() if ".lora_" in n}

    plain = in_training(made(kind)).model
    leaves = {
        name: value.detach().clone().requires_grad_()
        for name, value in encoder.model.named_parameters()
        if name in ours
    }
    weights = dict(plain.named_parameters())
    layers = {name.split(".lora_")[0] for name in leaves}
    assert layers and all(f"{layer}.weight" in weights for layer in layers)
    for layer in layers:
        a, b = (leaves[f"{layer}.lora_{part}.default.weight"] for part in "AB")
        weights[f"{layer}.weight"] = weights[f"{layer}.weight"].detach() + added(a, b)
    uncut = torch.nn.functional.pad(batch.tokens, (0, 32 - batch.tokens.shape[1]))
    output = torch.func.functional_call(plain, weights, (batch.pixels, uncut))
    loss = half_sum(truth)(*output[:3])
    loss.backward()
    assert values["loss"] == pytest.approx(loss.item(), rel=1e-9)
    theirs = {name: leaf.grad for name, leaf in leaves.items()}
    assert_same(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ENCODERS)
def test_merged_adapters_leave_plain_layers_that_do_the_same(kind) -> None:
    encoder = adapted(made(kind))
    encoder.model.eval()
    plain = without_adapters(encoder)
    start = made(kind).model
    assert plain.model.state_dict().keys() == start.state_dict().keys()
    pixels = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    tokens = encoder.tokenize(["a photo of Lyon", "Windhoek"])
    with torch.no_grad():
        for tower, inputs in (("image", pixels), ("text", tokens)):
            ours, theirs = (getattr(e, f"{tower}_features")(inputs) for e in (encoder, plain))
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    scale_adapters(encoder.model, 0.0)
    for name, value in without_adapters(encoder).model.state_dict().items():
        torch.testing.assert_close(value, start.state_dict()[name].to(value.dtype))


def test_half_an_adapter_adds_half() -> None:
    encoder, start = adapted(clip_encoder()), in_training(clip_encoder()).model.state_dict()
    whole = without_adapters(encoder).model.state_dict()
    scale_adapters(encoder.model, 0.5)
    for name, value in without_adapters(encoder).model.state_dict().items():
        torch.testing.assert_close(value, (whole[name] + start[name]) / 2)


def test_a_frozen_tower_has_no_adapters() -> None:
    encoder = adapted(clip_encoder(), IMAGE)
    tuned = {n for n, p in encoder.model.named_parameters() if p.requires_grad}
    assert tuned and all(n.startswith("visual.") for n in tuned - {"logit_scale"})
    assert not any(".lora_" in n for n, _ in encoder.model.named_parameters() if n[:3] == "tra")


def test_adapters_depend_on_the_seed_and_leave_the_random_state_alone() -> None:
    torch.manual_seed(0)
    first = adapted(clip_encoder())
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))
    torch.manual_seed(9)
    second = adapted(clip_encoder())
    assert_same(first.model.state_dict(), second.model.state_dict(), rtol=0, atol=0)


def test_attention_whose_projections_are_no_layers_keeps_its_weights() -> None:
    """nn.MultiheadAttention reads out_proj.weight and never calls the layer."""
    encoder = adapted(clip_encoder())
    layers = {n.split(".lora_")[0] for n, _ in encoder.model.named_parameters() if ".lora_" in n}
    assert {layer.rsplit(".", 1)[1] for layer in layers} == {"c_fc", "c_proj"}


# --- activation checkpointing

CHECKPOINTED = {
    "clip": clip_encoder,
    "dropout within blocks": lambda: timm_encoder(timm_drop=0.4, timm_drop_path=0.3),
    "timm vit": lambda: timm_encoder("test_vit"),
    "siglip": siglip_like_encoder,
}


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_activation_checkpointing_gives_the_gradient_of_plain_autograd(kind, chunk_size) -> None:
    encoder, plain = in_training(CHECKPOINTED[kind]()), in_training(CHECKPOINTED[kind]())
    encoder.checkpoint_activations()
    truth = torch.eye(7, dtype=torch.int8)
    batch = global_batch(encoder, truth)
    again = count_block_runs(encoder)
    values, ours = step(encoder, batch, replace(PLAIN, chunk_size=chunk_size))
    expected, theirs = plain_step(plain, batch, half_sum(truth), chunk_size)
    assert values["loss"] == pytest.approx(expected, rel=1e-10)
    assert_same(ours, theirs)
    assert again[0] > (1 if chunk_size is None else 6), "no block ran again on the way back"


def count_block_runs(encoder: Encoder) -> list[int]:
    """How often a layer of the image tower's last block has run."""
    runs = [0]
    part = next(m for m in tower_blocks(encoder, "image")[-1].modules() if not list(m.children()))
    part.register_forward_hook(lambda *_: runs.__setitem__(0, runs[0] + 1))
    return runs


def test_activation_checkpointing_of_transformers_towers(tmp_path) -> None:
    folder = write_transformers_clip(tmp_path / "start")
    encoder, plain = (in_training(load_encoder(folder)) for _ in range(2))
    encoder.checkpoint_activations()
    batch = global_batch(encoder, torch.eye(5, dtype=torch.int8))
    again = count_block_runs(encoder)
    _, ours = step(encoder, batch, replace(PLAIN, chunk_size=2))
    assert again[0] > 6
    assert_same(ours, plain_step(plain, batch, half_sum(batch.truth), 2)[1])


def test_in_bf16_what_is_computed_again_is_the_same() -> None:
    """Without activation checkpointing depthwise convolutions leave autocast on CPUs."""
    batch = global_batch(timm_encoder(), torch.eye(5, dtype=torch.int8))
    batch = replace(batch, pixels=batch.pixels.float())
    encoder = in_training(timm_encoder())
    encoder.model.float()
    encoder.checkpoint_activations()
    settings = replace(PLAIN, precision="bf16", activation_checkpointing=True)
    _, ours = step(encoder, batch, settings)
    kept = in_training(timm_encoder())
    kept.model.float()
    assert_same(ours, step(kept, batch, settings)[1], rtol=0, atol=0)


def test_adapters_and_activation_checkpointing_go_together() -> None:
    encoder, plain = adapted(clip_encoder()), adapted(clip_encoder())
    encoder.checkpoint_activations()
    batch = global_batch(encoder, torch.eye(5, dtype=torch.int8))
    _, ours = step(encoder, batch, replace(PLAIN, chunk_size=2))
    _, theirs = plain_step(plain, batch, half_sum(batch.truth), 2)
    assert_same(ours, theirs)
    assert any(gradient.any() for gradient in gradients(encoder).values())


def test_a_tower_without_activation_checkpointing_is_refused() -> None:
    encoder = clip_encoder(vision_layers=[1, 1, 1, 1], vision_width=8, vision_head_width=8)
    with pytest.raises(GeoclipError, match="no activation checkpointing; leave it out"):
        encoder.checkpoint_activations()
