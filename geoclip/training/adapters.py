"""Adapters of low rank beside the layers of an encoder's blocks (LoRA), by peft.

Hu et al. 2022, arXiv 2106.09685. A layer's weight W becomes W + B A; A and B of rank r are tuned, W
is not. B starts at 0, so that nothing changes before the first step. An encoder that is measured,
saved or exported has the sum as a plain weight.
"""

import logging
import re
from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import nn

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.training.tuned_parts import tower_blocks


def add_adapters(encoder: Encoder, rank: int, towers: Iterable[str], seed: int) -> None:
    """Put adapters beside the linear layers and full convolutions of the towers' blocks, in place.

    The projections inside an `nn.MultiheadAttention` are parameters, not layers, and get none: in
    open_clip's own transformers the adapters lie in the MLPs. Raises GeoclipError where a tower has
    no blocks or its blocks have no such layer.
    """
    # Importing peft beside torchao makes PyTorch warn about torchao's internals.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 (seconds)

    names = {module: name for name, module in encoder.model.named_modules()}
    targets = []
    for tower in towers:
        layers = [layer for block in tower_blocks(encoder, tower) for layer in _layers(block)]
        if not layers:
            raise GeoclipError(
                f"The blocks of the {tower} tower of {encoder.name} have no layer for LoRA; tune "
                "all or last:N."
            )
        targets += [re.escape(names[layer]) for layer in layers]
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(targets))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the same on all workers and after an interruption
        inject_adapter_in_model(config, encoder.model)


def _layers(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1):
        return [module]
    if isinstance(module, nn.MultiheadAttention):
        return []
    return [layer for child in module.children() for layer in _layers(child)]


def without_adapters(encoder: Encoder) -> Encoder:
    """A copy of an encoder whose adapters are added to its weights; plain layers only."""
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415

    plain = deepcopy(encoder)
    for name, layer in list(plain.model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            parent, _, own = name.rpartition(".")
            setattr(plain.model.get_submodule(parent), own, layer.get_base_layer())
    vars(plain.model).pop("peft_config", None)
    return plain


@torch.no_grad()
def scale_adapters(model: nn.Module, factor: float) -> None:
    """Multiply the adapters' contribution to the weights."""
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.mul_(factor)
