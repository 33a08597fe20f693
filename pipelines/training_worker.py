"""The work of every Ray Train worker of `train_encoder`."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.process import keep_freed_memory
from geoclip.training.batches import Batches
from geoclip.training.checkpoints import History, Record, read_checkpoint, write_checkpoint
from geoclip.training.held_out import HeldOut, draw_held_out
from geoclip.training.loop import run_training
from geoclip.training.photo_set import training_photos
from geoclip.training.settings import EvaluationSettings, TrainingSettings
from geoclip.training.trainer import Trainer
from pipelines.addresses import StoredPhotos, shard_numbers
from pipelines.photo_actors import load_model
from pipelines.storage import is_uri
from pipelines.training_metrics import tell_mlflow, write_events
from pipelines.view_reader import FETCHERS
from pipelines.write_captions import read_captions


def train_on_worker(config: dict[str, Any]) -> None:
    """Train on one of the workers; all report, the first one writes checkpoints."""
    keep_freed_memory()
    torch.set_num_threads(config["threads"])
    # Ray names the GPU it assigns to this worker, even one that PyTorch cannot use.
    device = str(ray.train.torch.get_device()) if torch.cuda.is_available() else "cpu"
    encoder = load_model(config["start"], device)
    book = CaptionBook(Gazetteer.read(config["gazetteer"]), config["captioning"])
    captions = read_captions(config["captions"])
    settings: TrainingSettings = config["settings"]
    photos = training_photos(captions, book.gazetteer)
    photos = replace(photos, shards=shard_numbers(photos.paths))
    fetch = StoredPhotos()
    threads = FETCHERS if any(map(is_uri, photos.paths)) else 2
    decode = config["decoders"]
    batches = Batches(encoder, book, photos, settings, fetch=fetch, threads=threads, decode=decode)
    trainer = Trainer(batches, sharded=config["fsdp"])
    evaluation: EvaluationSettings = config["evaluation"]
    held_out = None
    if evaluation.evaluate_every:
        drawn = draw_held_out(captions, evaluation, settings.seed, book.gazetteer)
        held_out = HeldOut(drawn, book, trainer.workers, config["ranking"], fetch)

    if is_first() and config["counter"] is not None:
        config["counter"].say.remote(trainer.plan)

    def report(metrics: Record) -> None:
        """Send progress to the program that started the training; nobody waits for the answer."""
        if is_first() and config["counter"] is not None:
            step, steps = trainer.step, trainer.batches.steps
            config["counter"].set.remote(step, steps, f"loss {metrics['loss']:.3f}")

    run_training(
        trainer,
        RayCheckpoints(config["out"], config["mlflow"]),
        checkpoint_every=config["checkpoint_every"],
        held_out=held_out,
        evaluate_every=evaluation.evaluate_every,
        report=report,
    )


def is_first() -> bool:
    """Whether this worker writes."""
    return bool(ray.train.get_context().get_world_rank() == 0)


class RayCheckpoints:
    """Checkpoints stored by Ray Train; each one also updates TensorBoard and MLflow."""

    def __init__(self, out: str, mlflow: str | None) -> None:
        self.out = out
        self.mlflow = mlflow
        self.told = (0, 0)
        """Numbers of losses and evaluations already sent to TensorBoard and MLflow."""

    def resume(self, trainer: Trainer) -> History:
        """Resume from Ray Train's last checkpoint, if there is one."""
        last = ray.train.get_checkpoint()
        if last is None:
            return History()
        with last.as_directory() as folder:
            history = read_checkpoint(trainer, Path(folder))
        self.told = len(history.losses), len(history.evaluations)
        return history

    def keep(self, trainer: Trainer, history: History, metrics: Record) -> None:
        """Report a checkpoint and the metrics by which Ray Train finds the best one."""
        first = is_first()
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(trainer, history, Path(folder) if first else None)
            checkpoint = ray.train.Checkpoint.from_directory(folder) if first else None
            if first:
                self._tell(history)
            ray.train.report(metrics, checkpoint=checkpoint)

    def _tell(self, history: History) -> None:
        """Update TensorBoard and MLflow before the checkpoint counts: nothing is left out."""
        losses = history.losses[self.told[0] :]
        evaluations = history.evaluations[self.told[1] :]
        write_events(self.out, losses, evaluations)
        if self.mlflow:
            tell_mlflow(self.mlflow, self.out, losses, evaluations)
        self.told = len(history.losses), len(history.evaluations)
