"""The demonstration planet for experiments in one process: train from planet-start, and measure."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from geoclip.encoders import Encoder
from geoclip.encoders.loading import load_folder
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.training.batches import Batches
from geoclip.training.held_out import HeldOut, draw_held_out
from geoclip.training.photo_set import label_photos, split_photos, training_photos
from geoclip.training.settings import EvaluationSettings, TrainingSettings
from geoclip.training.step import Batch
from geoclip.training.trainer import Trainer
from geoclip.training.workers import Workers
from pipelines.end_to_end import RANKING, START
from pipelines.planet.planet import Planet, PlanetSettings

Prepare = Callable[[Encoder, Batch], None]
"""Changes an encoder before its first step, on seeing the first batch."""


class World:
    """A planet: its training photos, and the held-out ones to measure on."""

    def __init__(self, folder: Path, planet: PlanetSettings) -> None:
        self.places = Gazetteer.default()
        self.planet = Planet(self.places, planet)
        name = f"planet-{planet.seed}{'-aerial' if planet.aerial else ''}"
        file = folder / name / "photos.csv"
        if not file.exists():
            self.planet.write(file.parent)
        listed = label_photos(read_photo_table([file]), self.places)
        self.table, _ = split_photos(listed, planet.seed)
        self.book = CaptionBook(self.places)
        drawn = draw_held_out(self.table, EvaluationSettings(), planet.seed)
        self.held_out = HeldOut(drawn, self.book, Workers(), RANKING)

    def train(
        self,
        settings: TrainingSettings,
        chosen: np.ndarray | None = None,
        prepare: Prepare | None = None,
    ) -> tuple[Encoder, dict[str, float]]:
        """Train on the `chosen` rows of `table`; the encoder, its last loss and its figures."""
        photos = training_photos(self.table if chosen is None else self.table[chosen], self.places)
        encoder = load_folder(START)
        batches = Batches(encoder, self.book, photos, settings)
        if prepare:
            prepare(encoder, batches.batch(0))
        trainer = Trainer(batches)
        began = time.process_time()
        last = [record["loss"] for record in trainer.run()][-1]
        seconds = time.process_time() - began
        trainer.finish()
        figures = self.held_out.figures(encoder)
        return encoder, {"steps": trainer.step, "cpu_s": seconds, "train_loss": last, **figures}


class Cells:
    """Rows of an experiment in a CSV file, one for each finished cell: existing ones are not
    redone.

    A cell is known by the columns of `key`.
    """

    def __init__(self, file: Path, key: list[str]) -> None:
        self.file, self.key = file, key
        file.parent.mkdir(parents=True, exist_ok=True)
        self.rows = pd.read_csv(file).to_dict("records") if file.exists() else []

    def __contains__(self, cell: tuple[object, ...]) -> bool:
        return cell in [tuple(row[name] for name in self.key) for row in self.rows]

    def add(self, cell: tuple[object, ...], figures: dict[str, float]) -> None:
        """Keep the figures of a cell."""
        self.rows.append({**dict(zip(self.key, cell, strict=True)), **figures})
        pd.DataFrame(self.rows).to_csv(self.file, index=False)

    def means(self) -> str:
        """A table of the means over the seeds."""
        names = [name for name in self.key if name != "seed"]
        table = pd.DataFrame(self.rows).groupby(names, sort=False).mean(numeric_only=True)
        return table.round(1).to_string()
