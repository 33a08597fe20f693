"""Checkpoints of a training run as folders, and the run on one machine that goes on from them."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError

from geoclip.errors import GeoclipError
from geoclip.training.trainer import STATE_FOLDER, Trainer

ENCODER = "encoder"
LOSSES_FILE = "losses.csv"
CHECKPOINTS = "checkpoints"
UNFINISHED = ".unfinished"

Record = dict[str, float]


def write_checkpoint(trainer: Trainer, records: list[Record], folder: Path) -> None:
    """Write encoder, state and the losses of all steps so far."""
    trainer.save(folder)
    pd.DataFrame(records).to_csv(folder / LOSSES_FILE, index=False)


def read_checkpoint(trainer: Trainer, folder: Path) -> list[Record]:
    """Go on from a checkpoint and return the losses so far."""
    trainer.resume(folder)
    return pd.read_csv(folder / LOSSES_FILE).to_dict("records")


def export_encoder(checkpoint: Path, out: Path) -> Path:
    """Copy a checkpoint's encoder to `out`/encoder and its losses to `out`/losses.csv."""
    folder, draft = out / ENCODER, out / (ENCODER + UNFINISHED)
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(checkpoint, draft, ignore=shutil.ignore_patterns(STATE_FOLDER, LOSSES_FILE))
    shutil.copy(checkpoint / LOSSES_FILE, out / LOSSES_FILE)
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
    records = [] if latest is None else read_checkpoint(trainer, latest)
    try:
        if latest is None or not trainer.finished:
            for record in trainer.run():
                records.append(record)
                if trainer.step % checkpoint_every == 0 and not trainer.finished:
                    _keep(trainer, records, out)
                report(record)
            trainer.finish()
            latest = _keep(trainer, records, out)
        return export_encoder(latest, out)
    except (OSError, SafetensorError) as problem:
        raise GeoclipError(
            f"{out} cannot be written to ({problem}); free the disk and give the same command."
        ) from problem


def _keep(trainer: Trainer, records: list[Record], out: Path) -> Path:
    """Write a checkpoint beside the older ones, put it in place whole, then drop those."""
    folder = out / CHECKPOINTS / f"step-{trainer.step}"
    draft = folder.with_name("draft" + UNFINISHED)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        write_checkpoint(trainer, records, draft)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for older in folder.parent.glob("step-*"):
        if older != folder:
            shutil.rmtree(older, ignore_errors=True)
    return folder
