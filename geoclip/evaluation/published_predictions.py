"""Reader of published prediction files: a model's answers and the figures in their last line."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.evaluation.metrics import THRESHOLDS_KM
from geoclip.guesses.guess_files import parse_guesses
from geoclip.support.tables import Source, numbers, read_text_table, require_columns

PREDICTION_COLUMNS = ("img_id", "predicted_lat", "predicted_long")
ACCURACY_HEADER = "street acc (1km)"


@dataclass(frozen=True)
class PublishedPredictions:
    """A published model's answers and the figures printed in the file's last line.

    `guesses` have the columns of `guesses.schema`; `accuracies` maps each threshold in km to a
    fraction as printed ({} if absent), `mean_km` is the mean deviation as printed.
    """

    guesses: pd.DataFrame
    accuracies: dict[str, str]
    mean_km: str | None


def is_published_predictions(frame: pd.DataFrame) -> bool:
    """Whether a table read by `read_text_table` has the layout of published prediction files."""
    return set(PREDICTION_COLUMNS) <= set(frame.columns)


def read_published_predictions(path: Path) -> PublishedPredictions:
    """A published prediction file: `img_id, gt_lat, predicted_lat, gt_long, predicted_long, …`.

    Its last two lines are a second header and the model's own published accuracies, not photos.
    """
    frame = read_text_table(Path(path))
    require_columns(frame, PREDICTION_COLUMNS, path)
    return parse_published_predictions(frame, Path(path))


def parse_published_predictions(frame: pd.DataFrame, path: Source) -> PublishedPredictions:
    """Published predictions from a frame of `read_text_table`; see `read_published_predictions`."""
    footer = (frame["img_id"] == ACCURACY_HEADER).to_numpy().nonzero()[0]
    end = int(footer[0]) if len(footer) else len(frame)
    names = {"predicted_lat": "lat", "predicted_long": "lon"}
    own = frame.iloc[:end].drop(columns=["lat", "lon"], errors="ignore").rename(columns=names)
    guesses = parse_guesses(own, path)
    if end + 1 >= len(frame):
        return PublishedPredictions(guesses, {}, None)
    figures = frame.iloc[end + 1].tolist()
    shares = [str(km) for km in THRESHOLDS_KM.values()]
    if len(figures) <= len(shares):
        raise GeoclipError(
            f"{path}, row {frame.index[end + 1]}: {len(figures)} columns are too few for the "
            "accuracies; give the five shares and the mean deviation, or drop the last two rows."
        )
    numbers(pd.Series(figures, index=[frame.index[end + 1]] * len(figures), name="accuracy"), path)
    accuracies = dict(zip(shares, figures[: len(shares)], strict=True))
    return PublishedPredictions(guesses, accuracies, figures[len(shares)])
