"""What every Ray Train worker of `train_encoder` does."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.process import keep_freed_memory
from geoclip.training.checkpoints import History, read_checkpoint, write_checkpoint
from geoclip.training.held_out import EvaluationSettings, HeldOut, draw_held_out
from geoclip.training.labelled import training_photos
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer
from pipelines.photo_actors import load_model
from pipelines.training_metrics import tell_mlflow, write_events
from pipelines.write_captions import read_captions


def train_on_worker(config: dict[str, Any]) -> None:
    """Train on one of the workers; all report, the first one writes checkpoints."""
    keep_freed_memory()
    torch.set_num_threads(config["threads"])
    encoder = load_model(config["start"], str(ray.train.torch.get_device()))
    book = CaptionBook(Gazetteer.read(config["gazetteer"]), config["wording"])
    captions = read_captions(config["captions"])
    settings: TrainingSettings = config["settings"]
    photos = training_photos(captions, book.gazetteer)
    trainer = Trainer(encoder, photos, book, settings, sharded=config["fsdp"])
    evaluation: EvaluationSettings = config["evaluation"]
    held_out = None
    if evaluation.evaluate_every:
        drawn = draw_held_out(captions, evaluation, settings.seed)
        held_out = HeldOut(drawn, book, trainer.workers, config["ranking"])
    progress = Progress(trainer, held_out, config)
    progress.resume()
    for _ in progress.steps():
        due = [config["checkpoint_every"], evaluation.evaluate_every]
        report, evaluate = (every and trainer.step % every == 0 for every in due)
        if (report or evaluate) and not trainer.finished:
            progress.report(bool(evaluate))
    trainer.finish()
    progress.report(evaluate=True)


@dataclass
class Progress:
    """What happened so far, and how it and the weights are reported."""

    trainer: Trainer
    held_out: HeldOut | None
    config: dict[str, Any]
    history: History = field(default_factory=History)
    told: tuple[int, int] = (0, 0)
    """How many losses and evaluations TensorBoard and MLflow know of."""

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes."""
        return ray.train.get_context().get_world_rank() == 0

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        latest = ray.train.get_checkpoint()
        if latest is not None:
            with latest.as_directory() as folder:
                self.history = read_checkpoint(self.trainer, Path(folder))
            self.told = len(self.history.losses), len(self.history.evaluations)

    def steps(self) -> Any:
        """Take the remaining steps; the program that started the training is told of each."""
        counter = self.config["counter"]
        for record in self.trainer.run():
            self.history.losses.append(record)
            if self.first and counter is not None:  # nobody waits for the answer
                words = f"loss {record['loss']:.3f}"
                counter.set.remote(self.trainer.step, self.trainer.batches.steps, words)
            yield record

    def report(self, evaluate: bool) -> None:
        """Report the last step with a checkpoint. All workers must call this."""
        metrics = dict(self.history.losses[-1]) if self.history.losses else {}
        if evaluate and self.held_out is not None:
            device = self.trainer.encoder.device
            figures = self.held_out.figures(self.trainer.whole_encoder(device))
            evaluated = {"step": float(self.trainer.step), **figures}
            if evaluated not in self.history.evaluations:  # a finished run that is started again
                self.history.evaluations.append(evaluated)
            metrics.update(figures)
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(self.trainer, self.history, Path(folder) if self.first else None)
            checkpoint = ray.train.Checkpoint.from_directory(folder) if self.first else None
            if self.first:
                self._tell()
            ray.train.report(metrics, checkpoint=checkpoint)

    def _tell(self) -> None:
        """Tell TensorBoard and MLflow before the checkpoint counts: so nothing is left out."""
        losses = self.history.losses[self.told[0] :]
        evaluations = self.history.evaluations[self.told[1] :]
        write_events(self.config["out"], losses, evaluations)
        if self.config["mlflow"]:
            tell_mlflow(self.config["mlflow"], self.config["out"], losses, evaluations)
        self.told = len(self.history.losses), len(self.history.evaluations)
