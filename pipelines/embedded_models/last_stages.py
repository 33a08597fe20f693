"""Train the last stages of an image tower over the cached activations of its first stages.

First only the projection is trained, over the frozen trunk, then the last stages with it (linear
probing, then fine-tuning; Kumar et al. 2022, arXiv 2202.10054): photos of a country without
training photos lose less this way. Several members of a model soup are tuned from one projection;
the mean of their weights depends less on the seed (Wortsman et al. 2022, arXiv 2203.05482). An
interrupted run resumes after the last member done.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.places.captions import CaptionBook
from geoclip.support.files import write_tensors
from geoclip.support.seeds import seeded_generator
from geoclip.training.batches import Batches
from geoclip.training.checkpoints import Record
from geoclip.training.label_smoothing import LabelSmoothing
from geoclip.training.loop import run_training
from geoclip.training.photo_set import PhotoSet
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer
from geoclip.training.workers import Workers
from pipelines.embedded_models.cached_activations import DROPOUT, claim_folder

SEEDS_APART = 1000
"""Seed difference between a soup's members, so that soups of neighbouring seeds share none."""


class CachedBatches(Batches):
    """Batches whose `pixels` are cached values of a random version of each photo, by epoch.

    `cached` (V, N, C, …) has V versions of N photos, `pixels` are (n, C, …). With `views` above 1
    that many views of a photo's location follow one another, (n, views · C, …): the photo and
    random others, or the photo again if there is no other.
    """

    def __init__(self, cached: np.ndarray, *arguments: Any, views: int = 1) -> None:
        super().__init__(*arguments)
        self.cached = cached
        self.views = views
        self._locations = self.photos.locations or self.photos.ids
        table = pd.DataFrame({"location": self._locations})
        self._members: dict[str, np.ndarray] = table.groupby("location").indices

    def _pixels(self, epoch: int, i: int, earlier: int = 0) -> Tensor | None:
        rng = seeded_generator("view", self.settings.seed, epoch, self._showing(i, earlier))
        values = [self._version(i, rng)]
        if np.isnan(values[0].flat[0]):
            return None
        for other in self._others(i, rng):
            value = self._version(other, rng)
            values.append(values[0] if np.isnan(value.flat[0]) else value)
        return torch.from_numpy(np.concatenate(values, dtype=np.float32))

    def _version(self, i: int, rng: np.random.Generator) -> np.ndarray:
        value: np.ndarray = self.cached[rng.integers(len(self.cached)), i]
        return value

    def _others(self, i: int, rng: np.random.Generator) -> list[int]:
        """Further views of the location of photo `i`, one fewer than are shown together."""
        members, wanted = self._members[self._locations[i]], self.views - 1
        others = members[members != i]
        if not len(others):
            return [i] * wanted
        return [int(k) for k in rng.choice(others, wanted, replace=len(others) < wanted)]

    def _blank(self) -> Tensor:
        return torch.zeros(self.cached.shape[2] * self.views, *self.cached.shape[3:])


@contextmanager
def averaged_views(
    visual: nn.Module, number: int, memory_format: torch.memory_format
) -> Iterator[None]:
    """Let an image tower make one embedding from `number` consecutive views.

    From inputs (n, number · C, H, W) it computes the mean (n, d) of the unit-length embeddings, as
    in `embedding.mean_of_views`. With a number of 1 the tower stays unchanged.
    """

    def apart(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        n, channels, *size = inputs[0].shape
        photos = inputs[0].reshape(n * number, channels // number, *size)
        return photos.contiguous(memory_format=memory_format)

    def mean(_: nn.Module, __: tuple[Tensor], embeddings: Tensor) -> Tensor:
        unit = functional.normalize(embeddings, dim=-1)
        return unit.reshape(-1, number, unit.shape[-1]).mean(1)

    if number == 1:
        yield
        return
    hooks = [visual.register_forward_pre_hook(apart), visual.register_forward_hook(mean)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


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
    activations: np.ndarray,
    features: np.ndarray,
    photos: PhotoSet,
    book: CaptionBook,
    probing: TrainingSettings,
    tuning: TrainingSettings | None = None,
    smoothing: Sequence[LabelSmoothing] = (),
    batches: type[CachedBatches] = CachedBatches,
    views: Sequence[int] = (1,),
    keep: Path | None = None,
    report: Callable[[Record], None] = lambda metrics: None,
) -> None:
    """Train the MLP behind the trunk, then with it the last `stages`, in place.

    `activations` (V, N, C, H, W) come from `cached_activations`, `features` (V, N, w) from
    `pooled_features`. `probing` trains the projection. `tuning` then makes one member of the soup
    for each entry of `views`, from the same projection with its own seed; None leaves the trunk
    unchanged. An entry is the number of a location's views tuned as one, their embeddings averaged
    as at prediction. The projection uses the first loss of `smoothing` beside the contrastive one;
    the members alternate between them.

    The folder `keep` holds the weights of the trained projection and of each member; existing ones
    are not trained again. `report` is called after each step. Raises GeoclipError if `keep` belongs
    to another run. Inside, features are standardised; at the end the MLP's first layer absorbs
    that, so that the encoder reads photos again.
    """
    model, memory_format = encoder.model, encoder.memory_format
    visual: Any = model.visual
    if keep is not None:
        labels = [(loss.km, loss.weight) for loss in smoothing]
        seen = photos.digest(), photos.locations, tuple(views)
        learnt = *seen, encoder.fingerprint(), probing, tuning, labels
        _claim(keep, repr(learnt), features)
    plain = features[0].astype(np.float32)
    mean, std = np.nanmean(plain, axis=0), np.nanstd(plain, axis=0) + 1e-6
    standard = ((features.astype(np.float32) - mean) / std).astype(np.float16)
    trunk, dropout = visual.trunk, nn.Dropout(DROPOUT)

    def train(
        name: str, cached: np.ndarray, settings: TrainingSettings, turn: int = 0, number: int = 1
    ) -> None:
        """Train and keep the weights, or load kept ones."""
        file = keep / f"{name}.safetensors" if keep else None
        if file is not None and file.exists():
            model.load_state_dict(load_file(file))
            return
        made = batches(cached, encoder, book, photos, settings, Workers(), views=number)
        auxiliary = [smoothing[turn % len(smoothing)]] if smoothing else []
        with averaged_views(visual, number, encoder.memory_format):
            run_training(Trainer(made, auxiliary), report=report)
        if file is not None:
            write_tensors(file, model.state_dict())

    try:
        # An encoder of photos wants channels last; features have none.
        visual.trunk, encoder.memory_format = dropout, torch.contiguous_format
        train("probing", standard, probing)
        if tuning is not None:
            visual.trunk = nn.Sequential(stages, _Standard(mean, std), dropout).to(encoder.device)
            encoder.memory_format = memory_format
            probed, soup = deepcopy(model.state_dict()), AveragedModel(model)
            for member, number in enumerate(views):
                model.load_state_dict(probed)
                settings = replace(tuning, seed=tuning.seed + SEEDS_APART * member)
                train(f"tuning{member}", activations, settings, member, number)
                soup.update_parameters(model)
            model.load_state_dict(soup.module.state_dict())
    finally:
        visual.trunk, encoder.memory_format = trunk, memory_format
    _take_in_standard(visual.head.mlp.fc1, mean, std)
    model.requires_grad_(True)


def _claim(folder: Path, learnt: str, features: np.ndarray) -> None:
    key = hashlib.sha256(learnt.encode())
    key.update(features.tobytes())
    claim_folder(folder, key.hexdigest(), "weights of other photos or settings")


@torch.no_grad()
def _take_in_standard(layer: nn.Linear, mean: np.ndarray, std: np.ndarray) -> None:
    """Change a linear layer of standardised features to give the same for plain ones."""
    layer.weight /= torch.from_numpy(std).to(layer.weight.device)
    layer.bias.sub_(layer.weight @ torch.from_numpy(mean).to(layer.weight.device))
