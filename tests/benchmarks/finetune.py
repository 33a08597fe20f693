"""`geoclip finetune` with its defaults, and by other parts of the encoder: gain, time and memory.

    python -m tests.benchmarks.finetune --work DIR --tune all last:2 lora --seeds 0 1 2

512 photos of the demonstration planet are trained on; 600 of other places, half of them in
countries without a training photo, are evaluated before and after among all places. DIR keeps the
photos and every run: the same command resumes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from tests.benchmarks.full_size import measured
from tests.benchmarks.timing import report

TRAIN, HELD_OUT = 512, 300
NOTHING_ON_THE_WAY = "1000000"


def planet_photos(work: Path) -> Path:
    """The table of the planet's photos, drawn if it is not there."""
    from geoclip.places.gazetteer import Gazetteer
    from pipelines.planet.planet import Planet, PlanetSettings

    table = work / "planet" / "photos.csv"
    if not table.exists():
        sizes = PlanetSettings(
            train_places=TRAIN, train_views=1, seen_places=HELD_OUT, unseen_places=HELD_OUT
        )
        Planet(Gazetteer.read(None), sizes).write(table.parent)
    return table


def figures_before(model: str, photos: Path) -> dict[str, float]:
    """The run's evaluation of its starting encoder."""
    from geoclip.encoders import load_encoder
    from geoclip.photos.photo_table import read_photo_table
    from geoclip.places.captions import CaptionBook
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.ranking.model_settings import ModelSettings
    from geoclip.training.held_out import HeldOut, draw_held_out
    from geoclip.training.photo_set import label_photos
    from geoclip.training.settings import EvaluationSettings
    from geoclip.training.workers import Workers

    gazetteer, settings = Gazetteer.read(None), ModelSettings.of_model(model)
    drawn = draw_held_out(
        label_photos(read_photo_table([photos]), gazetteer), EvaluationSettings(), seed=0
    )
    held_out = HeldOut(
        drawn, CaptionBook(gazetteer, settings.captions), Workers(), settings.ranking
    )
    return held_out.figures(load_encoder(model))


def one_run(model: str, photos: Path, out: Path, tune: str, seed: int) -> dict[str, Any]:
    """Fine-tune by the command; returns its time and memory, and its last evaluation."""
    result = out.with_suffix(".json")
    if not result.exists():
        took = measured(
            *("finetune", str(photos), "--out", str(out), "--model", model, "--tune", tune),
            *("--seed", str(seed), "--evaluate-every", NOTHING_ON_THE_WAY),
        )
        last = pd.read_csv(out / "evaluations.csv").iloc[-1].round(2).to_dict()
        result.write_text(json.dumps({"tune": tune, "seed": seed, **took, **last}))
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="street-tiny")
    parser.add_argument("--tune", nargs="+", default=["all", "last:2", "lora"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    photos = planet_photos(given.work)
    runs = [
        one_run(given.model, photos, given.work / f"{tune.replace(':', '-')}-{seed}", tune, seed)
        for seed in given.seeds
        for tune in given.tune
    ]
    before = figures_before(given.model, photos)
    table = pd.DataFrame(runs).groupby("tune", sort=False)
    after = table["mean/geoscore"].agg(["mean", "min", "max"]).round(1).to_dict("index")
    report("finetune", 0, model=given.model, before=before, mean_geoscore_after=after, runs=runs)


if __name__ == "__main__":
    main()
