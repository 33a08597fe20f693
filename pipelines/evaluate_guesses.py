"""Measure predictions against a photo table: distances, classes, seen and unseen.

    python -m pipelines.evaluate_guesses --predictions predictions.parquet \\
        --captions captions.parquet --out report.json

The figures are per location, each split beside the best constant answer chosen on the training
photos and beside chance; S, U and H are over all evaluated splits. For photos without a position,
those of a table of other levels (`pipelines.classify_photos`), the report has only S, U and H.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from geoclip.encoders import Encoder
from geoclip.evaluation.caption_figures import (
    EncodeTexts,
    composition_figures,
    remembering,
    retrieval_figures,
)
from geoclip.evaluation.split_figures import (
    RANKED,
    RANKED_CONTINENTS,
    baseline_figures,
    by_location,
    gzsl_figures,
    gzsl_intervals,
    locations,
    split_figures,
    split_intervals,
)
from geoclip.photos.embedding import Embeddings
from geoclip.photos.refusals import READ
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.files import write_for_user
from geoclip.support.name_guard import check_checkout
from geoclip.training.splits import HELD_BACK, TRAIN
from pipelines.cluster import ROOT
from pipelines.command_line import Places, on_this_machine, run
from pipelines.storage import read_parquet
from pipelines.write_captions import read_captions

NEEDED = ["location_id", "rank", "status"]
OF_POSITIONS = ["lat", "lon", RANKED, RANKED_CONTINENTS]
TRUTH = ["location_id", "split", "lat", "lon", "country_code", "place_id", "place_row"]


def first_guesses(predictions: pd.DataFrame) -> pd.DataFrame:
    """The first-ranked guess for each location (index) with a readable photo."""
    first = predictions[(predictions["rank"] == 1) & predictions["status"].isin(READ)]
    return first.drop_duplicates("location_id").set_index("location_id")


def measured(captions: pd.DataFrame) -> pd.DataFrame:
    """The photos for the figures: of known position, neither trained on nor fitted on.

    Photos whose table names a place instead of a position count; those with only a country do not.
    """
    known = captions["split"].isin([TRAIN, *HELD_BACK])
    return captions[~known & (captions["lat"].notna() | (captions["country_code"] == ""))]


def evaluate_guesses(
    captions: pd.DataFrame, predictions: dict[str, pd.DataFrame], gazetteer: Gazetteer
) -> dict[str, Any]:
    """Return the `splits` and `gzsl` parts of the report; a model's figures have `intervals`.

    `predictions` has a table under each name ("before", "after", "uncalibrated"); `captions` is the
    table of `write_captions`, with the places of training and evaluated photos. Photos used for
    fitting the ranking count as training photos: their classes are seen.
    """
    train = captions[captions["split"].isin([TRAIN, *HELD_BACK])]
    train_rows = gazetteer.rows(train["place_id"])
    guessed = {name: first_guesses(table) for name, table in predictions.items()}
    report: dict[str, Any] = {"splits": {}, "gzsl": {}}
    held_out = measured(captions)
    for split, photos in held_out.groupby("split"):
        truth = locations(photos)
        if truth.empty:
            continue
        figures = {
            name: split_figures(table, truth, gazetteer)
            | {"intervals": split_intervals(table, truth, gazetteer)}
            for name, table in guessed.items()
        }
        figures.update(baseline_figures(locations(train), truth, gazetteer))
        report["splits"][str(split)] = figures
    truth = by_location(held_out)
    for name, table in guessed.items():
        ends = gzsl_intervals(table, truth, train_rows, gazetteer)
        for level, figures in gzsl_figures(table, truth, train_rows, gazetteer).items():
            by_name = report["gzsl"].setdefault(level, {})
            by_name[name] = figures | {"intervals": ends[level]}
    return report


def caption_report(
    photos: pd.DataFrame,
    models: dict[str, tuple[Encoder, Embeddings]],
    book: CaptionBook,
    seed: int,
) -> dict[str, Any]:
    """Return the `retrieval` and `composition` parts of the report, by split and model.

    `photos` have split and place_row; each of `models` has their embeddings, in order.
    """
    report: dict[str, Any] = {"retrieval": {}, "composition": {}}
    by_tower: dict[str, EncodeTexts] = {}
    for name, (encoder, found) in models.items():
        # A frozen text tower encodes a caption the same before and after the tuning.
        encode = by_tower.setdefault(encoder.fingerprint(), remembering(encoder.encode_texts))
        for split in photos["split"].unique():
            own = (photos["split"] == split).to_numpy() & found.ok
            images, rows = found.values[own], photos.loc[own, "place_row"].to_numpy()
            figures = {
                "retrieval": retrieval_figures(images, rows, book, encode),
                "composition": composition_figures(images, rows, book, encode, seed),
            }
            for part, values in figures.items():
                report[part].setdefault(str(split), {})[name] = values
    return report


def main(
    *,
    predictions: Annotated[str, typer.Option(help="Output of locate_photos; a path or URI.")],
    captions: Annotated[str, typer.Option(help="Output of write_captions; a path or URI.")],
    out: Annotated[Path, on_this_machine("The report, a .json file.")],
    gazetteer: Places = None,
) -> None:
    """Evaluate from the command line."""
    check_checkout(ROOT)
    places, captioned = Gazetteer.read(gazetteer), read_captions(captions, TRUTH)
    needed = [*NEEDED, *(f"{level}_id" for level in places.level_names)]
    if measured(captioned)["lat"].notna().any():
        needed += OF_POSITIONS
    located = read_parquet(predictions, needed, "predictions", "pipelines.locate_photos")
    report = evaluate_guesses(captioned, {"after": located}, places)
    text = json.dumps(report, indent=2) + "\n"
    write_for_user(out, lambda file: file.write(text.encode()))
    print(f"Figures of {', '.join(report['splits'] or report['gzsl'])} in {out}.")


if __name__ == "__main__":
    run(main)
