"""The training run: optimizer, schedule, steps, and the state that lets it go on."""

import hashlib
import json
import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.distributed.tensor import DTensor

from geoclip.encoders import Encoder
from geoclip.encoders.encoder import weight_sample
from geoclip.encoders.loading import load_folder
from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionBook
from geoclip.support.files import write_tensors
from geoclip.support.seeds import seeded_uniforms
from geoclip.training.batches import Batches, PhotoSet
from geoclip.training.compiling import compile_towers
from geoclip.training.interpolation import interpolate_weights
from geoclip.training.settings import TrainingSettings
from geoclip.training.sharding import clip_gradients, load_weights, part_of, shard_blocks, whole
from geoclip.training.step import contrastive_gradients, freeze_batch_norm
from geoclip.training.workers import Workers

STATE_FOLDER = "state"
"""Subfolder of a saved encoder, so that no loader takes the state for weights."""
STATE_FILE = f"{STATE_FOLDER}/optimizer.safetensors"
PROGRESS_FILE = f"{STATE_FOLDER}/progress.json"
MAX_LOG_LOGIT_SCALE = math.log(100)
"""CLIP's own bound on the logit scale (Radford et al. 2021)."""


class Trainer:
    """Fine-tunes an encoder in place, step by step.

    A run that is stopped after any step and continued from its saved state takes the same steps
    as one that was not: order, captions, augmentation and dropout depend on seed and step alone.
    With `sharded` each worker holds a part of the towers' blocks (see `geoclip.training.sharding`);
    all workers must then call `whole_encoder` and `save` together.
    """

    def __init__(
        self,
        encoder: Encoder,
        photos: PhotoSet,
        book: CaptionBook,
        settings: TrainingSettings,
        workers: Workers | None = None,
        sharded: bool = False,
    ) -> None:
        self.encoder = encoder
        self.settings = settings
        self.workers = workers or Workers.current()
        self.batches = Batches(encoder, book, photos, settings, self.workers)
        self.step = 0
        self.averaged = False
        needs_start = settings.alpha < 1 or settings.distillation
        self._identity = self._what_it_is_made_of(photos, book)
        self.start = deepcopy(encoder) if needs_start else None
        if self.start is not None:
            self.start.model.eval()
        self.mould = deepcopy(encoder) if sharded else None
        if self.mould is not None:
            self.mould.model.cpu()
            shard_blocks(encoder, self.workers)
        if settings.compile:
            compile_towers(encoder)
        self.optimizer = make_optimizer(encoder, settings)

    def run(self) -> Iterator[dict[str, float]]:
        """Take the remaining steps, yielding each one's losses, learning rate and position.

        Photos that cannot be read are left out. Raises GeoclipError where an epoch has no other.
        """
        encoder, settings = self.encoder, self.settings
        steps_without = 0
        for step, batch in self.batches.iterate(self.step):
            encoder.model.train()
            freeze_batch_norm(encoder.model)
            torch.manual_seed(
                int(seeded_uniforms(1, settings.seed, step, self.workers.rank)[0] * 2**62)
            )
            rate = schedule(step, self.batches.steps, settings.warmup)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
            self.optimizer.zero_grad(set_to_none=True)
            values = contrastive_gradients(encoder, batch, settings, self.workers, self.start)
            if values["unreadable"] < len(batch.truth):
                steps_without = 0
                if settings.gradient_clip:
                    clip_gradients(encoder.model.parameters(), settings.gradient_clip)
                self.optimizer.step()
            else:  # weight decay and momentum would change the weights without a photo
                steps_without += 1
                if steps_without == self.batches.steps_per_epoch:
                    one = min(self.batches.unreadable, default=self.batches.photos.ids[0])
                    raise GeoclipError(
                        f"None of the last {steps_without * len(batch.truth):,} photos could be "
                        f"read ({one} for one); check the files."
                    )
            if settings.loss == "clip":  # SigLIP sets no bound and its weights lie beyond CLIP's
                with torch.no_grad():
                    encoder.log_logit_scale.clamp_(0, MAX_LOG_LOGIT_SCALE)
            self.step = step + 1
            yield {
                **values,
                "step": self.step,
                "epoch": step // self.batches.steps_per_epoch,
                "learning_rate": settings.learning_rate * rate,
                "logit_scale": float(encoder.log_logit_scale.detach().exp()),
            }

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
        """The encoder in training, or on `device` a copy where its blocks are shared out."""
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
        position = {"step": self.step, "averaged": self.averaged, "run": self._identity}
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
        self._check_run(folder, position["run"])
        load_weights(self.encoder.model, load_folder(folder).model.state_dict())
        parameters = dict(self.encoder.model.named_parameters())
        for key, value in state.items():
            name, field = key.rsplit("/", 1)
            parameter = parameters[name]
            part = value if field == "step" else part_of(value, parameter)
            self.optimizer.state[parameter][field] = part
        self.step, self.averaged = position["step"], position["averaged"]

    def _what_it_is_made_of(self, photos: PhotoSet, book: CaptionBook) -> dict[str, object]:
        """What must be alike for a saved state to belong to this run.

        How much passes the towers at a time and whether they are compiled may differ.
        """
        made_of = {
            "steps": self.batches.steps,
            **self.settings.identity(),
            "photos": photos.digest()[:16],
            "start": weights_digest(self.encoder),
            "gazetteer": book.gazetteer.fingerprint,
            "wording": asdict(book.settings),
        }
        plain: dict[str, object] = json.loads(json.dumps(made_of))
        return plain

    def _check_run(self, folder: Path, saved: dict[str, object]) -> None:
        for name, value in self._identity.items():
            if name in saved and saved[name] != value:
                raise GeoclipError(
                    f"{folder} was saved by another run (its {name}: {saved[name]}, this "
                    f"one's: {value}); use the same photos and settings, or another folder."
                )


def weights_digest(encoder: Encoder) -> str:
    """Short hash of an even sample of all weights: a model starts a run only as it was."""
    digest = hashlib.sha256()
    for name, value in encoder.model.state_dict().items():
        digest.update(f"{name} ".encode() + weight_sample(value, 256))
    return digest.hexdigest()[:16]


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate: linear warm-up, then linear decay to 0."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (steps - step) / max(1, steps - rising))


def make_optimizer(encoder: Encoder, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW with a learning rate for each tower; no weight decay on biases, norms and scales."""
    text_rate = settings.text_learning_rate
    text_rate = settings.learning_rate if text_rate is None else text_rate
    texts = {id(p) for p in encoder.tower_parameters("text")}
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for parameter in encoder.model.parameters():
        rate = text_rate if id(parameter) in texts else settings.learning_rate
        decay = settings.weight_decay if parameter.ndim >= 2 else 0.0
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            # A group is updated at once, which whole weights and parts of weights cannot be.
            groups.setdefault((rate, decay, isinstance(parameter, DTensor)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "peak_lr": rate, "weight_decay": decay}
            for (rate, decay, _), parameters in groups.items()
        ],
        betas=settings.betas,
    )
