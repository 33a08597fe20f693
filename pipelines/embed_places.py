"""Embed a gazetteer's places with an encoder's text tower.

    python -m pipelines.embed_places --model NAME --out DIR

Actors load the encoder once and encode the prompts of a share of the places each. The folder is
the place index that `locate_photos --index` reads and, as MODEL/places, `geoclip locate`.
"""

import tempfile
from pathlib import Path

import numpy as np
import ray

from geoclip.encoders.registry import check_model_name
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import ABOUT_FILE, PlaceIndex, embed_rows, index_key
from geoclip.support.process import keep_freed_memory
from pipelines.cluster import absolute_model, check_lasting, ray_session
from pipelines.command_line import Actors, Model, OutFolder, Places, run
from pipelines.photo_actors import load_model, local_folder, model_settings
from pipelines.storage import absolute, exists, is_uri, join, local_copy, store_folder

BATCH = 2048


class PlaceEmbedder:
    """Encodes the prompts of batches of gazetteer rows."""

    def __init__(self, model: str, gazetteer: Path | None, captions: CaptionSettings) -> None:
        keep_freed_memory()
        self.encoder = load_model(model)
        self.book = CaptionBook(Gazetteer.read(gazetteer), captions)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rows (n,) → embeddings (n, d)."""
        rows = batch["id"]
        return {"row": rows, "embedding": embed_rows(self.encoder, self.book, rows)}


@ray.remote(num_cpus=0.5)
def key_of_index(model: str, gazetteer: Path | None, captions: CaptionSettings) -> str:
    """Key of the place index that this encoder, gazetteer and captions make."""
    return index_key(load_model(model), Gazetteer.read(gazetteer), captions)


def embed_places(
    model: str,
    out: Path | str,
    gazetteer: Path | None = None,
    captions: CaptionSettings | None = None,
    actors: int = 2,
) -> PlaceIndex:
    """Write the place index of an encoder and return it; it is kept if it is there already.

    `out` is a folder or a URI; `captions` are the model's own unless given. An index that comes
    with the model is copied instead of made.
    """
    folder = absolute(out)
    model, home = absolute_model(model), local_folder(model)
    captions = captions or model_settings(model).captions
    gazetteer = gazetteer and gazetteer.absolute()
    places = Gazetteer.read(gazetteer)
    key = ray.get(key_of_index.remote(model, gazetteer, captions))
    if exists(join(folder, ABOUT_FILE)):
        there = PlaceIndex.read(local_copy(folder))
        if there.key == key:
            print(f"Place index in {out} is up to date.")
            return there
    index = PlaceIndex.shipped(home, key, len(places))
    if index is None:
        index = PlaceIndex(_embedded(model, gazetteer, captions, len(places), actors), key)
    with tempfile.TemporaryDirectory() as draft:
        index.save(Path(draft) if is_uri(folder) else Path(folder))
        if is_uri(folder):
            store_folder(Path(draft), folder, last=ABOUT_FILE)
    print(f"{len(index):,} places embedded in {out}.")
    return index


def _embedded(
    model: str, gazetteer: Path | None, captions: CaptionSettings, places: int, actors: int
) -> np.ndarray:
    """Embeddings (P, d) float32 of the gazetteer's P `places`, made on a pool of actors."""
    blocks = max(1, places // BATCH)
    embedded = (
        ray.data.range(places, override_num_blocks=blocks)
        .map_batches(
            PlaceEmbedder,
            fn_constructor_args=(model, gazetteer, captions),
            compute=ray.data.ActorPoolStrategy(size=min(actors, blocks)),
            batch_size=BATCH,
            num_cpus=0.5,
        )
        .take_all()
    )
    embeddings = np.empty((places, len(embedded[0]["embedding"])), np.float32)
    embeddings[[item["row"] for item in embedded]] = [item["embedding"] for item in embedded]
    return embeddings


def main(*, model: Model, out: OutFolder, gazetteer: Places = None, actors: Actors = 2) -> None:
    """Embed places from the command line."""
    check_model_name(model)
    Gazetteer.read(gazetteer)
    check_lasting(out)
    with ray_session():
        embed_places(model, out, gazetteer, actors=actors)


if __name__ == "__main__":
    run(main)
