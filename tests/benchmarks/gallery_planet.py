"""The value of a gallery of training scenes on the demonstration planet.

    python -m pipelines.end_to_end --out runs/demo
    python -m tests.benchmarks.gallery_planet runs/demo

The encoder of that run locates the held-out scenes, without and with the scenes it was trained on
as a gallery. Ranking, weights and radii are fitted to half of the held-out places, in turn, and the
figures are of the other half: as of `gallery_halves`.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.gallery_halves import compared, figures

if TYPE_CHECKING:
    from geoclip.evaluation.fitting.known_photos import KnownPhotos
    from geoclip.locator import Locator

TRAIN = "train"


def by_split(locator: "Locator", table: Any) -> "dict[str, KnownPhotos]":
    """The photos of each split with their embeddings."""
    from geoclip.evaluation.fitting.known_photos import KnownPhotos

    found = locator.embed(table["path"].tolist())
    columns = [
        table[name].to_numpy(object if name in ("country_code", "location_id") else float)
        for name in ("lat", "lon", "country_code", "location_id")
    ]
    lat, lon, codes, locations = columns
    known = KnownPhotos(found.values, lat, lon, codes, np.array(["planet"] * len(lat)), locations)
    split = table["split"].to_numpy(object)
    return {str(name): known.take(split == name) for name in np.unique(split)}


def measured(locator: "Locator", scenes: "dict[str, KnownPhotos]") -> dict[str, Any]:
    """Figures of each held-out split."""
    from geoclip.evaluation.fitting.calibration import calibrate
    from geoclip.evaluation.fitting.gallery_fit import calibrate_gallery, gallery_of
    from geoclip.evaluation.fitting.known_photos import KnownPhotos
    from geoclip.places.sphere import degree_blocks

    gallery = gallery_of(scenes[TRAIN])
    names = [name for name in scenes if name != TRAIN]
    places = KnownPhotos.joined([scenes[name] for name in names])
    split = np.repeat(names, [len(scenes[name]) for name in names])
    half = np.random.default_rng(0).permutation(len(places)) < len(places) // 2
    parts, order = [], []
    for fitted in (half, ~half):
        some = places.take(fitted)
        settings = calibrate(locator.ranker, some, folds=()).settings
        ranker = locator.ranker.with_settings(settings)
        weighed = calibrate_gallery(ranker, some, gallery)
        asked = ranker.with_settings(replace(settings, gallery=weighed))
        parts.append(compared(asked, places.take(~fitted), gallery))
        order.append(np.flatnonzero(~fitted))
    row = np.concatenate(order)
    all_of = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
    blocks = np.array([str(block) for block in degree_blocks(places.lat, places.lon)])[row]
    codes = places.country_codes[row].astype(str)
    shares = ("by_gallery", "holds_50", "holds_90")
    return {
        name: figures(*(all_of[k][at] for k in ("without", "with")), codes[at], blocks[at])
        | {k: round(100 * float(all_of[k][at].mean()), 1) for k in shares}
        for name in names
        for at in [split[row] == name]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder that pipelines.end_to_end wrote")
    run = parser.parse_args().run

    import pandas as pd

    from geoclip.locator import Locator

    locator = Locator.from_pretrained(run / "encoder")
    scenes = by_split(locator, pd.read_parquet(run / "captions.parquet"))
    print(json.dumps(measured(locator, scenes), indent=2))


if __name__ == "__main__":
    main()
