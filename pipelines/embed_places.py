"""Embed a gazetteer's places with an encoder's text tower.

    python -m pipelines.embed_places --model NAME --out DIR

Each actor loads the encoder once and encodes the prompts of a share of the places. The folder is a
place index for `locate_photos --index` and, as MODEL/places, for `geoclip locate`.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import ray

from geoclip.commands.options import Precision, PrecisionOption
from geoclip.encoders.precision import FULL
from geoclip.encoders.registry import check_model_name
from geoclip.locator import default_device
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import ABOUT_FILE, PlaceIndex, embed_rows, index_key, keys_for
from geoclip.support.process import keep_freed_memory
from pipelines.cluster import (
    absolute_model,
    check_gpus,
    check_lasting,
    ray_session,
    room_for_actors,
)
from pipelines.command_line import Actors, Gpus, Model, OutFolder, Places, run
from pipelines.photo_actors import load_model, local_folder, model_settings
from pipelines.storage import absolute, exists, is_uri, join, local_copy, store_folder

BATCH = 2048


class PlaceEmbedder:
    """Encodes the prompts of batches of gazetteer rows."""

    def __init__(
        self, model: str, gazetteer: Path | None, captions: CaptionSettings, precision: str
    ) -> None:
        keep_freed_memory()
        self.encoder = load_model(model, default_device(), True).for_photos(precision)
        self.book = CaptionBook(Gazetteer.read(gazetteer), captions)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rows (n,) → embeddings (n, d)."""
        rows = batch["id"]
        return {"row": rows, "embedding": embed_rows(self.encoder, self.book, rows)}


@ray.remote(num_cpus=0.5)
def key_of_index(
    model: str, gazetteer: Path | None, captions: CaptionSettings, precision: str
) -> str:
    """Key of the place index from this encoder, gazetteer, captions and precision."""
    encoder = load_model(model, default_device(), True).for_photos(precision)
    return index_key(encoder, Gazetteer.read(gazetteer), captions)


def embed_places(
    model: str,
    out: Path | str,
    gazetteer: Path | None = None,
    captions: CaptionSettings | None = None,
    actors: int = 2,
    gpus: float = 0,
    precision: str = FULL,
) -> PlaceIndex:
    """Write the place index of an encoder and return it; an existing one is kept.

    `out` is a folder or a URI; `captions` default to the model's own. Actors have `gpus` each;
    `precision` is that of `Encoder.for_photos`. A model's own index is copied, and one in full
    precision serves any precision.
    """
    check_gpus(gpus)
    folder = absolute(out)
    model, home = absolute_model(model), local_folder(model)
    captions = captions or model_settings(model).captions
    gazetteer = gazetteer and gazetteer.absolute()
    places = Gazetteer.read(gazetteer)
    if precision == FULL:  # the same on any device, so no other process has to be started
        key = index_key(load_model(model), places, captions)
    else:
        task = key_of_index.options(num_gpus=gpus)
        key = ray.get(task.remote(model, gazetteer, captions, precision))
    if exists(join(folder, ABOUT_FILE)):
        there = PlaceIndex.read(local_copy(folder))
        if there.key in keys_for(key):
            print(f"Place index in {out} is up to date.")
            return there
    index = PlaceIndex.shipped(home, key, len(places))
    if index is None:
        arguments = (model, gazetteer, captions, precision)
        index = PlaceIndex(_embedded(arguments, len(places), actors, gpus), key)
    with tempfile.TemporaryDirectory() as draft:
        index.save(Path(draft) if is_uri(folder) else Path(folder))
        if is_uri(folder):
            store_folder(Path(draft), folder, last=ABOUT_FILE)
    print(f"{len(index):,} places embedded in {out}.")
    return index


def _embedded(arguments: tuple[Any, ...], places: int, actors: int, gpus: float) -> np.ndarray:
    """Embeddings (P, d) float32 of the gazetteer's P `places`, by a pool of `PlaceEmbedder`."""
    blocks = max(1, places // BATCH)
    actors = min(actors, blocks, room_for_actors(gpus))
    embedded = (
        ray.data.range(places, override_num_blocks=blocks)
        .map_batches(
            PlaceEmbedder,
            fn_constructor_args=arguments,
            compute=ray.data.ActorPoolStrategy(size=actors),
            batch_size=BATCH,
            num_cpus=0.5,
            num_gpus=gpus,
        )
        .take_all()
    )
    embeddings = np.empty((places, len(embedded[0]["embedding"])), np.float32)
    embeddings[[item["row"] for item in embedded]] = [item["embedding"] for item in embedded]
    return embeddings


def main(
    *,
    model: Model,
    out: OutFolder,
    gazetteer: Places = None,
    actors: Actors = 2,
    gpus: Gpus = 0,
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Embed places from the command line."""
    check_model_name(model)
    Gazetteer.read(gazetteer)
    check_lasting(out)
    with ray_session():
        embed_places(model, out, gazetteer, actors=actors, gpus=gpus, precision=precision.value)


if __name__ == "__main__":
    run(main)
