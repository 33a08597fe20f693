"""The training run: its steps, its end, and its resumable state."""

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
from geoclip.training.adapters import add_adapters, scale_adapters, without_adapters
from geoclip.training.auxiliary import AuxiliaryLoss, Distillation, Reconstruction
from geoclip.training.batches import Batches
from geoclip.training.identity import check_same_run, made_of
from geoclip.training.label_smoothing import LabelSmoothing
from geoclip.training.memory import chosen_chunk_size
from geoclip.training.optimizer import (
    PeakRates,
    freeze,
    make_optimizer,
    schedule,
    set_learning_rates,
)
from geoclip.training.settings import LORA
from geoclip.training.step import Batch, contrastive_gradients
from geoclip.training.towers import compile_towers, freeze_batch_norm
from geoclip.training.trial import chosen_precision
from geoclip.training.workers import clip_gradients, load_weights, part_of, shard_blocks, whole

STATE_FOLDER = "state"
"""Subfolder of a saved encoder, so that no loader takes the state for weights."""
STATE_FILE = f"{STATE_FOLDER}/optimizer.safetensors"
PROGRESS_FILE = f"{STATE_FOLDER}/progress.json"
TUNED = "tuned"
"""Marks a tuned weight itself among the optimizer's tensors."""
MAX_LOG_LOGIT_SCALE = math.log(100)
"""CLIP's own bound on the logit scale (Radford et al. 2021)."""


class Trainer:
    """Fine-tunes the encoder of its batches in place, step by step.

    A run stopped after any step and resumed from its saved state takes the same steps as an
    uninterrupted one: order, captions, augmentation and dropout depend only on seed and step.
    `auxiliary` are losses beside the contrastive one; `settings.distillation`,
    `settings.reconstruction` and `settings.label_smoothing` add theirs. The siglip loss adds a
    logit bias to a model without one, permanently. With `tune` "lora" the encoder now has adapters;
    `whole_encoder` is without them. With `sharded` each worker holds a part of the towers' blocks
    (see `geoclip.training.workers`); all workers must then call `whole_encoder` and `save`
    together.

    >>> from geoclip import Gazetteer, TrainingSettings, load_encoder, read_photo_table
    >>> from geoclip.places.captions import CaptionBook
    >>> from geoclip.training.photo_set import label_photos, training_photos
    >>> world, settings = Gazetteer.default(), TrainingSettings(epochs=1, tune="projection")
    >>> photos = label_photos(read_photo_table("photos.csv"), world).assign(split="train")
    >>> encoder, book = load_encoder("street-tiny"), CaptionBook(world)
    >>> trainer = Trainer(Batches(encoder, book, training_photos(photos, world), settings))
    >>> [losses["step"] for losses in trainer.run()]
    [1]
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
        self.rates = PeakRates.of(settings, batches.steps)
        self._made_of = made_of(batches) | {"learning_rate": self.rates.image}
        self.start = deepcopy(encoder) if settings.alpha < 1 or settings.distillation else None
        if self.start is not None:
            self.start.model.eval()
            if settings.distillation:
                self.auxiliary.append(Distillation(self.start, settings.distillation))
        if settings.reconstruction:
            self.auxiliary.append(Reconstruction(settings.reconstruction))
        if settings.label_smoothing:
            smoothed = settings.smoothing_km, settings.label_smoothing
            self.auxiliary.append(LabelSmoothing(encoder, batches.book, *smoothed))
        self.adapted = settings.tuned.kind == LORA
        if self.adapted and sharded:
            raise GeoclipError("lora and FSDP cannot be combined; leave one of them out.")
        if settings.loss == "siglip" and encoder.logit_bias is None:
            encoder.add_logit_bias()
        self._prepare_towers()
        self.mould = deepcopy(encoder) if sharded else None
        if self.mould is not None:
            self.mould.model.cpu()
            shard_blocks(encoder, self.workers)
        if settings.compile:
            compile_towers(encoder)
        self.optimizer = make_optimizer(encoder, settings, self.rates)
        self._steps_without_photo = 0

    def _prepare_towers(self) -> None:
        """Give the towers adapters, freeze the other weights, and choose the chunk size."""
        encoder, settings = self.encoder, self.settings
        if self.adapted:
            add_adapters(encoder, settings.tuned.number, self.rates.towers, settings.seed)
        freeze(encoder, settings.tuned, self.rates)
        if settings.activation_checkpointing:
            encoder.checkpoint_activations()
        if settings.chunk_size is None:
            self.settings = replace(settings, chunk_size=chosen_chunk_size(self.batches, settings))

    @property
    def plan(self) -> str:
        """A sentence on the tuned weights, the learning rates and the chunk size."""
        settings, rates = self.batches.settings, self.rates
        chosen = f" (chosen for {self.batches.steps:,} steps)"
        rate = f"{rates.image:.2g}{chosen if settings.learning_rate is None else ''}"
        if rates.text != rates.image:
            rate += f", {rates.text:.2g} for the text tower"
        known = " (chosen for the free memory)" if settings.chunk_size is None else ""
        trained = sum(p.numel() for p in self.encoder.model.parameters() if p.requires_grad)
        return (
            f"Tuning {settings.tune}, {trained / 1e6:,.2f} M weights; peak learning rate {rate}; "
            f"{self.settings.chunk_size} photos at a time{known}."
        )

    def run(self) -> Iterator[dict[str, float]]:
        """Take the remaining steps, yielding each one's losses, learning rate and position.

        Unreadable photos are left out. Raises GeoclipError if an epoch has no readable photo.
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
                "learning_rate": self.rates.image * rate,
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
        if settings.loss == "clip":  # SigLIP has no bound, and its weights exceed CLIP's
            with torch.no_grad():
                encoder.log_logit_scale.clamp_(0, MAX_LOG_LOGIT_SCALE)
        return values

    def _note_step_without_photo(self, photos: int) -> None:
        self._steps_without_photo += 1
        if self._steps_without_photo == self.batches.steps_per_epoch:
            one = min(self.batches.unreadable, default=self.batches.photos.ids[0])
            raise GeoclipError(
                f"None of the last {self._steps_without_photo * photos:,} photos could be read "
                f"({one} for one); check the files."
            )

    @property
    def finished(self) -> bool:
        """Whether no step remains."""
        return self.step >= self.batches.steps

    def finish(self) -> None:
        """Average the tuned weights with the starting ones, once, by `settings.alpha`."""
        self.encoder.model.eval()
        if self.start is not None and self.settings.alpha < 1 and not self.averaged:
            interpolate_weights(self.encoder.model, self.start.model, self.settings.alpha)
            scale_adapters(self.encoder.model, self.settings.alpha)
            self.averaged = True

    def whole_encoder(self, device: torch.device | str = "cpu") -> Encoder:
        """The encoder in training, or a copy with plain layers if it is sharded or has adapters.

        The copy of a sharded encoder is on `device`.
        """
        if self.adapted:
            return without_adapters(self.encoder)
        if self.mould is None:
            return self.encoder
        weights = {name: whole(value) for name, value in self.encoder.model.state_dict().items()}
        self.mould.model.load_state_dict(weights)
        self.mould.model.to(device)
        return self.mould

    def save(self, folder: Path | None) -> None:
        """Write encoder, optimizer state and position, without pickle. None: help others write."""
        encoder = self.whole_encoder()
        tensors = {
            f"{name}/{key}": whole(value).cpu()  # the device may be too small for all
            for name, p in self.encoder.model.named_parameters()
            for key, value in self.optimizer.state.get(p, {}).items()
        }
        if self.adapted:  # the saved encoder has no adapters
            named = self.encoder.model.named_parameters()
            tensors |= {f"{name}/{TUNED}": p for name, p in named if p.requires_grad}
        if folder is None:
            return
        encoder.save(folder)
        (folder / STATE_FILE).parent.mkdir(exist_ok=True)
        write_tensors(folder / STATE_FILE, tensors)
        position = {
            "step": self.step,
            "averaged": self.averaged,
            "chunk_size": self.settings.chunk_size,
            "precision": self.settings.precision,
            "run": self._made_of,
        }
        (folder / PROGRESS_FILE).write_text(json.dumps(position, indent=2) + "\n")

    def resume(self, folder: Path) -> None:
        """Resume from the output of `save`.

        Raises GeoclipError if there is no state or it belongs to another run.
        """
        try:
            position = json.loads((folder / PROGRESS_FILE).read_text())
            state = load_file(folder / STATE_FILE)
        except (OSError, ValueError, SafetensorError) as error:
            raise GeoclipError(
                f"{folder} holds no complete training state; name a folder that training wrote."
            ) from error
        check_same_run(folder, position["run"], self._made_of)
        if not self.adapted:
            load_weights(self.encoder.model, load_folder(folder).model.state_dict())
        if self.batches.settings.chunk_size is None:  # dropout draws anew for each chunk
            chunk_size = position.get("chunk_size", self.settings.chunk_size)
            self.settings = replace(self.settings, chunk_size=chunk_size)
        parameters = dict(self.encoder.model.named_parameters())
        for key, value in state.items():
            name, field = key.rsplit("/", 1)
            parameter = parameters[name]
            if field == TUNED:
                parameter.data.copy_(value)
                continue
            part = value if field == "step" else part_of(value, parameter)
            self.optimizer.state[parameter][field] = part
        self.step, self.averaged = position["step"], position["averaged"]
        if self.batches.settings.precision == AUTO:
            self.settings = replace(self.settings, precision=position["precision"])


@torch.no_grad()
def interpolate_weights(tuned: nn.Module, start: nn.Module, alpha: float) -> None:
    """Set `tuned` to alpha · tuned + (1 - alpha) · start, parameter by parameter, in place.

    WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903). Integer buffers keep the tuned value, as do
    weights that `start` lacks: adapters, and a new logit bias.
    """
    old = start.state_dict()
    for name, value in tuned.state_dict().items():
        if value.is_floating_point() and name in old:
            # Exact where both are equal, as for frozen weights.
            value.copy_(torch.lerp(part_of(old[name], value), value, alpha))
