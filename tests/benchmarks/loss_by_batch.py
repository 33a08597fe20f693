"""Softmax against sigmoid loss over batch sizes, on the demonstration planet.

    python -m tests.benchmarks.loss_by_batch --work DIR --seeds 0 1

Every cell starts from planet-start and sees the same photos equally often; AdamW's learning rate
grows with the root of the batch size. The sigmoid loss starts with three biases: 0, centred
(logits have mean 0) and at the odds (the mean logit is the log odds of a true pair). DIR/cells.csv
gets a row of held-out figures for each finished cell; the same command resumes.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from geoclip.encoders import Encoder
from geoclip.training.losses import starting_bias
from geoclip.training.step import Batch
from pipelines.end_to_end import FROM_START
from pipelines.planet.planet import PlanetSettings
from tests.benchmarks.planet_world import Cells, World

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


def cell(world: World, seed: int, batch: int, loss: str, epochs: int) -> dict[str, float]:
    """Train from planet-start; the last loss and the figures on held-out photos."""
    kind, _, start = loss.partition(", ")
    settings = replace(
        FROM_START,
        epochs=epochs,
        augment=True,
        batch_size=batch,
        learning_rate=FROM_START.learning_rate * (batch / FROM_START.batch_size) ** 0.5,
        loss="clip" if kind == "softmax" else "siglip",
        seed=seed,
    )
    prepare = (lambda encoder, first: set_bias(encoder, first, start)) if start else None
    return world.train(settings, prepare=prepare)[1]


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
    cells = Cells(given.work / "cells.csv", KEY)
    for seed in given.seeds:
        sizes = {"train_places": 1400, "seen_places": 400, "unseen_places": 400}
        world = World(given.work, PlanetSettings(seed, **sizes))
        for batch in given.batches:
            for loss in given.losses:
                if (seed, batch, loss) not in cells:
                    figures = cell(world, seed, batch, loss, given.epochs)
                    cells.add((seed, batch, loss), figures)
    print(cells.means())


if __name__ == "__main__":
    main()
