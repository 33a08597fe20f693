"""Embed a gazetteer's places with an encoder's text tower.

    python -m pipelines.embed_places --model NAME --out DIR

Actors load the encoder once and encode the prompts of a share of the places each. The folder is
the place index that `locate_photos --index` reads and, as MODEL/places, `geoclip locate`.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import ray

from geoclip.encoders.registry import check_model_name
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import ABOUT_FILE, PlaceIndex, embed_rows, index_key
from geoclip.support.process import keep_freed_memory
from pipelines.cluster import absolute_model, check_lasting, ray_session
from pipelines.command_line import at_least_one, run
from pipelines.photo_actors import load_model, model_folder
from pipelines.storage import absolute, exists, is_uri, join, local_copy, store_folder

BATCH = 2048


class PlaceEmbedder:
    """Encodes the prompts of batches of gazetteer rows."""

    def __init__(self, model: str, gazetteer: Path | None, wording: CaptionSettings) -> None:
        keep_freed_memory()
        self.encoder = load_model(model)
        self.book = CaptionBook(Gazetteer.read(gazetteer), wording)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rows (n,) → embeddings (n, d)."""
        rows = batch["id"]
        return {"row": rows, "embedding": embed_rows(self.encoder, self.book, rows)}


@ray.remote(num_cpus=0.5)
def key_of_index(model: str, gazetteer: Path | None, wording: CaptionSettings) -> str:
    """Key of the place index that this encoder, gazetteer and wording make."""
    return index_key(load_model(model), Gazetteer.read(gazetteer), wording)


def embed_places(
    model: str,
    out: Path | str,
    gazetteer: Path | None = None,
    wording: CaptionSettings | None = None,
    actors: int = 2,
) -> PlaceIndex:
    """Write the place index of an encoder and return it; it is kept if it is there already.

    `out` is a folder or a URI; the wording is the model's own unless given. An index that comes
    with the model is copied instead of made.
    """
    folder = absolute(out)
    model, home = absolute_model(model), model_folder(model)
    wording = wording or ModelSettings.read(home).captions
    gazetteer = gazetteer and gazetteer.absolute()
    places = Gazetteer.read(gazetteer)
    key = ray.get(key_of_index.remote(model, gazetteer, wording))
    if exists(join(folder, ABOUT_FILE)):
        there = PlaceIndex.read(local_copy(folder))
        if there.key == key:
            print(f"Place index in {out} is up to date.")
            return there
    index = PlaceIndex.shipped(home, key, len(places))
    if index is None:
        index = PlaceIndex(_embedded(model, gazetteer, wording, len(places), actors), key)
    with tempfile.TemporaryDirectory() as draft:
        index.save(Path(draft) if is_uri(folder) else Path(folder))
        if is_uri(folder):
            store_folder(Path(draft), folder, last=ABOUT_FILE)
    print(f"{len(index):,} places embedded in {out}.")
    return index


def _embedded(
    model: str, gazetteer: Path | None, wording: CaptionSettings, places: int, actors: int
) -> np.ndarray:
    """Embeddings (P, d) float32 of the gazetteer's P `places`, made on a pool of actors."""
    blocks = max(1, places // BATCH)
    embedded = (
        ray.data.range(places, override_num_blocks=blocks)
        .map_batches(
            PlaceEmbedder,
            fn_constructor_args=(model, gazetteer, wording),
            compute=ray.data.ActorPoolStrategy(size=min(actors, blocks)),
            batch_size=BATCH,
            num_cpus=0.5,
        )
        .take_all()
    )
    embeddings = np.empty((places, len(embedded[0]["embedding"])), np.float32)
    embeddings[[item["row"] for item in embedded]] = [item["embedding"] for item in embedded]
    return embeddings


def main() -> None:
    """Embed places from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a known name, a folder or hf:ID")
    parser.add_argument("--out", required=True, help="a folder or URI")
    parser.add_argument("--gazetteer", type=Path)
    parser.add_argument("--actors", type=at_least_one, default=2)
    arguments = parser.parse_args()
    check_model_name(arguments.model)
    Gazetteer.read(arguments.gazetteer)
    check_lasting(arguments.out)
    with ray_session():
        embed_places(arguments.model, arguments.out, arguments.gazetteer, actors=arguments.actors)


if __name__ == "__main__":
    run(main)
