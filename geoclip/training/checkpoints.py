"""Checkpoints of a training run, its reports, and its final encoder."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pandas as pd
from safetensors import SafetensorError

from geoclip.errors import GeoclipError
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.ranking.model_settings import ModelSettings
from geoclip.training.trainer import STATE_FOLDER, Trainer

ENCODER = "encoder"
LOSSES_FILE = "losses.csv"
EVALUATIONS_FILE = "evaluations.csv"
CHECKPOINTS = "checkpoints"
UNFINISHED = ".unfinished"

Record = dict[str, float]


@dataclass
class History:
    """The reports of a run so far: losses of every step, figures of every evaluation."""

    losses: list[Record] = field(default_factory=list)
    evaluations: list[Record] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write losses.csv, and evaluations.csv if there was an evaluation."""
        pd.DataFrame(self.losses).to_csv(folder / LOSSES_FILE, index=False)
        if self.evaluations:
            pd.DataFrame(self.evaluations).to_csv(folder / EVALUATIONS_FILE, index=False)

    @classmethod
    def read(cls, folder: Path) -> "History":
        """Read what `write` wrote."""
        tables = [
            pd.read_csv(folder / name).to_dict("records") if (folder / name).is_file() else []
            for name in (LOSSES_FILE, EVALUATIONS_FILE)
        ]
        return cls(*tables)


class CheckpointStore(Protocol):
    """The store of a run's checkpoints. All workers call both methods."""

    def resume(self, trainer: Trainer) -> History:
        """Resume a trainer from the last checkpoint, if there is one.

        Returns the run's reports so far.
        """

    def keep(self, trainer: Trainer, history: History, metrics: Record) -> None:
        """Write a checkpoint. `metrics` are the losses and figures of its step."""


class NoCheckpoints:
    """A store that keeps nothing."""

    def resume(self, trainer: Trainer) -> History:
        """Nothing was reported."""
        return History()

    def keep(self, trainer: Trainer, history: History, metrics: Record) -> None:
        """Do nothing."""


class FolderCheckpoints:
    """Checkpoints of a run on one machine: the last one and the best evaluated by a figure.

    They lie in `out`/checkpoints/step-N. Raises GeoclipError where `out` cannot be written to.
    """

    def __init__(self, out: Path, best_by: str | None = None) -> None:
        self.out = out
        self.best_by = best_by

    def resume(self, trainer: Trainer) -> History:
        """Resume from the checkpoint with the most steps."""
        last = latest_checkpoint(self.out)
        return History() if last is None else read_checkpoint(trainer, last)

    def keep(self, trainer: Trainer, history: History, metrics: Record) -> None:
        """Write a checkpoint whole beside the older ones, then drop those."""
        folder = self._folder(trainer.step)
        draft = folder.with_name("draft" + UNFINISHED)
        with writing_to(self.out):
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            try:
                write_checkpoint(trainer, history, draft)
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        best = self._best(history)
        for other in folder.parent.glob("step-*"):
            if other not in (folder, best):
                shutil.rmtree(other, ignore_errors=True)

    def export(self, settings: ModelSettings, trained: TrainedPhotos | None = None) -> Path:
        """Write `out`/encoder from the best checkpoint, else the last, as `export_encoder` does.

        Raises GeoclipError without a checkpoint.
        """
        last = latest_checkpoint(self.out)
        if last is None:
            raise GeoclipError(f"{self.out} holds no checkpoint; give the same command again.")
        chosen = self._best(History.read(last)) or last
        return export_encoder(chosen, self.out, settings, trained, last)

    def _folder(self, step: float) -> Path:
        return self.out / CHECKPOINTS / f"step-{step:.0f}"

    def _best(self, history: History) -> Path | None:
        """Of the existing checkpoints, the first with the highest figure `best_by`."""
        scored = [
            (record[self.best_by], self._folder(record["step"]))
            for record in history.evaluations
            if self.best_by in record and self._folder(record["step"]).is_dir()
        ]
        return max(scored, key=lambda pair: pair[0], default=(0.0, None))[1]


def write_checkpoint(trainer: Trainer, history: History, folder: Path | None) -> None:
    """Write encoder, state and reports so far; None: only help others to write."""
    trainer.save(folder)
    if folder is not None:
        history.write(folder)


def read_checkpoint(trainer: Trainer, folder: Path) -> History:
    """Resume from a checkpoint and return the reports so far."""
    trainer.resume(folder)
    return History.read(folder)


def latest_checkpoint(out: Path) -> Path | None:
    """The checkpoint with the most steps in `out`, from a run on one machine."""
    found = [p for p in (out / CHECKPOINTS).glob("step-*") if re.fullmatch(r"step-\d+", p.name)]
    return max(found, key=lambda p: int(p.name.removeprefix("step-")), default=None)


def export_encoder(
    checkpoint: Path,
    out: Path,
    settings: ModelSettings,
    trained: TrainedPhotos | None = None,
    reports: Path | None = None,
) -> Path:
    """Write a checkpoint's encoder with its settings to `out`/encoder, and the reports to `out`.

    `trained` are the training photos, noted beside the weights. `reports` is the checkpoint of the
    written losses and figures, if another. An older encoder stays until the new one is whole.
    Raises GeoclipError where `out` cannot be written to.
    """
    folder, draft = out / ENCODER, out / (ENCODER + UNFINISHED)
    aside = shutil.ignore_patterns(STATE_FOLDER, LOSSES_FILE, EVALUATIONS_FILE)
    with writing_to(out):
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(checkpoint, draft, ignore=aside)
        settings.write(draft)
        (trained or TrainedPhotos()).write(draft)
        History.read(reports or checkpoint).write(out)
        if folder.exists():
            shutil.rmtree(folder)
        return draft.rename(folder)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into one sentence, a GeoclipError."""
    try:
        yield
    except (OSError, SafetensorError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise GeoclipError(
            f"{folder} cannot be written to ({reason}); free space there and give the same "
            "command again, or name another folder."
        ) from problem
