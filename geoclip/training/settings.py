"""Settings of fine-tuning and of its evaluation; command-line options are made from them."""

import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from geoclip.errors import GeoclipError

MAY_DIFFER = ("chunk_size", "compile")
"""Settings that a run may go on with otherwise: they change memory and speed."""


class Keep(StrEnum):
    """Which checkpoint becomes the tuned encoder: the last, or the best evaluated."""

    LAST = "last"
    BEST = "best"


def option(default: Any, text: str) -> Any:
    """A field of settings; `text` is what the command lines say of it."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingSettings:
    """How an encoder is fine-tuned; the defaults are StreetCLIP's published recipe.

    `batch_size` counts photos over all workers. `learning_rate` rises linearly over the first
    `warmup` share of the steps, then falls linearly to 0; `text_learning_rate` replaces it for the
    text tower (0 freezes the tower). `chunk_size` bounds memory by gradient caching: photos and
    captions pass the towers that many at a time, twice where a batch has more; without one a batch
    passes at once. `balance` draws photos of a country with n of them in proportion to
    n^(1 - balance). `extra_captions` adds captions of places outside the batch to the GZSL loss.
    `alpha` is the share of the tuned weights in the final average with the starting ones (WiSE-FT,
    Wortsman et al. 2022). `distillation` weighs a term that holds image embeddings near the
    starting encoder's. `compile` lets PyTorch compile the image tower, which takes minutes once and
    pays in long runs.
    """

    epochs: int = option(3, "Passes over the photos.")
    batch_size: int = option(128, "Photos contrasted with each other in a step, over all workers.")
    learning_rate: float = option(1e-6, "Peak of AdamW's learning rate.")
    text_learning_rate: float | None = option(
        None, "The text tower's, 0 to freeze it; the same if not given."
    )
    betas: tuple[float, float] = option((0.9, 0.98), "AdamW's decay rates.")
    weight_decay: float = option(1e-3, "AdamW's weight decay.")
    warmup: float = option(0.2, "Share of the steps in which the learning rate rises.")
    gradient_clip: float = option(1.0, "Largest norm of the gradient; 0 for any.")
    loss: str = option("clip", "clip or siglip.")
    target: str = option("uniform", "uniform or marginal over the true captions of a photo.")
    extra_captions: int = option(0, "Captions of further places in each step.")
    chunk_size: int | None = option(16, "Photos that pass the towers at a time: bounds memory.")
    precision: str = option(
        "fp32", "fp32, bf16, or auto: bf16 on GPUs; on a processor what a trial finds faster."
    )
    augment: bool = option(True, "Crop and recolour photos at random.")
    balance: float = option(0.0, "0 to 1: favour countries with few photos.")
    distillation: float = option(0.0, "Weight of staying near the starting encoder's embeddings.")
    alpha: float = option(1.0, "Share of the tuned weights, averaged with the start's at the end.")
    compile: bool = option(False, "Compile the image tower first: minutes once, faster steps.")
    seed: int = option(0, "Of order, captions, augmentation and splits.")

    def __post_init__(self) -> None:
        choices = {
            "loss": ("clip", "siglip"),
            "target": ("uniform", "marginal"),
            "precision": ("fp32", "bf16", "auto"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise GeoclipError(
                    f"{name} is {getattr(self, name)!r}; use {' or '.join(allowed)}."
                )
        if (
            self.epochs < 1
            or self.batch_size < 1
            or (self.chunk_size is not None and self.chunk_size < 1)
        ):
            raise GeoclipError("epochs, batch_size and chunk_size must be at least 1.")
        rates = (self.learning_rate, self.text_learning_rate or 0, self.weight_decay)
        if not all(map(math.isfinite, rates)):
            raise GeoclipError("learning rates and weight_decay must be finite numbers.")
        if not self.learning_rate and not self.text_learning_rate:
            raise GeoclipError("learning_rate and text_learning_rate are 0: nothing is tuned.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise GeoclipError(f"betas are {self.betas}; use numbers from 0 to below 1.")
        if min(*rates, self.gradient_clip, self.extra_captions, self.distillation) < 0:
            raise GeoclipError(
                "learning_rate, text_learning_rate, weight_decay, gradient_clip, extra_captions "
                "and distillation must not be negative."
            )
        if not 0 <= self.alpha <= 1 or not 0 <= self.balance <= 1 or not 0 <= self.warmup <= 1:
            raise GeoclipError("alpha, balance and warmup must lie between 0 and 1.")

    def identity(self) -> dict[str, Any]:
        """The settings that a run which goes on must share with the one before."""
        return {name: value for name, value in asdict(self).items() if name not in MAY_DIFFER}


@dataclass(frozen=True)
class EvaluationSettings:
    """When and on what a run is evaluated, and which figure says that a checkpoint is the best.

    A run is evaluated every `evaluate_every` steps (0: never) and at the end. Of every split but
    "train" at most `evaluate_photos` locations are drawn by the seed, one photo each. `best_by` is
    SPLIT/FIGURE with a figure of `held_out.FIGURES`, or mean/FIGURE for the mean over the splits;
    more is better. A split by which the best was chosen no longer measures it fairly: keep another.
    """

    evaluate_every: int = option(0, "Steps between evaluations; 0 for none.")
    evaluate_photos: int = option(500, "Locations of each split, a photo each.")
    best_by: str = option("mean/geoscore", "SPLIT/FIGURE that makes a checkpoint the best.")

    def __post_init__(self) -> None:
        if self.evaluate_every < 0 or self.evaluate_photos < 1:
            raise GeoclipError(
                "evaluate_every must not be negative and evaluate_photos be at least 1."
            )


def check_keep(keep: str, training: TrainingSettings, evaluation: EvaluationSettings) -> None:
    """Refuse to keep the best checkpoint where it is not known or would not be the end."""
    if keep == Keep.BEST and not evaluation.evaluate_every:
        raise GeoclipError(
            "The best checkpoint is not known without evaluation; set evaluate_every."
        )
    if keep == Keep.BEST and training.alpha < 1:
        raise GeoclipError(
            "alpha averages the weights that training ends with, not those of a checkpoint before; "
            "keep the last checkpoint, or leave alpha at 1."
        )
