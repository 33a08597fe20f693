"""Softmax against sigmoid loss over batch sizes, on the demonstration planet.

    python -m tests.benchmarks.loss_by_batch --work DIR --seeds 0 1

Every cell starts from planet-start and sees the same photos equally often; AdamW's learning rate
grows with the root of the batch size. The sigmoid loss starts with three biases: 0, centred
(logits have mean 0) and at the odds (the mean logit is the log odds of a true pair). DIR/cells.csv
gets a row of held-out figures for each finished cell; the same command does what is missing.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from geoclip.encoders import Encoder
from geoclip.encoders.loading import load_folder
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.training.batches import Batches
from geoclip.training.held_out import HeldOut, draw_held_out
from geoclip.training.losses import starting_bias
from geoclip.training.photo_set import label_photos, split_photos, training_photos
from geoclip.training.settings import EvaluationSettings
from geoclip.training.step import Batch
from geoclip.training.trainer import Trainer
from geoclip.training.workers import Workers
from pipelines.end_to_end import FROM_START, RANKING, START
from pipelines.planet.planet import Planet, PlanetSettings

LOSSES = ("softmax", "sigmoid, 0", "sigmoid, centred", "sigmoid, odds")
BATCHES = (16, 64, 256, 1024)
KEY = ["seed", "batch", "loss"]


@torch.no_grad()
def set_bias(encoder: Encoder, batch: Batch, start: str) -> None:
    """Give the encoder a bias by one of the three rules of the module's text."""
    images, texts = encoder.image_features(batch.pixels), encoder.text_features(batch.tokens)
    scale = encoder.log_logit_scale.exp()
    both = starting_bias(images, texts, scale, batch.truth)
    odds = ((batch.truth > 0).sum() / (batch.truth == 0).sum()).log()
    encoder.add_logit_bias()
    encoder.logit_bias.fill_({"0": 0, "centred": both - odds, "odds": both}[start])


class World:
    """The planet of a seed: its training photos, and the held-out ones to measure on."""

    def __init__(self, folder: Path, seed: int) -> None:
        places = Gazetteer.default()
        settings = PlanetSettings(seed, train_places=1400, seen_places=400, unseen_places=400)
        file = folder / f"planet-{seed}" / "photos.csv"
        if not file.exists():
            Planet(places, settings).write(file.parent)
        table, _ = split_photos(label_photos(read_photo_table([file]), places), seed)
        self.seed = seed
        self.book = CaptionBook(places)
        self.photos = training_photos(table, places)
        drawn = draw_held_out(table, EvaluationSettings(), seed)
        self.held_out = HeldOut(drawn, self.book, Workers(), RANKING)

    def cell(self, batch: int, loss: str, epochs: int) -> dict[str, float]:
        """Train from planet-start; the last loss and the figures on held-out photos."""
        kind, _, start = loss.partition(", ")
        settings = replace(
            FROM_START,
            epochs=epochs,
            batch_size=batch,
            learning_rate=FROM_START.learning_rate * (batch / FROM_START.batch_size) ** 0.5,
            loss="clip" if kind == "softmax" else "siglip",
            seed=self.seed,
        )
        encoder = load_folder(START)
        batches = Batches(encoder, self.book, self.photos, settings)
        if start:
            set_bias(encoder, batches.batch(0), start)
        trainer = Trainer(batches)
        began = time.process_time()
        last = [record["loss"] for record in trainer.run()][-1]
        seconds = time.process_time() - began
        trainer.finish()
        figures = self.held_out.figures(encoder)
        return {"steps": trainer.step, "cpu_s": seconds, "train_loss": last, **figures}


def main() -> None:
    """Fill DIR/cells.csv and print the means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--losses", nargs="+", default=LOSSES, choices=LOSSES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    file = given.work / "cells.csv"
    rows = pd.read_csv(file).to_dict("records") if file.exists() else []
    for seed in given.seeds:
        world = World(given.work, seed)
        for batch in given.batches:
            for loss in given.losses:
                if (seed, batch, loss) not in [tuple(row[name] for name in KEY) for row in rows]:
                    cell = world.cell(batch, loss, given.epochs)
                    rows.append({"seed": seed, "batch": batch, "loss": loss, **cell})
                    pd.DataFrame(rows).to_csv(file, index=False)
    print(pd.DataFrame(rows).groupby(KEY[1:]).mean(numeric_only=True).round(1).to_string())


if __name__ == "__main__":
    main()
