"""Train the last stages of an image tower over what its first stages make of each photo.

First the projection is trained alone, over the frozen trunk, then the last stages with it (linear
probing, then fine-tuning; Kumar et al. 2022, arXiv 2202.10054): a photo of a country without
training photos loses less so than where all start at once. While the stages are tuned they see
another part of a kept map each time, as a random crop of the photo would show. What comes out is
the mean of the weights of several such tunings, each itself a running mean (model soups; Wortsman
et al. 2022, arXiv 2203.05482). A run that is cut off goes on after the last tuning done.
"""

import hashlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geoclip.captions import CaptionBook
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.files import write_whole
from geoclip.training.batches import Batches, PhotoSet, seeded_generator
from geoclip.training.kept_features import DROPOUT, claim_folder
from geoclip.training.neighbourhoods import Neighbourhoods
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer
from geoclip.training.workers import Workers

CROP_SIDE = 0.75
"""Of a kept map's height and width: what a step of tuning sees, at half the work."""
AVERAGING = 0.98
"""What the running mean of the tuned weights keeps of itself at each step."""
Steps = Iterator[dict[str, float]]
"""Each step's figures of the loss."""


class FeatureBatches(Batches):
    """Batches whose `pixels` are kept values of a random view of each photo, by epoch.

    Of features (V, N, w) the whole (n, w); of maps (V, N, C, H, W) random parts (n, C, h, w), whose
    sides are CROP_SIDE of theirs.
    """

    def __init__(self, kept: np.ndarray, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kept = kept

    def _pixels(self, i: int, epoch: int) -> Tensor | None:
        rng = seeded_generator("view", self.settings.seed, epoch, self.photos.ids[i])
        value = self.kept[rng.integers(len(self.kept)), i]
        for axis, size in enumerate(self._shape()[1:], start=1):
            first = rng.integers(value.shape[axis] - size + 1)
            value = value.take(range(first, first + size), axis)
        return None if np.isnan(value.flat[0]) else torch.from_numpy(value.astype(np.float32))

    def _blank(self) -> Tensor:
        return torch.zeros(self._shape())

    def _shape(self) -> tuple[int, ...]:
        width, *sides = self.kept.shape[2:]
        return width, *(ceil(CROP_SIDE * side) for side in sides)


class _Standard(nn.Module):
    """Features minus `mean`, over `std` (w,)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("std", torch.from_numpy(std))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std


def train_last_stages(
    encoder: OpenClipEncoder,
    stages: nn.Module,
    outputs: np.ndarray,
    features: np.ndarray,
    photos: PhotoSet,
    book: CaptionBook,
    probing: TrainingSettings,
    tuning: TrainingSettings | None = None,
    neighbourhoods: Neighbourhoods | None = None,
    batches: type[FeatureBatches] = FeatureBatches,
    tunings: int = 1,
    keep: Path | None = None,
) -> Steps:
    """Train the MLP behind the trunk, then with it the last `stages`, in place.

    `outputs` (V, N, C, H, W) come from `stage_outputs`, `features` (V, N, w) from
    `pooled_features`; `tuning=None` leaves the trunk as it is, else it is done `tunings` times,
    each from the same projection with a seed of its own. With `neighbourhoods` their classes' loss
    is added to the project's. What the projection's training and each tuning end with is kept in
    the folder `keep` and not made again. Yields each step's figures of the project's loss.
    Raises GeoclipError where `keep` is another run's. Inside, features are standardised, which the
    MLP's first layer takes in at the end: the encoder then reads photos again.
    """
    model, memory_format = encoder.model, encoder.memory_format
    visual: Any = model.visual
    if keep is not None:
        run_key = repr((photos.ids, photos.rows.tolist(), probing, tuning, tunings)).encode()
        claim_folder(
            keep, hashlib.sha256(run_key).hexdigest(), "weights of other photos or settings"
        )
    plain = features[0].astype(np.float32)
    mean, std = np.nanmean(plain, axis=0), np.nanstd(plain, axis=0) + 1e-6
    standard = ((features.astype(np.float32) - mean) / std).astype(np.float16)
    trunk, dropout = visual.trunk, nn.Dropout(DROPOUT)

    def run(kept: np.ndarray, settings: TrainingSettings) -> Steps:
        trainer = Trainer(encoder, photos, book, settings, Workers())
        trainer.batches = batches(
            kept, encoder, book, photos, settings, trainer.workers, neighbourhoods
        )
        yield from trainer.run()
        trainer.finish()

    try:
        # An encoder of photos asks for channels last; features have none.
        visual.trunk, encoder.memory_format = dropout, torch.contiguous_format
        yield from _kept(model, run(standard, probing), keep, "probing")
        if tuning is not None:
            visual.trunk = nn.Sequential(stages, _Standard(mean, std), dropout).to(encoder.device)
            encoder.memory_format = memory_format
            probed, soup = deepcopy(model.state_dict()), AveragedModel(model)
            for member in range(tunings):
                model.load_state_dict(probed)
                settings = replace(tuning, seed=tuning.seed * tunings + member)
                yield from _kept(model, _averaged(model, run(outputs, settings)), keep, member)
                soup.update_parameters(model)
            model.load_state_dict(soup.module.state_dict())
    finally:
        visual.trunk, encoder.memory_format = trunk, memory_format
    first = visual.head.mlp.fc1
    with torch.no_grad():
        first.weight /= torch.from_numpy(std)
        first.bias -= first.weight @ torch.from_numpy(mean)
    encoder.model.requires_grad_(True)


def _averaged(model: nn.Module, steps: Steps) -> Steps:
    """Take `steps`; the model ends with the running mean of its weights after each."""
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING))
    for values in steps:
        mean.update_parameters(model)
        yield values
    model.load_state_dict(mean.module.state_dict())


def _kept(model: nn.Module, steps: Steps, folder: Path | None, name: object) -> Steps:
    """Take `steps` and keep the weights they end with, or load those that are kept."""
    file = folder / f"{name}.safetensors" if folder else None
    if file is not None and file.exists():
        model.load_state_dict(load_file(file))
        return
    yield from steps
    if file is not None:
        weights = {
            key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()
        }
        write_whole(file, lambda out: out.write(save(weights)))
