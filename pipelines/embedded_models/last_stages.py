"""Train the last stages of an image tower over what its first stages make of each photo.

First the projection is trained alone, over the frozen trunk, then the last stages with it (linear
probing, then fine-tuning; Kumar et al. 2022, arXiv 2202.10054): a photo of a country without
training photos loses less so than where all start at once. They can be tuned several times from one
projection; the mean of the weights depends less on the seed (model soups; Wortsman et al. 2022,
arXiv 2203.05482). A run that is cut off goes on after the last tuning done.
"""

import hashlib
from collections.abc import Iterator, Sequence
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
from geoclip.training.batches import Batches, PhotoSet
from geoclip.training.distance_smoothing import DistanceSmoothing
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer
from geoclip.training.workers import Workers
from pipelines.embedded_models.cached_activations import DROPOUT, claim_folder

SEEDS_APART = 1000
"""Between the tunings of one run, so that runs of seeds next to each other share none."""
Steps = Iterator[dict[str, float]]
"""Each step's figures of the loss."""


class FeatureBatches(Batches):
    """Batches whose `pixels` are kept values of a random version of each photo, by epoch.

    `kept` (V, N, C, …) has V versions of N photos, `pixels` are (n, C, …). With `together` above 1
    as many photos of a photo's location lie behind one another, (n, together · C, …): itself and
    random others, or itself again where there is none.
    """

    def __init__(self, kept: np.ndarray, *arguments: Any, together: int = 1) -> None:
        super().__init__(*arguments)
        self.kept = kept
        self.together = together
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
        value: np.ndarray = self.kept[rng.integers(len(self.kept)), i]
        return value

    def _others(self, i: int, rng: np.random.Generator) -> list[int]:
        """Further photos of the location of photo `i`, one less than are shown together."""
        members, wanted = self._members[self._locations[i]], self.together - 1
        others = members[members != i]
        if not len(others):
            return [i] * wanted
        return [int(k) for k in rng.choice(others, wanted, replace=len(others) < wanted)]

    def _blank(self) -> Tensor:
        return torch.zeros(self.kept.shape[2] * self.together, *self.kept.shape[3:])


@contextmanager
def averaged_together(
    visual: nn.Module, number: int, memory_format: torch.memory_format
) -> Iterator[None]:
    """Let an image tower make one embedding of a `number` of photos that lie behind one another.

    From inputs (n, number · C, H, W) comes the mean (n, d) of the unit-length embeddings, as
    `embedding.mean_of_views` has it. A tower of single photos stays as it is.
    """

    def apart(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        photos = inputs[0].unflatten(1, (number, -1)).flatten(0, 1)
        return photos.contiguous(memory_format=memory_format)

    def mean(_: nn.Module, __: tuple[Tensor], embeddings: Tensor) -> Tensor:
        return functional.normalize(embeddings, dim=-1).unflatten(0, (-1, number)).mean(1)

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
    outputs: np.ndarray,
    features: np.ndarray,
    photos: PhotoSet,
    book: CaptionBook,
    probing: TrainingSettings,
    tuning: TrainingSettings | None = None,
    neighbourhoods: Sequence[DistanceSmoothing] = (),
    batches: type[FeatureBatches] = FeatureBatches,
    tunings: int = 1,
    keep: Path | None = None,
    together: Sequence[int] = (1,),
) -> Steps:
    """Train the MLP behind the trunk, then with it the last `stages`, in place.

    `outputs` (V, N, C, H, W) come from `stage_outputs`, `features` (V, N, w) from
    `pooled_features`; `tuning=None` leaves the trunk as it is, else it is done `tunings` times,
    each from the same projection with a seed of its own. The loss of the classes of
    `neighbourhoods` is added to the project's: of the first while the projection is trained, then
    of one after the other by tuning. `together` says, likewise by turns, how many photos of one
    location are tuned as one, their embeddings averaged as at prediction. What the projection's
    training and each tuning end with is kept in the folder `keep` and not made again. Yields each
    step's figures of the project's loss. Raises GeoclipError where `keep` is another run's. Inside,
    features are standardised, which the MLP's first layer takes in at the end: the encoder then
    reads photos again.
    """
    model, memory_format = encoder.model, encoder.memory_format
    visual: Any = model.visual
    if keep is not None:
        labels = [(near.km, near.weight) for near in neighbourhoods]
        seen = photos.digest(), photos.locations, together
        learnt = *seen, encoder.fingerprint(), probing, tuning, labels
        key = hashlib.sha256(repr(learnt).encode())
        key.update(features.tobytes())
        claim_folder(keep, key.hexdigest(), "weights of other photos or settings")
    plain = features[0].astype(np.float32)
    mean, std = np.nanmean(plain, axis=0), np.nanstd(plain, axis=0) + 1e-6
    standard = ((features.astype(np.float32) - mean) / std).astype(np.float16)
    trunk, dropout = visual.trunk, nn.Dropout(DROPOUT)

    def run(kept: np.ndarray, settings: TrainingSettings, turn: int = 0, number: int = 1) -> Steps:
        trainer = Trainer(encoder, photos, book, settings, Workers())
        near = neighbourhoods[turn % len(neighbourhoods)] if neighbourhoods else None
        given = kept, encoder, book, photos, settings, trainer.workers, near
        trainer.batches = batches(*given, together=number)
        with averaged_together(visual, number, encoder.memory_format):
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
                settings = replace(tuning, seed=tuning.seed + SEEDS_APART * member)
                steps = run(outputs, settings, member, together[member % len(together)])
                yield from _kept(model, steps, keep, f"tuning{member}")
                soup.update_parameters(model)
            model.load_state_dict(soup.module.state_dict())
    finally:
        visual.trunk, encoder.memory_format = trunk, memory_format
    first = visual.head.mlp.fc1
    with torch.no_grad():
        first.weight /= torch.from_numpy(std).to(encoder.device)
        first.bias -= first.weight @ torch.from_numpy(mean).to(encoder.device)
    encoder.model.requires_grad_(True)


def _kept(model: nn.Module, steps: Steps, folder: Path | None, name: str) -> Steps:
    """Take `steps` and keep the weights they end with, or load those that are kept."""
    file = folder / f"{name}.safetensors" if folder else None
    if file is not None and file.exists():
        model.load_state_dict(load_file(file))
        return
    yield from steps
    if file is not None:
        write_tensors(file, model.state_dict())
