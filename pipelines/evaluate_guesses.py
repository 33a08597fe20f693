"""Measure predictions against a photo table: distances, classes, seen and unseen.

    python -m pipelines.evaluate_guesses --predictions predictions.parquet \\
        --captions captions.parquet --out report.json

The figures are per location, each split beside the best constant answer chosen on the training
photos and beside chance; S, U and H are over all evaluated splits.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from geoclip.errors import GeoclipError
from geoclip.evaluation.split_figures import (
    RANKED,
    RANKED_CONTINENTS,
    baseline_figures,
    gzsl_figures,
    gzsl_intervals,
    locations,
    split_figures,
    split_intervals,
)
from geoclip.photos.refusals import READ
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.place import LEVELS
from geoclip.support.name_guard import check_checkout
from geoclip.training.splits import HELD_BACK, TRAIN
from pipelines.cluster import ROOT
from pipelines.command_line import Places, on_this_machine, run
from pipelines.storage import read_parquet
from pipelines.write_captions import read_captions

NEEDED = ["location_id", "rank", "status", "lat", "lon", RANKED, RANKED_CONTINENTS]
NEEDED += [f"{level}_id" for level in LEVELS]
TRUTH = ["location_id", "split", "lat", "lon", "place_id", "place_row"]


def first_guesses(predictions: pd.DataFrame) -> pd.DataFrame:
    """The first-ranked guess for each location (index), those that were read."""
    first = predictions[(predictions["rank"] == 1) & predictions["status"].isin(READ)]
    return first.drop_duplicates("location_id").set_index("location_id")


def measured(captions: pd.DataFrame) -> pd.DataFrame:
    """The photos that figures are of: neither trained on nor fitted on, and of known position."""
    known = captions["split"].isin([TRAIN, *HELD_BACK])
    return captions[~known & captions["lat"].notna()]


def evaluate_guesses(
    captions: pd.DataFrame, predictions: dict[str, pd.DataFrame], gazetteer: Gazetteer
) -> dict[str, Any]:
    """Return the `splits` and `gzsl` parts of the report; figures of a model have `intervals`.

    `predictions` has a table under each name ("before", "after", "uncalibrated"); `captions` is the
    table of `write_captions`, with the places of training and evaluated photos.
    Photos that the ranking was fitted on count as training photos: their classes are seen.
    """
    train = captions[captions["split"].isin([TRAIN, *HELD_BACK])]
    train_rows = gazetteer.rows(train["place_id"])
    guessed = {name: first_guesses(table) for name, table in predictions.items()}
    report: dict[str, Any] = {"splits": {}, "gzsl": {}}
    held_out = measured(captions)
    for split, photos in held_out.groupby("split"):
        truth = locations(photos)
        figures = {
            name: split_figures(table, truth, gazetteer)
            | {"intervals": split_intervals(table, truth, gazetteer)}
            for name, table in guessed.items()
        }
        figures.update(baseline_figures(locations(train), truth, gazetteer))
        report["splits"][str(split)] = figures
    truth = locations(held_out)
    for name, table in guessed.items():
        ends = gzsl_intervals(table, truth, train_rows, gazetteer)
        for level, figures in gzsl_figures(table, truth, train_rows, gazetteer).items():
            by_name = report["gzsl"].setdefault(level, {})
            by_name[name] = figures | {"intervals": ends[level]}
    return report


def main(
    *,
    predictions: Annotated[str, typer.Option(help="Of locate_photos; a path or URI.")],
    captions: Annotated[str, typer.Option(help="Of write_captions; a path or URI.")],
    out: Annotated[Path, on_this_machine("The report, a .json file.")],
    gazetteer: Places = None,
) -> None:
    """Evaluate from the command line."""
    check_checkout(ROOT)
    located = read_parquet(predictions, NEEDED, "predictions", "pipelines.locate_photos")
    captioned = read_captions(captions, TRUTH)
    report = evaluate_guesses(captioned, {"after": located}, Gazetteer.read(gazetteer))
    try:
        out.write_text(json.dumps(report, indent=2) + "\n")
    except OSError as problem:
        raise GeoclipError(
            f"{out} cannot be written ({problem.strerror}); name another --out."
        ) from None
    print(f"Figures of {', '.join(report['splits'])} in {out}.")


if __name__ == "__main__":
    run(main)
