"""The accuracy of a model's answers as users read them, before and after calibration.

    python -m tests.benchmarks.calibration --photos ../shared/data/photos.csv \\
        --photos ../shared/data/photos_3.csv --photos ../shared/data/photos_country_3.csv

All photos that the model was not trained on take part; views of a location are averaged. For each
split there are the figures of the answers at the level that each is vouched for. Then the model is
calibrated: the figures are of photos whose block, country or source was left out, and of ten halves
of the located photos of `--halves` (splits), each judged by a calibration on the other half.
`--folder gsv_` measures the splits on photos whose folder begins so.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from geoclip.encoders.registry import model_folder
from geoclip.evaluation.fitting.answer_figures import answer_figures
from geoclip.evaluation.fitting.calibration import Given, calibrate
from geoclip.evaluation.fitting.known_answers import answers_of
from geoclip.evaluation.fitting.known_photos import KnownPhotos, TruePlaces
from geoclip.evaluation.metrics import geoscore_by_country
from geoclip.locator import Locator
from geoclip.photos.photo_table import read_photo_table
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geoscore import geoscore
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import UNCALIBRATED, RankingSettings
from geoclip.runs.calibrate_model import FreshPhotos
from geoclip.training.photo_set import label_photos

HALVES = 10
DEFAULTS = {"without a prior": RankingSettings(), "uncalibrated": UNCALIBRATED}
"""The rankings of an uncalibrated model, before and now."""


def of_answers(ranker: PlaceRanker, photos: KnownPhotos) -> dict[str, Any]:
    """Figures of a ranker's answers for photos, one for each location."""
    places = photos.by_location()
    true = TruePlaces.of(places, ranker)
    countries = ranker.hierarchy.country_codes[true.country]
    answers = answers_of(ranker, places, true, ranker.settings)
    return answer_figures(answers, countries, places.sources)


def scores(km: np.ndarray, countries: np.ndarray) -> list[float]:
    """GeoScore of distances, plain and as the mean over countries."""
    by_country = geoscore_by_country(km, countries)
    assert by_country is not None
    return [float(geoscore(km).mean()), by_country]


def anywhere_km(ranker: PlaceRanker, places: KnownPhotos) -> np.ndarray:
    """Distances to the point of a ranking that always names a city."""
    h, points = ranker.hierarchy, ranker.rank(places.embeddings, 1).points
    return great_circle_km(h.lat[points], h.lon[points], places.lat, places.lon)


def halves(ranker: PlaceRanker, photos: KnownPhotos, seen: tuple[str, ...]) -> list[dict[str, Any]]:
    """GeoScores on one half after a calibration on the other, beside those of the defaults."""
    places = photos.take(np.isfinite(photos.lat)).by_location()
    true = TruePlaces.of(places, ranker)
    codes = ranker.hierarchy.country_codes[true.country]
    before = {n: anywhere_km(ranker.with_settings(s), places) for n, s in DEFAULTS.items()}
    plain, given = ranker.with_settings(UNCALIBRATED), Given(seen)
    rng, rows = np.random.default_rng(0), []
    for _ in range(HALVES):
        fitted = np.zeros(len(places), dtype=bool)
        fitted[rng.permutation(len(places))[: len(places) // 2]] = True
        settings = calibrate(plain, places.take(fitted), given, folds=()).settings
        rest = ~fitted
        after = answers_of(ranker, places.take(rest), true.take(rest), settings).km
        row = {"calibrated": scores(after, codes[rest])}
        rows.append(row | {n: scores(km[rest], codes[rest]) for n, km in before.items()})
    return rows


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="street-tiny")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--folder", default="")
    parser.add_argument("--halves", nargs="*", default=["dev_seen", "dev_unseen"])
    given = parser.parse_args()
    gazetteer, trained = Gazetteer.default(), TrainedPhotos.read(model_folder(given.model))
    fresh = FreshPhotos.of(label_photos(read_photo_table(given.photos), gazetteer), trained)
    locator = Locator.from_pretrained(given.model, gazetteer)
    fresh, photos = fresh.embedded(locator)
    ranker, splits = locator.ranker, fresh.table["split"].to_numpy()
    chosen = np.array([source.startswith(given.folder) for source in photos.sources])
    report: dict[str, Any] = {"left_out": fresh.left_out, "splits": {}}
    for split in sorted(set(splits)):
        part = chosen & (splits == split)
        if part.any():
            report["splits"][split] = of_answers(ranker, photos.take(part))
    seen = trained.countries or ranker.settings.prior.seen_countries
    report["calibration"] = calibrate(ranker, photos, Given(seen)).figures
    if given.halves:
        rows = halves(ranker, photos.take(np.isin(splits, given.halves)), seen)
        report["halves"] = rows
        for name in DEFAULTS:
            ratios = [np.divide(row["calibrated"], row[name]) for row in rows]
            report[f"calibrated over {name}"] = np.mean(ratios, axis=0).round(3).tolist()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
