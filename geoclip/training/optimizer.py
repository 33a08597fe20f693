"""AdamW with its parameter groups, and the schedule of its learning rates."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from geoclip.encoders import Encoder
from geoclip.training.settings import TrainingSettings


def make_optimizer(encoder: Encoder, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW with a learning rate for each tower; a tower whose rate is 0 is frozen."""
    text_rate = settings.text_learning_rate
    text_rate = settings.learning_rate if text_rate is None else text_rate
    texts = {id(p) for p in encoder.tower_parameters("text")}
    rated = []
    for parameter in encoder.model.parameters():
        rate = text_rate if id(parameter) in texts else settings.learning_rate
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            rated.append((parameter, rate))
    return adamw(rated, settings.weight_decay, settings.betas)


def adamw(
    rated: Iterable[tuple[nn.Parameter, float]], weight_decay: float, betas: tuple[float, float]
) -> torch.optim.AdamW:
    """AdamW over parameters with their peak learning rates.

    Matrices decay; biases, norms and scales do not.
    """
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for parameter, rate in rated:
        decay = weight_decay if parameter.ndim >= 2 else 0.0
        # A group is updated at once, which whole and sharded weights cannot be.
        groups.setdefault((rate, decay, isinstance(parameter, DTensor)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "peak_lr": rate, "weight_decay": decay}
            for (rate, decay, _), parameters in groups.items()
        ],
        betas=betas,
    )


def set_learning_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's learning rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate: linear warm-up, then linear decay to 0."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (steps - step) / max(1, steps - rising))
