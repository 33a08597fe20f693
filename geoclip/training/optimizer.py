"""AdamW with its parameter groups, and the schedule of its learning rates."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from geoclip.encoders import Encoder
from geoclip.training.settings import ALL, LAST, LORA, PROJECTION, TrainingSettings, Tune
from geoclip.training.tuned_parts import tuned_parameters

ADAMW_TENSORS = 3
"""Tensors beside each tuned weight: its gradient and the two means of AdamW."""

RATE_OF_ONE_STEP = {ALL: 1e-4, LAST: 1e-4, PROJECTION: 3e-4, LORA: 3e-3}
"""Peak learning rates of `chosen_rate` for a run of one step, tried on real photos.

A `street-tiny` of 64 pixels was tuned in 6 steps on 302 photos of new countries and blocks; its
held-out GeoScore was 814 before. All weights at rates of 0.41e-4, 1.2e-4 and 3e-4: 898, 730 and 572
(the last one seed, the others the mean of three); the last two stages at 0.41e-4 and 1.2e-4: 923
and 846; adapters at 1.2e-3: 885. The projection's rate is a guess.
"""


def chosen_rate(steps: int, tune: Tune) -> float:
    """The peak learning rate for a run of this many steps, by what is tuned.

    It falls with the square root of the steps: for all weights it is the published 1e-6 at 10,000
    steps.
    """
    return RATE_OF_ONE_STEP[tune.kind] / math.sqrt(steps)


@dataclass(frozen=True)
class PeakRates:
    """The peak learning rates of the image tower and the scalars, and of the text tower."""

    image: float
    text: float

    @classmethod
    def of(cls, settings: TrainingSettings, steps: int) -> "PeakRates":
        """The rates of the settings, else those chosen for a run of this many steps."""
        image, text = settings.learning_rate, settings.text_learning_rate
        if image is None:
            image = chosen_rate(steps, settings.tuned)
        return cls(image, image if text is None else text)

    @property
    def towers(self) -> list[str]:
        """The towers that are tuned."""
        rates = {"image": self.image, "text": self.text}
        return [tower for tower, rate in rates.items() if rate]


def freeze(encoder: Encoder, tune: Tune, rates: PeakRates) -> None:
    """Enable the gradients of the tuned weights only."""
    encoder.model.requires_grad_(True)
    tuned = tuned_parameters(encoder, tune, rates.towers)
    for parameter in encoder.model.parameters():
        parameter.requires_grad_(parameter in tuned)


def make_optimizer(
    encoder: Encoder, settings: TrainingSettings, rates: PeakRates
) -> torch.optim.AdamW:
    """AdamW over the weights that have a gradient, with a learning rate for each tower."""
    texts = set(encoder.tower_parameters("text"))
    tuned = (p for p in encoder.model.parameters() if p.requires_grad)
    rated = ((p, rates.text if p in texts else rates.image) for p in tuned)
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
        # A group is updated at once; whole and sharded weights cannot be mixed.
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
