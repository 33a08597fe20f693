"""Official and other names in training captions, measured by both kinds of names.

    python -m tests.benchmarks.caption_names --work DIR --material creatures planet --seeds 0

Each training starts from planet-start, tunes both towers and sees the same pictures. A share of the
captions uses its place's official name, the others an alternate one: Latin against English names
and codes of creatures, the gazetteer's names against its alternate ones. Each model answers twice:
with prompts of official names, and with prompts in which each place goes by its first alternate
name. DIR/cells.csv gets S, U and H of each level; the same command resumes.
"""

import argparse
import time
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from geoclip.encoders import Encoder
from geoclip.encoders.loading import load_folder
from geoclip.evaluation.split_figures import by_location, gzsl_figures
from geoclip.guesses.class_guesses import class_guesses
from geoclip.photos.embedding import embed_named
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.gazetteer_writing import places_table
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import RankingSettings
from geoclip.training.batches import Batches
from geoclip.training.photo_set import label_photos, split_photos, training_photos
from geoclip.training.settings import TrainingSettings
from geoclip.training.splits import TRAIN
from geoclip.training.trainer import Trainer
from pipelines.creatures.creatures import CreatureSettings, write_creatures
from pipelines.end_to_end import FROM_START, START
from pipelines.planet.planet import Planet, PlanetSettings

SHARES = (1.0, 0.5, 0.0)
CITIES_A_COUNTRY = 5
KEY = ["material", "seed", "official"]


def few_cities() -> Gazetteer:
    """The packaged gazetteer with the largest cities of each country."""
    world = Gazetteer.default()
    places = places_table(world)
    cities = places[places["level"] == 2].sort_values("population", ascending=False)
    cities = cities.groupby("country_code").head(CITIES_A_COUNTRY).sort_index()
    regions = places[(places["level"] == 1) & places["place_id"].isin(cities["parent_id"])]
    kept = pd.concat([places[places["level"] == 0], regions, cities], ignore_index=True)
    return Gazetteer(kept, world.alternate_names())


def by_alternate_names(gazetteer: Gazetteer) -> Gazetteer:
    """The same places, each called by its first alternate name, if it has one."""
    other = copy(gazetteer)
    other.__dict__.pop("fingerprint", None)
    names = gazetteer.alternate_names().drop_duplicates("place_id")
    other.names = gazetteer.names.copy()
    other.names[gazetteer.rows(names["place_id"])] = names["name"]
    return other


class Material:
    """Pictures to train on and to measure, and their hierarchy."""

    def __init__(self, kind: str, seed: int, folder: Path) -> None:
        file = folder / f"{kind}-{seed}" / "photos.csv"
        if kind == "creatures":
            if not file.exists():
                write_creatures(file.parent, CreatureSettings(seed))
            self.places = Gazetteer.read(file.parent / "tree.csv")
        else:
            self.places = few_cities()
            if not file.exists():
                size = PlanetSettings(seed, train_places=600, seen_places=300, unseen_places=150)
                Planet(self.places, size).write(file.parent)
        self.table, _ = split_photos(label_photos(read_photo_table([file]), self.places), seed)
        self.seed = seed

    def trained(self, official: float, epochs: int) -> Encoder:
        """planet-start, tuned with this share of official names."""
        encoder = load_folder(START)
        settings: TrainingSettings = replace(
            FROM_START, epochs=epochs, augment=True, text_learning_rate=5e-4, seed=self.seed
        )
        book = CaptionBook(self.places, CaptionSettings(keep_official=official))
        book.wording = replace(book.wording, keep_official=official)
        trainer = Trainer(
            Batches(encoder, book, training_photos(self.table, self.places), settings)
        )
        for _ in trainer.run():
            pass
        trainer.finish()
        return encoder

    def figures(self, encoder: Encoder, names: Gazetteer) -> dict[str, dict[str, float]]:
        """S, U and H by level, with prompts that call places as `names` does."""
        index = PlaceIndex.build(encoder, names)
        scale = float(encoder.log_logit_scale.detach().exp())
        ranker = PlaceRanker(index, names, scale, RankingSettings())
        held_out = self.table[self.table["split"] != TRAIN]
        photos = [(path, None) for path in held_out["path"]]
        found = embed_named(encoder, photos, index.embeddings.shape[1])
        guesses = class_guesses(ranker, found, top_k=1)
        answers = guesses.set_axis(held_out["location_id"])
        answers = answers[~answers.index.duplicated()]
        train = self.table.loc[self.table["split"] == TRAIN, "place_row"].to_numpy()
        return gzsl_figures(answers, by_location(held_out), np.asarray(train), names)


def main() -> None:
    """Fill DIR/cells.csv and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--material", nargs="+", default=["creatures", "planet"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    file = given.work / "cells.csv"
    rows = pd.read_csv(file).to_dict("records") if file.exists() else []
    for kind in given.material:
        for seed in given.seeds:
            material = Material(kind, seed, given.work)
            for share in given.shares:
                if (kind, seed, share) in [tuple(row[name] for name in KEY) for row in rows]:
                    continue
                began = time.process_time()
                with torch.random.fork_rng():
                    encoder = material.trained(share, given.epochs)
                seconds = time.process_time() - began
                named = {"official": material.places, "other": by_alternate_names(material.places)}
                for prompts, names in named.items():
                    for level, figures in material.figures(encoder, names).items():
                        cell = dict(zip(KEY, (kind, seed, share), strict=True))
                        cell |= {"cpu_s": seconds, "prompts": prompts, "level": level}
                        rows.append(cell | {name: figures[name] for name in "SUH"})
                pd.DataFrame(rows).to_csv(file, index=False)
    table = pd.DataFrame(rows).groupby([KEY[0], "level", "official", "prompts"], sort=False)
    print(table[["S", "U", "H"]].mean().round(1).to_string())


if __name__ == "__main__":
    main()
