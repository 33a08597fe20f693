"""Averages of weights, to keep what an encoder knew before fine-tuning."""

import torch
from torch import nn

from geoclip.training.sharding import part_of


@torch.no_grad()
def interpolate_weights(tuned: nn.Module, start: nn.Module, alpha: float) -> None:
    """Set `tuned` to alpha · tuned + (1 - alpha) · start, parameter by parameter, in place.

    WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903). Integer buffers keep the tuned value.
    """
    old = start.state_dict()
    for name, value in tuned.state_dict().items():
        if value.is_floating_point():
            value.copy_(alpha * value + (1 - alpha) * part_of(old[name], value))
