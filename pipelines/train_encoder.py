"""Fine-tune an encoder on captioned photos, on Ray Train workers.

    python -m pipelines.train_encoder --captions captions.parquet --start NAME --out DIR

The contrast set is the global batch of all workers. Checkpoints hold weights, optimizer state and
position; the same command continues a run that was stopped. The fine-tuned encoder is in
DIR/encoder, the curve of losses in DIR/losses.csv.
"""

import argparse
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import ray.train
import ray.train.torch
import torch

from geoclip.captions import CaptionBook, CaptionSettings
from geoclip.encoders import load_encoder
from geoclip.errors import GeoclipError
from geoclip.memory import keep_freed_memory
from geoclip.splits import TRAIN
from geoclip.training.checkpoints import (
    LOSSES_FILE,
    export_encoder,
    read_checkpoint,
    write_checkpoint,
)
from geoclip.training.labelled import training_photos
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer
from pipelines.cluster import absolute_model, ray_session
from pipelines.command_line import add_settings, read_settings, run
from pipelines.progress import shown
from pipelines.write_captions import read_gazetteer

RUN_NAME = "training"
CHECKPOINTS_KEPT = 2


def train_on_worker(config: dict[str, Any]) -> None:
    """Train on one of the workers; all report, the first one writes checkpoints."""
    keep_freed_memory()
    torch.set_num_threads(config["threads"])
    device = ray.train.torch.get_device()
    encoder = load_encoder(config["start"], str(device))
    book = CaptionBook(read_gazetteer(config["gazetteer"]), CaptionSettings(**config["wording"]))
    captions = pd.read_parquet(config["captions"])
    settings = TrainingSettings(**config["settings"])
    trainer = Trainer(encoder, training_photos(captions, book.gazetteer), book, settings)
    records: list[Any] = []
    latest = ray.train.get_checkpoint()
    if latest is not None:
        with latest.as_directory() as folder:
            records = read_checkpoint(trainer, Path(folder))
    progress = Progress(trainer, records, first=ray.train.get_context().get_world_rank() == 0)
    for record in trainer.run():
        progress.records.append(record)
        progress.show(config["counter"])
        if trainer.step % config["checkpoint_every"] == 0 and not trainer.finished:
            progress.report()
    trainer.finish()
    progress.report()


@dataclass
class Progress:
    """The losses so far, and how they and the weights are reported to Ray Train."""

    trainer: Trainer
    records: list[dict[str, float]]
    first: bool

    def show(self, counter: Any) -> None:
        """Tell the program that started the training how far it is; nobody waits for the answer."""
        if self.first and counter is not None:
            words = f"loss {self.records[-1]['loss']:.3f}"
            counter.set.remote(self.trainer.step, self.trainer.batches.steps, words)

    def report(self) -> None:
        """Report the last step; the first worker adds a checkpoint. All workers must call this."""
        metrics = self.records[-1] if self.records else {}
        if not self.first:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(self.trainer, self.records, Path(folder))
            checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(metrics, checkpoint=checkpoint)


def train_encoder(
    captions: Path,
    start: str,
    out: Path,
    settings: TrainingSettings,
    *,
    gazetteer: Path | None = None,
    wording: CaptionSettings | None = None,
    workers: int = 2,
    use_gpu: bool = False,
    checkpoint_every: int = 500,
) -> Path:
    """Fine-tune `start` and return the folder of the tuned encoder."""
    check_photos(captions)
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)) // workers)
    config = {
        "captions": str(captions.absolute()),
        "start": absolute_model(start),
        "gazetteer": gazetteer and gazetteer.absolute(),
        "settings": asdict(settings),
        "wording": asdict(wording or CaptionSettings()),
        "threads": cpus,
        "checkpoint_every": checkpoint_every,
    }
    with shown("fine-tuning") as counter:
        trainer = ray.train.torch.TorchTrainer(
            train_on_worker,
            train_loop_config={**config, "counter": counter},
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers, use_gpu=use_gpu, resources_per_worker={"CPU": 0.9 * cpus}
            ),
            run_config=ray.train.RunConfig(
                name=RUN_NAME,
                storage_path=str(out.absolute()),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
                failure_config=ray.train.FailureConfig(max_failures=3),
            ),
        )
        result = trainer.fit()
    return _collect(result, out, start)


def check_photos(captions: Path) -> None:
    """Refuse an empty training set before any worker is started."""
    table = pd.read_parquet(captions, columns=["split"])
    if not (table["split"] == TRAIN).any():
        raise GeoclipError(
            f"{captions} has no photo in split '{TRAIN}'; name the training photos so."
        )


def _collect(result: ray.train.Result, out: Path, start: str) -> Path:
    """Copy the last checkpoint's encoder and the losses of all its steps to `out`."""
    if result.checkpoint is None:
        raise GeoclipError(f"Training {start} wrote no checkpoint; see Ray's log in {out}.")
    with result.checkpoint.as_directory() as checkpoint:
        folder = export_encoder(Path(checkpoint), out)
    losses = pd.read_csv(out / LOSSES_FILE)
    print(
        f"Fine-tuned encoder in {folder}, losses of {len(losses):,} steps in {out / LOSSES_FILE}."
    )
    return folder


def main() -> None:
    """Fine-tune from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--start", required=True, help="a known name, a folder or hf:ID")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--gazetteer", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="one GPU a worker")
    parser.add_argument("--checkpoint-every", type=int, default=500, help="steps")
    add_settings(parser, TrainingSettings)
    arguments = parser.parse_args()
    with ray_session():
        train_encoder(
            arguments.captions,
            arguments.start,
            arguments.out,
            read_settings(arguments, TrainingSettings),
            gazetteer=arguments.gazetteer,
            workers=arguments.workers,
            use_gpu=arguments.gpu,
            checkpoint_every=arguments.checkpoint_every,
        )


if __name__ == "__main__":
    run(main)
