"""The training run: its steps, its end, and the state that lets it go on."""

import json
import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from geoclip.encoders import Encoder
from geoclip.encoders.loading import load_folder
from geoclip.encoders.precision import AUTO
from geoclip.errors import GeoclipError
from geoclip.support.files import write_tensors
from geoclip.support.seeds import seeded_uniforms
from geoclip.training.auxiliary import AuxiliaryLoss, Distillation
from geoclip.training.batches import Batches
from geoclip.training.identity import check_same_run, made_of
from geoclip.training.optimizer import make_optimizer, schedule, set_learning_rates
from geoclip.training.step import Batch, contrastive_gradients
from geoclip.training.towers import compile_towers, freeze_batch_norm
from geoclip.training.trial import chosen_precision
from geoclip.training.workers import clip_gradients, load_weights, part_of, shard_blocks, whole

STATE_FOLDER = "state"
"""Subfolder of a saved encoder, so that no loader takes the state for weights."""
STATE_FILE = f"{STATE_FOLDER}/optimizer.safetensors"
PROGRESS_FILE = f"{STATE_FOLDER}/progress.json"
MAX_LOG_LOGIT_SCALE = math.log(100)
"""CLIP's own bound on the logit scale (Radford et al. 2021)."""


class Trainer:
    """Fine-tunes the encoder of its batches in place, step by step.

    A run that is stopped after any step and resumed from its saved state takes the same steps as
    an uninterrupted one: order, captions, augmentation and dropout depend on seed and step alone.
    `auxiliary` are losses beside the contrastive one; `settings.distillation` adds one that holds
    image embeddings near the starting encoder's. With `sharded` each worker holds a part of the
    towers' blocks (see `geoclip.training.workers`); all workers must then call `whole_encoder` and
    `save` together.
    """

    def __init__(
        self, batches: Batches, auxiliary: Sequence[AuxiliaryLoss] = (), sharded: bool = False
    ) -> None:
        self.batches = batches
        self.encoder = encoder = batches.encoder
        settings = replace(batches.settings, precision=chosen_precision(batches))
        self.settings = settings
        self.workers = batches.workers
        self.auxiliary = list(auxiliary)
        self.step = 0
        self.averaged = False
        self._made_of = made_of(batches)
        self.start = deepcopy(encoder) if settings.alpha < 1 or settings.distillation else None
        if self.start is not None:
            self.start.model.eval()
            if settings.distillation:
                self.auxiliary.append(Distillation(self.start, settings.distillation))
        self.mould = deepcopy(encoder) if sharded else None
        if self.mould is not None:
            self.mould.model.cpu()
            shard_blocks(encoder, self.workers)
        if settings.compile:
            compile_towers(encoder)
        self.optimizer = make_optimizer(encoder, settings)
        self._steps_without_photo = 0

    def run(self) -> Iterator[dict[str, float]]:
        """Take the remaining steps, yielding each one's losses, learning rate and position.

        Photos that cannot be read are left out. Raises GeoclipError where an epoch has no other.
        """
        settings = self.settings
        self._steps_without_photo = 0
        for step, batch in self.batches.iterate(self.step):
            rate = schedule(step, self.batches.steps, settings.warmup)
            values = self._take(step, batch, rate)
            self.step = step + 1
            yield {
                **values,
                "step": self.step,
                "epoch": step // self.batches.steps_per_epoch,
                "learning_rate": settings.learning_rate * rate,
                "logit_scale": float(self.encoder.log_logit_scale.detach().exp()),
            }

    def _take(self, step: int, batch: Batch, rate: float) -> dict[str, float]:
        """Take one step at a share `rate` of the peak learning rates; returns its losses."""
        encoder, settings = self.encoder, self.settings
        encoder.model.train()
        freeze_batch_norm(encoder.model)
        chance = seeded_uniforms(1, settings.seed, step, self.workers.rank)[0]
        torch.manual_seed(int(chance * 2**62))
        set_learning_rates(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        values = contrastive_gradients(encoder, batch, settings, self.workers, self.auxiliary)
        if values["unreadable"] < len(batch.truth):
            self._steps_without_photo = 0
            if settings.gradient_clip:
                clip_gradients(encoder.model.parameters(), settings.gradient_clip)
            self.optimizer.step()
        else:  # weight decay and momentum would change the weights without a photo
            self._note_step_without_photo(len(batch.truth))
        if settings.loss == "clip":  # SigLIP sets no bound and its weights lie beyond CLIP's
            with torch.no_grad():
                encoder.log_logit_scale.clamp_(0, MAX_LOG_LOGIT_SCALE)
        return values

    def _note_step_without_photo(self, photos: int) -> None:
        self._steps_without_photo += 1
        if self._steps_without_photo == self.batches.steps_per_epoch:
            one = min(self.batches.unreadable, default=self.batches.photos.ids[0])
            raise GeoclipError(
                f"None of the last {self._steps_without_photo * photos:,} photos could be "
                f"read ({one} for one); check the files."
            )

    @property
    def finished(self) -> bool:
        """Whether no step remains."""
        return self.step >= self.batches.steps

    def finish(self) -> None:
        """Average the tuned weights with the starting ones, once, as `settings.alpha` says."""
        self.encoder.model.eval()
        if self.start is not None and self.settings.alpha < 1 and not self.averaged:
            interpolate_weights(self.encoder.model, self.start.model, self.settings.alpha)
            self.averaged = True

    def whole_encoder(self, device: torch.device | str = "cpu") -> Encoder:
        """The encoder in training, or on `device` a copy where its blocks are sharded."""
        if self.mould is None:
            return self.encoder
        weights = {name: whole(value) for name, value in self.encoder.model.state_dict().items()}
        self.mould.model.load_state_dict(weights)
        self.mould.model.to(device)
        return self.mould

    def save(self, folder: Path | None) -> None:
        """Write encoder, optimizer state and position; no pickle. None: help others to write."""
        encoder = self.whole_encoder()
        tensors = {
            f"{name}/{key}": whole(value).cpu()  # all of them need not fit into the device
            for name, p in self.encoder.model.named_parameters()
            for key, value in self.optimizer.state.get(p, {}).items()
        }
        if folder is None:
            return
        encoder.save(folder)
        (folder / STATE_FILE).parent.mkdir(exist_ok=True)
        write_tensors(folder / STATE_FILE, tensors)
        position = {
            "step": self.step,
            "averaged": self.averaged,
            "precision": self.settings.precision,
            "run": self._made_of,
        }
        (folder / PROGRESS_FILE).write_text(json.dumps(position, indent=2) + "\n")

    def resume(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises GeoclipError if there is nothing to go on from or it belongs to another run.
        """
        try:
            position = json.loads((folder / PROGRESS_FILE).read_text())
            state = load_file(folder / STATE_FILE)
        except (OSError, ValueError, SafetensorError) as error:
            raise GeoclipError(
                f"{folder} holds no complete training state; name a folder that training wrote."
            ) from error
        check_same_run(folder, position["run"], self._made_of)
        load_weights(self.encoder.model, load_folder(folder).model.state_dict())
        parameters = dict(self.encoder.model.named_parameters())
        for key, value in state.items():
            name, field = key.rsplit("/", 1)
            parameter = parameters[name]
            part = value if field == "step" else part_of(value, parameter)
            self.optimizer.state[parameter][field] = part
        self.step, self.averaged = position["step"], position["averaged"]
        if self.batches.settings.precision == AUTO:
            self.settings = replace(self.settings, precision=position["precision"])


@torch.no_grad()
def interpolate_weights(tuned: nn.Module, start: nn.Module, alpha: float) -> None:
    """Set `tuned` to alpha · tuned + (1 - alpha) · start, parameter by parameter, in place.

    WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903). Integer buffers keep the tuned value.
    """
    old = start.state_dict()
    for name, value in tuned.state_dict().items():
        if value.is_floating_point():
            value.copy_(alpha * value + (1 - alpha) * part_of(old[name], value))
