"""Locate photos on a Ray cluster: one actor pool that loads the model once.

    python -m pipelines.locate_photos --photos photos.csv --model NAME --out predictions.parquet

Views that share a `location_id` are answered together. The output has the columns of
`geoclip.guesses`, those of `geoclip.locator.CLASS_COLUMNS`, photo_id and location_id; a photo that
cannot be read has one row with its status.
"""

import argparse
from pathlib import Path

import pandas as pd
import ray
import torch

from geoclip.encoders import load_encoder
from geoclip.index import PlaceIndex
from geoclip.locator import Locator, default_device
from geoclip.memory import keep_freed_memory
from geoclip.model_settings import ModelSettings
from geoclip.photo_table import read_photo_table
from geoclip.ranking import RankingSettings
from pipelines.cluster import absolute_model, ray_session
from pipelines.command_line import run
from pipelines.embed_places import embed_places
from pipelines.write_captions import read_gazetteer

LOCATIONS = 64
"""Locations in a batch."""


class PhotoLocator:
    """Locates batches of locations, each with the paths of its views."""

    def __init__(
        self,
        model: str,
        index: Path,
        gazetteer: Path | None,
        settings: RankingSettings,
        top_k: int,
        threads: int,
    ) -> None:
        keep_freed_memory()
        torch.set_num_threads(threads)
        encoder = load_encoder(model, default_device())
        places = read_gazetteer(gazetteer)
        self.locator = Locator(encoder, PlaceIndex.read(index), places, settings)
        self.top_k = top_k

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Locations with lists of paths → rows of guesses."""
        photos = batch.explode(["path", "photo_id"], ignore_index=True)
        embeddings = self.locator.embed(photos["path"].tolist())
        groups = photos["location_id"].tolist()
        guesses = self.locator.guesses(embeddings, self.top_k, groups, classes=True)
        return guesses.merge(photos, on="path", how="left")


def locate_photos(
    photos: pd.DataFrame,
    model: str,
    index: Path,
    gazetteer: Path | None = None,
    settings: RankingSettings | None = None,
    *,
    top_k: int = 5,
    actors: int = 2,
    gpus: float = 0,
) -> pd.DataFrame:
    """Locate the photos of a table (path, photo_id, location_id); rows in the table's order."""
    model, index = absolute_model(model), index.absolute()
    gazetteer = gazetteer and gazetteer.absolute()
    threads = max(1, int(ray.cluster_resources().get("CPU", 1)) // actors)
    settings = settings or ModelSettings.read(Path(model)).ranking
    views = photos.groupby("location_id", sort=False)[["path", "photo_id"]].agg(list).reset_index()
    blocks = [views[i : i + LOCATIONS] for i in range(0, len(views), LOCATIONS)]
    located = (
        ray.data.from_pandas(blocks)
        .map_batches(
            PhotoLocator,
            fn_constructor_args=(model, index, gazetteer, settings, top_k, threads),
            compute=ray.data.ActorPoolStrategy(size=min(actors, len(blocks))),
            batch_size=LOCATIONS,
            batch_format="pandas",
            num_cpus=0.5,
            num_gpus=gpus,
        )
        .to_pandas()
    )
    order = {photo: i for i, photo in enumerate(photos["photo_id"])}
    position = located["photo_id"].map(order)
    located = located.assign(position=position).sort_values(["position", "rank"])
    return located.drop(columns="position").reset_index(drop=True)


def main() -> None:
    """Locate photos from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--model", required=True, help="a known name, a folder or hf:ID")
    parser.add_argument("--out", type=Path, required=True, help=".parquet")
    parser.add_argument("--gazetteer", type=Path)
    parser.add_argument("--index", type=Path, help="place index (default: beside OUT)")
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--gpus", type=float, default=0, help="GPUs an actor")
    arguments = parser.parse_args()
    photos = read_photo_table(arguments.photos)
    index = arguments.index or arguments.out.parent / "places"
    with ray_session():
        embed_places(arguments.model, index, arguments.gazetteer, actors=arguments.actors)
        located = locate_photos(
            photos,
            arguments.model,
            index,
            arguments.gazetteer,
            top_k=arguments.top_k,
            actors=arguments.actors,
            gpus=arguments.gpus,
        )
    located.to_parquet(arguments.out, index=False)
    unread = located.loc[located["status"] != "ok", "photo_id"].nunique()
    print(f"{len(photos):,} photos in {arguments.out}; {unread} could not be read.")


if __name__ == "__main__":
    run(main)
