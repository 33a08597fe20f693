"""Small things for the tests of inference: photos, a model and a world that need no time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tiny_encoders import random_tiny_clip, small_clip

from geoclip.places.gazetteer_tables import default_folder

CITIES = 60
SIDE = 40


def write_photos(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """JPEGs of noise, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    paths = [folder / f"{i:04}.jpg" for i in range(count)]
    for path in paths:
        Image.fromarray(noise.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    return paths


def write_world(path: Path) -> Path:
    """A gazetteer of the largest cities."""
    cities = pd.read_csv(default_folder() / "cities.csv", keep_default_na=False)
    cities = cities.nlargest(CITIES, "population")
    cities[["name", "lat", "lon", "country_code"]].to_csv(path, index=False)
    return path


def write_model(folder: Path, trained: bool = False) -> Path:
    """A small model of random weights.

    Processes read one that is not `trained` without open_clip, which takes them seconds to import.
    """
    (random_tiny_clip() if trained else small_clip()).save(folder)
    return folder


def read_rows(parts: Iterable[Path] | Path) -> pd.DataFrame:
    """The rows of an output folder in the order that its ids give."""
    table = pd.read_parquet(parts)
    keys = [name for name in ("photo_id", "rank") if name in table]
    return table.sort_values(keys, ignore_index=True)
