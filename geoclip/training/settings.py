"""Settings of fine-tuning and of its evaluation; command-line options are made from them."""

import math
import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from geoclip.errors import GeoclipError

MAY_DIFFER = ("chunk_size", "compile", "activation_checkpointing")
"""Settings that may change on resuming: they affect memory and speed."""
WINDOW = 16
"""Shards whose photos are shuffled together."""


ALL, LAST, PROJECTION, LORA = "all", "last", "projection", "lora"
LORA_RANK = 8
_TUNE = re.compile(r"(all|projection|lora)|(last|lora):([1-9]\d*)")


@dataclass(frozen=True)
class Tune:
    """What is tuned: `kind` with the number of blocks of "last" or the rank of "lora".

    "all" are all weights. "projection" is all after the blocks: the last norm, the pooling, the
    projection. "last" is the projection part and the given number of last blocks. "lora" are
    adapters of the given rank beside the blocks' linear layers and convolutions. Logit scale and
    bias are always tuned.
    """

    kind: str = ALL
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> "Tune":
        """Read "all", "last:N", "projection", "lora" or "lora:RANK"; else GeoclipError.

        >>> Tune.parse("last:2")
        Tune(kind='last', number=2)
        """
        found = _TUNE.fullmatch(text)
        if not found:
            raise GeoclipError(
                f"tune is {text!r}; use all, last:N with a number of blocks, projection, lora or "
                "lora:RANK."
            )
        kind = found[1] or found[2]
        return cls(kind, int(found[3] or (LORA_RANK if kind == LORA else 0)))


class Keep(StrEnum):
    """The checkpoint that becomes the tuned encoder: the last, or the best evaluated."""

    LAST = "last"
    BEST = "best"


def option(default: Any, text: str) -> Any:
    """A field of settings; `text` is its help on the command line."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingSettings:
    """How an encoder is fine-tuned.

    >>> TrainingSettings(epochs=1, tune="last:2").tuned
    Tune(kind='last', number=2)

    `batch_size` counts photos over all workers. `tune` says which weights change (`Tune`).
    `learning_rate` rises linearly over the first `warmup` share of the steps, then falls linearly
    to 0; by default it is chosen (`optimizer.chosen_rate`); `text_learning_rate` replaces it for
    the text tower (0 freezes the tower). `chunk_size` bounds memory by gradient caching: this many
    photos or captions pass the towers at a time, twice in a larger batch; by default it is chosen
    (`memory.chosen_chunk_size`). `activation_checkpointing` keeps only the inputs of the blocks and
    computes the rest again in the backward pass. `balance` draws photos of a country with n of them
    in proportion to n^(1 - balance). `extra_captions` adds captions of places outside the batch to
    the GZSL loss. `alpha` is the share of the tuned weights in the final average with the starting
    ones (WiSE-FT, Wortsman et al. 2022). `distillation` weighs a term that holds image embeddings
    near the starting encoder's, `label_smoothing` a term that gives nearer regions larger targets
    (`label_smoothing.LabelSmoothing`); it needs a frozen text tower. `compile` lets PyTorch compile
    the image tower, which takes minutes once and pays off in long runs.
    """

    epochs: int = option(3, "Passes over the photos.")
    batch_size: int = option(128, "Photos contrasted with each other in a step, over all workers.")
    tune: str = option(ALL, "What is tuned: all, last:N blocks, projection, or lora[:RANK].")
    learning_rate: float | None = option(
        None, "Peak of AdamW's learning rate; if not given, chosen by steps and --tune."
    )
    text_learning_rate: float | None = option(
        None, "Rate of the part that reads captions, 0 to freeze it; the same if not given."
    )
    betas: tuple[float, float] = option((0.9, 0.98), "AdamW's decay rates.")
    weight_decay: float = option(1e-3, "AdamW's weight decay.")
    warmup: float = option(0.2, "Share of the steps in which the learning rate rises.")
    gradient_clip: float = option(1.0, "Largest norm of the gradient; 0 for no limit.")
    loss: str = option("clip", "clip or siglip.")
    target: str = option("uniform", "uniform or marginal over the true captions of a photo.")
    extra_captions: int = option(0, "Captions of further places in each step.")
    chunk_size: int | None = option(
        None, "Photos that are worked on at a time; if not given, as many as memory allows."
    )
    activation_checkpointing: bool = option(
        False, "Compute activations twice instead of keeping them: less memory, more time."
    )
    precision: str = option(
        "fp32", "fp32, bf16, or auto: bf16 on GPUs; on a CPU the faster by a trial."
    )
    augment: bool = option(True, "Crop and recolour photos at random.")
    crop_area: tuple[float, float] = option((0.5, 1.0), "Share of a photo that is kept.")
    colour: float = option(0.25, "How far brightness, contrast and saturation vary, 0 to 1.")
    mirror: bool = option(
        False, "Mirror every second photo; writing and the side of the road suffer."
    )
    balance: float = option(0.0, "0 to 1: favour countries with few photos.")
    distillation: float = option(0.0, "Weight of answering much as before the training.")
    reconstruction: float = option(
        0.0, "Weight of drawing a small picture of each photo from what the model saw in it."
    )
    label_smoothing: float = option(
        0.0, "Weight of label smoothing by distance; needs --text-learning-rate 0."
    )
    smoothing_km: float = option(700.0, "Distance at which the target falls to 1/e.")
    alpha: float = option(
        1.0, "Share of the tuned weights in the final average with the starting ones."
    )
    compile: bool = option(False, "Make the model faster on this machine first: minutes once.")
    seed: int = option(0, "Seed of order, captions, augmentation and splits.")

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
        rates = (self.learning_rate or 0, self.text_learning_rate or 0, self.weight_decay)
        if not all(map(math.isfinite, rates)):
            raise GeoclipError("learning rates and weight_decay must be finite numbers.")
        if self.learning_rate == 0 and not self.text_learning_rate:
            raise GeoclipError("learning_rate and text_learning_rate are 0: nothing is tuned.")
        Tune.parse(self.tune)
        self._check_photos()
        self._check_label_smoothing()
        if not all(0 <= beta < 1 for beta in self.betas):
            raise GeoclipError(f"betas are {self.betas}; use numbers from 0 to below 1.")
        weights = (self.distillation, self.reconstruction)
        if min(*rates, self.gradient_clip, self.extra_captions, *weights) < 0:
            raise GeoclipError(
                "learning_rate, text_learning_rate, weight_decay, gradient_clip, extra_captions, "
                "distillation and reconstruction must not be negative."
            )
        if not 0 <= self.alpha <= 1 or not 0 <= self.balance <= 1 or not 0 <= self.warmup <= 1:
            raise GeoclipError("alpha, balance and warmup must lie between 0 and 1.")

    def _check_photos(self) -> None:
        smallest, largest = self.crop_area
        if not 0 < smallest <= largest <= 1:
            raise GeoclipError(f"crop_area is {self.crop_area}; use two shares, such as 0.5 1.")
        if not 0 <= self.colour <= 1:
            raise GeoclipError(f"colour is {self.colour}; use a number from 0 to 1.")

    def _check_label_smoothing(self) -> None:
        if not (0 <= self.label_smoothing < math.inf and 0 < self.smoothing_km < math.inf):
            raise GeoclipError("label_smoothing must not be negative, and smoothing_km be above 0.")
        if self.label_smoothing and self.text_learning_rate != 0:
            raise GeoclipError(
                "label_smoothing compares photos with captions that are embedded once; set "
                "text_learning_rate to 0, which freezes the text tower."
            )

    @property
    def tuned(self) -> Tune:
        """What is tuned."""
        return Tune.parse(self.tune)

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the earlier one."""
        return {name: value for name, value in asdict(self).items() if name not in MAY_DIFFER}


class Recipe(StrEnum):
    """Settings by name."""

    DEFAULT = "default"
    STREETCLIP = "streetclip"

    @property
    def settings(self) -> TrainingSettings:
        """The recipe's settings; those of "streetclip" are the paper's, arXiv 2302.00275."""
        return STREETCLIP if self == Recipe.STREETCLIP else TrainingSettings()


STREETCLIP = TrainingSettings(
    epochs=3, learning_rate=1e-6, betas=(0.9, 0.98), weight_decay=1e-3, warmup=0.2
)


@dataclass(frozen=True)
class EvaluationSettings:
    """When and on what a run is evaluated, and the figure that selects the best checkpoint.

    A run is evaluated every `evaluate_every` steps (0: never) and at the end. From every split but
    "train" at most `evaluate_photos` locations are drawn by the seed, one photo each. `best_by` is
    SPLIT/FIGURE with a figure of `held_out.FIGURES`, or mean/FIGURE for the mean over the splits;
    more is better. Of a table of levels the figures are LEVEL_top1, by default of the deepest. A
    split that selected the best checkpoint no longer measures it fairly: keep another.
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
    """Refuse to keep the best checkpoint if it is unknown or would not be the end."""
    if keep == Keep.BEST and not evaluation.evaluate_every:
        raise GeoclipError(
            "The best checkpoint is not known without evaluation; set evaluate_every."
        )
    if keep == Keep.BEST and training.alpha < 1:
        raise GeoclipError(
            "alpha averages the final weights, not those of an earlier checkpoint; keep the last "
            "checkpoint, or leave alpha at 1."
        )
