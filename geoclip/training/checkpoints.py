"""Checkpoints of a training run as folders, and the run on one machine that goes on from them."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError

from geoclip.errors import GeoclipError
from geoclip.training.trainer import STATE_FOLDER, Trainer

ENCODER = "encoder"
LOSSES_FILE = "losses.csv"
EVALUATIONS_FILE = "evaluations.csv"
CHECKPOINTS = "checkpoints"
UNFINISHED = ".unfinished"

Record = dict[str, float]


@dataclass
class History:
    """What a run has reported so far: losses of every step, figures of every evaluation."""

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


def write_checkpoint(trainer: Trainer, history: History, folder: Path | None) -> None:
    """Write encoder, state and what was reported so far; None: help others to write."""
    trainer.save(folder)
    if folder is not None:
        history.write(folder)


def read_checkpoint(trainer: Trainer, folder: Path) -> History:
    """Go on from a checkpoint and return what was reported so far."""
    trainer.resume(folder)
    return History.read(folder)


def export_encoder(checkpoint: Path, out: Path, reports: Path | None = None) -> Path:
    """Copy a checkpoint's encoder to `out`/encoder, and its or another one's reports to `out`."""
    folder, draft = out / ENCODER, out / (ENCODER + UNFINISHED)
    shutil.rmtree(draft, ignore_errors=True)
    aside = shutil.ignore_patterns(STATE_FOLDER, LOSSES_FILE, EVALUATIONS_FILE)
    shutil.copytree(checkpoint, draft, ignore=aside)
    History.read(reports or checkpoint).write(out)
    if folder.exists():
        shutil.rmtree(folder)
    return draft.rename(folder)


def latest_checkpoint(out: Path) -> Path | None:
    """The checkpoint with the most steps that a run on one machine left in `out`."""
    found = [p for p in (out / CHECKPOINTS).glob("step-*") if re.fullmatch(r"step-\d+", p.name)]
    return max(found, key=lambda p: int(p.name.removeprefix("step-")), default=None)


def train_here(
    trainer: Trainer,
    out: Path,
    checkpoint_every: int = 100,
    report: Callable[[Record], None] = lambda record: None,
) -> Path:
    """Train to the end in this process and return the folder of the tuned encoder.

    Every `checkpoint_every` steps a checkpoint takes the place of the one before; a run that was
    stopped goes on from the last. `report` is called after each step with its losses.
    Raises GeoclipError where the disk is full or `out` belongs to another run.
    """
    latest = latest_checkpoint(out)
    history = History() if latest is None else read_checkpoint(trainer, latest)
    try:
        if latest is None or not trainer.finished:
            for record in trainer.run():
                history.losses.append(record)
                if trainer.step % checkpoint_every == 0 and not trainer.finished:
                    _keep(trainer, history, out)
                report(record)
            trainer.finish()
            latest = _keep(trainer, history, out)
        return export_encoder(latest, out)
    except (OSError, SafetensorError) as problem:
        raise GeoclipError(
            f"{out} cannot be written to ({problem}); free the disk and give the same command."
        ) from problem


def _keep(trainer: Trainer, history: History, out: Path) -> Path:
    """Write a checkpoint beside the older ones, put it in place whole, then drop those."""
    folder = out / CHECKPOINTS / f"step-{trainer.step}"
    draft = folder.with_name("draft" + UNFINISHED)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        write_checkpoint(trainer, history, draft)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for older in folder.parent.glob("step-*"):
        if older != folder:
            shutil.rmtree(older, ignore_errors=True)
    return folder
