"""Accuracy of embedded models on held-out street photos.

    python -m tests.benchmarks.street_tiny --photos ../shared/data/photos.csv \\
        --photos ../shared/data/photos_country.csv [--model FOLDER …]

Views of a location are averaged, one decision rule makes all figures, each stands beside the best
constant answer and chance. Several models (seeds) are reported each and as their mean, with 90 %
intervals of that mean from 1,000 draws of the countries. `--folder gsv_` chooses photos whose
folder begins so. `--rule` (JSON as in `ranking` of geoclip.json) replaces parts of the model's own.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geoclip.encoders.registry import CHECKPOINTS
from geoclip.evaluation.split_figures import baseline_figures, locations, split_figures
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ranking_of
from geoclip.support.paths import decode_path
from geoclip.training.photo_set import label_photos
from pipelines.evaluate_guesses import first_guesses

DRAWS = 1000
KM = ("200", "750", "2500")


def held_out(tables: list[Path], folder: str, gazetteer: Gazetteer) -> pd.DataFrame:
    """Located photos of the tables in folders whose names begin with `folder`."""
    photos = label_photos(read_photo_table(tables), gazetteer)
    inside = photos["path"].str.split("/").str[-2].str.startswith(folder)
    return photos[inside & photos["lat"].notna()].reset_index(drop=True)


def located(locator: Locator, found: Embeddings, photos: pd.DataFrame) -> pd.DataFrame:
    """The first answer of each location (index)."""
    names = photos["location_id"].tolist()
    return first_guesses(locator.guesses(found, 1, names, classes=True).assign(location_id=names))


def brief(report: dict[str, Any]) -> dict[str, float]:
    """Means over continents or countries, percent."""
    near = {f"within_{km}_km": report["within_km_by_country"][km] for km in KM}
    return {name: report[name] for name in ("continent_top1", "country_top5")} | near


def plain(report: dict[str, Any]) -> dict[str, float]:
    """Share of places, percent: a country counts by its places."""
    return {f"within_{km}_km_plain": report["within_km"][km] for km in KM}


def intervals(
    found: list[pd.DataFrame], truth: pd.DataFrame, gazetteer: Gazetteer
) -> dict[str, list[float]]:
    """90 % intervals of the mean over models, countries drawn with replacement."""
    codes = gazetteer.country_codes[truth["place_row"].to_numpy()]
    parts = [truth[codes == code] for code in sorted(set(codes))]
    figures = [[brief(split_figures(a, part, gazetteer)) for part in parts] for a in found]
    names = list(figures[0][0])[1:]  # a country has but one continent
    values = np.array([[[f[n] for n in names] for f in of_model] for of_model in figures])
    values = values.mean(axis=0)
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(DRAWS, len(values)))].mean(axis=1)
    low, high = np.percentile(drawn, [5, 95], axis=0)
    return {n: [round(a, 1), round(b, 1)] for n, a, b in zip(names, low, high, strict=True)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--model", type=Path, action="append")
    parser.add_argument("--folder", default="gsv_")
    parser.add_argument("--splits", nargs="+", default=["dev_seen", "dev_unseen"])
    parser.add_argument("--rule", type=json.loads, action="append")
    given = parser.parse_args()
    gazetteer = Gazetteer.default()
    photos = held_out(given.photos, given.folder, gazetteer)
    train = locations(photos[photos["split"] == "train"])
    models = given.model or [CHECKPOINTS / "street-tiny"]
    locators = [Locator.from_pretrained(model) for model in models]
    report: dict[str, Any] = {}
    for split in given.splits:
        part = photos[photos["split"] == split].reset_index(drop=True)
        truth = locations(part)
        paths = [decode_path(path) for path in part["path"]]
        embedded = [locator.embed(paths) for locator in locators]
        base = baseline_figures(train, truth, gazetteer)
        report[split] = {
            "locations": len(truth),
            "countries": len(set(gazetteer.country_codes[truth["place_row"].to_numpy()])),
            **{name: brief(figures) | plain(figures) for name, figures in base.items()},
        }
        for rule in given.rule or [{}]:
            found = []
            for locator, values in zip(locators, embedded, strict=True):
                settings = ranking_of({**asdict(locator.settings), **rule})
                ruled = Locator(locator.encoder, locator.index, gazetteer, settings)
                found.append(located(ruled, values, part))
            reports = [split_figures(a, truth, gazetteer) for a in found]
            each = [brief(figures) | plain(figures) for figures in reports]
            report[split][json.dumps(rule)] = {
                "each": each,
                "mean": {name: float(np.mean([e[name] for e in each])) for name in each[0]},
                "interval_90": intervals(found, truth, gazetteer),
            }
    print(json.dumps(report, indent=1, default=float))


if __name__ == "__main__":
    main()
