"""The tuned weights, as defined by `settings.Tune`.

Blocks are the repeated parts of a tower: a transformer's layers, a convolutional tower's stages.
"""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.training.settings import ALL, LORA, Tune

TOWERS = ("image", "text")


def tuned_parameters(encoder: Encoder, tune: Tune, towers: Collection[str]) -> set[nn.Parameter]:
    """The tuned weights of some towers; logit scale and bias belong to the image tower.

    With "lora" they are the existing adapters (`geoclip.training.adapters`). Raises GeoclipError if
    a tower has no blocks or fewer than asked for.
    """
    model = encoder.model
    own = {p for tower in TOWERS for p in encoder.tower_parameters(tower)}
    tuned = set(model.parameters()) - own if "image" in towers else set()
    for tower in towers:
        parameters = encoder.tower_parameters(tower)
        if tune.kind == ALL:
            tuned.update(parameters)
        elif tune.kind == LORA:
            names = {p: name for name, p in model.named_parameters()}
            tuned.update(p for p in parameters if ".lora_" in names[p])
        else:
            blocks = tower_blocks(encoder, tower)
            if tune.number > len(blocks) and tower == "image":
                raise GeoclipError(
                    f"The image tower of {encoder.name} has {len(blocks)} blocks and {tune.number} "
                    "are to be tuned; name fewer, or tune all."
                )
            tuned.update(_behind(encoder, tower, blocks[-1]))
            for block in blocks[max(0, len(blocks) - tune.number) :]:
                tuned.update(block.parameters())
    return tuned


def tower_blocks(encoder: Encoder, tower: str) -> list[nn.Module]:
    """The blocks of a tower, in order: the heaviest of its lists of parts of one class.

    Raises GeoclipError if it has none.
    """
    own = set(encoder.tower_parameters(tower))
    stacks = [stack for stack in _stacks(encoder.model) if own.issuperset(_weights(stack))]
    if not stacks:
        raise GeoclipError(
            f"The {tower} tower of {encoder.name} has no recognisable blocks; tune all."
        )
    return max(stacks, key=lambda stack: (len(stack) > 1, sum(p.numel() for p in _weights(stack))))


def _stacks(model: nn.Module) -> Iterator[list[nn.Module]]:
    for module in model.modules():
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module):
            blocks = list(module.children())
            if len({type(block) for block in blocks}) == 1 and all(map(_has_weights, blocks)):
                yield blocks


def _has_weights(block: nn.Module) -> bool:
    return any(True for _ in block.parameters())


def _weights(stack: list[nn.Module]) -> set[nn.Parameter]:
    return {p for block in stack for p in block.parameters()}


def _behind(encoder: Encoder, tower: str, block: nn.Module) -> set[nn.Parameter]:
    """The weights that a tower applies after a block, found by running it once.

    Names differ from library to library. Parameters after the block get a gradient even when the
    block's output has none.
    """
    parameters = encoder.tower_parameters(tower)
    cut = block.register_forward_hook(lambda _module, _inputs, output: _detached(output))
    try:
        with torch.enable_grad():
            features = blank_features(encoder, tower)
            found = torch.autograd.grad(features.sum(), parameters, allow_unused=True)
    finally:
        cut.remove()
    return {p for p, gradient in zip(parameters, found, strict=True) if gradient is not None}


def _detached(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.detach()
    return type(output)(_detached(part) for part in output)


def blank_features(encoder: Encoder, tower: str, rows: int = 1) -> Tensor:
    """Features (rows, d) that a tower gives for blank photos or a caption."""
    if tower == "text":
        tokens = encoder.tokenize(["A Street View photo."] * rows)
        return encoder.raw_text_features(tokens.to(encoder.device))
    size, like = encoder.image_size, encoder.tower_parameters("image")[0]
    return encoder.raw_image_features(like.new_zeros(rows, 3, size, size))
