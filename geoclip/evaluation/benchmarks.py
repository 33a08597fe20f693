"""Readers of IM2GPS, IM2GPS3K and YFCC4k truth tables and of published predictions.

Truth tables have `IMG_ID,LAT,LON` and more columns (AUTHOR, scene labels), which are ignored;
tables of one's own photos have `path,lat,lon`. One published commit of the IM2GPS3K table names
its columns LON, LAT over lat, lon values: this is refused with the cure (exchange the two names),
never silently mended.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.evaluation.metrics import THRESHOLDS_KM
from geoclip.guesses.guess_files import parse_guesses
from geoclip.support.paths import same_file_key
from geoclip.support.tables import (
    Source,
    cell_text,
    coordinates,
    numbers,
    read_text_table,
    refuse_duplicates,
    refuse_no_coordinates,
    refuse_rows,
    require_columns,
)

PREDICTION_COLUMNS = ("img_id", "predicted_lat", "predicted_long")
TRUTH_EXTRAS = ("author", "location_id", "country_code", "source", "source_repo")
"""Columns of a truth table that an evaluation uses where they are there."""
ACCURACY_HEADER = "street acc (1km)"


@dataclass(frozen=True)
class PublishedPredictions:
    """A published model's answers and the figures printed in the file's last line.

    `guesses` have the columns of `guesses.schema`; `accuracies` maps each threshold in km to a
    fraction as printed ({} where the file has none), `mean_km` is the mean deviation as printed.
    """

    guesses: pd.DataFrame
    accuracies: dict[str, str]
    mean_km: str | None


def read_truth(path: Path) -> pd.DataFrame:
    """True coordinates from a CSV file; see `parse_truth`. Paths are relative to its folder."""
    path = Path(path)
    return parse_truth(read_text_table(path), path, path.parent)


def parse_truth(frame: pd.DataFrame, source: Source, folder: Path) -> pd.DataFrame:
    """True coordinates, one row a photo: `photo_id`, `key`, `name`, `lat`, `lon` in degrees.

    `key` is the photo's file with links resolved, paths and IMG_IDs taken relative to `folder`;
    `name` is the IMG_ID, "" in a table of paths; those of `TRUTH_EXTRAS` that are there follow as
    texts. Column names are in lower case. Raises
    GeoclipError, which calls the table `source`, for missing columns, no rows, text or NaN for a
    coordinate, values out of range, swapped names, and for a photo that stands twice.
    """
    name = "path" if "path" in frame else "img_id"
    if name not in frame or not {"lat", "lon"} <= set(frame.columns):
        raise GeoclipError(
            f"{source} has the columns {', '.join(frame.columns)}: a truth table needs IMG_ID, "
            "LAT, LON or path, lat, lon."
        )
    if frame.empty:
        raise GeoclipError(f"{source} lists no photo: add a row for each photo below the header.")
    photo = frame[name].map(cell_text)
    refuse_rows(source, photo == "", f"{name} is empty", "name the photo or drop the row")
    lat, lon = coordinates(frame, source)
    refuse_no_coordinates(lat, frame.index, source)
    refuse_duplicates(source, photo, "photo")
    key = photo.map(lambda text: same_file_key(text, folder))
    refuse_duplicates(source, key, "photo")
    names = photo if name == "img_id" else ""
    table = pd.DataFrame({"photo_id": photo, "key": key, "name": names, "lat": lat, "lon": lon})
    extras = [column for column in TRUTH_EXTRAS if column in frame]
    return table.assign(**{column: frame[column].map(cell_text) for column in extras})


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
