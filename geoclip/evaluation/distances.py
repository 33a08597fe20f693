"""Guesses and truth to figures: which guess answers which photo, and how far off it is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.evaluation.benchmarks import (
    is_published_predictions,
    parse_published_predictions,
    read_truth,
)
from geoclip.evaluation.metrics import Report, distance_figures
from geoclip.guesses.guess_files import parse_guesses, read_guesses
from geoclip.guesses.schema import MODEL
from geoclip.places.sphere import great_circle_km
from geoclip.support.paths import decode_path, same_file_key
from geoclip.support.tables import read_text_table, refuse_rows


@dataclass(frozen=True)
class Evaluation:
    """The distance of every photo of the truth from its guess.

    `km` (n,) is infinite where there is no answer, `radius_km` (n,) NaN where no radius is stated;
    `unused` counts guesses for photos that the truth does not list.
    """

    km: NDArray[np.float64]
    radius_km: NDArray[np.float64]
    unused: int

    @property
    def n(self) -> int:
        """Photos in the truth."""
        return len(self.km)

    @property
    def answered(self) -> int:
        """Photos with an answer."""
        return int(np.isfinite(self.km).sum())

    @property
    def missing(self) -> int:
        """Photos without one: they count as misses."""
        return self.n - self.answered

    @property
    def within_radius(self) -> float | None:
        """Percent of the stated radii that hold the true place; None where none is stated."""
        stated = np.isfinite(self.radius_km)
        if not stated.any():
            return None
        return float(100 * (self.km[stated] <= self.radius_km[stated]).mean())

    def report(self) -> Report:
        """`within_km`, `n`, `answered`, `missing`, `median_km`, `mean_km`, `geoscore`.

        And `within_radius` where a radius is stated.
        """
        figures = distance_figures(self.km)
        counts = {"n": self.n, "answered": self.answered, "missing": self.missing}
        radius = {} if self.within_radius is None else {"within_radius": self.within_radius}
        return {"within_km": figures.pop("within_km"), **counts, **figures, **radius}


def evaluate_files(guesses: Path, truth: Path, allow_gps: bool = False) -> Evaluation:
    """Compare a file of guesses with a truth table; GeoclipError for bad input in either."""
    truth_table = read_truth(truth)
    answers = read_answers(guesses)
    if not allow_gps:
        refuse_other_sources(answers, guesses)
    first = answers[answers["rank"] == 1]
    position = match_photos(first["path"], truth_table, Path(truth).parent)
    used = position >= 0
    if len(first) and not used.any():
        raise GeoclipError(
            f"{guesses} answers no photo of {truth} (it has {first['path'].iloc[0]!r}, the truth "
            f"has {truth_table['photo_id'].iloc[0]!r}): check that the two belong together."
        )
    _refuse_second_answers(first, position, Path(guesses))
    km, radius = np.full(len(truth_table), np.inf), np.full(len(truth_table), np.nan)
    guess, actual = first[used], truth_table.iloc[position[used]]
    distance = great_circle_km(
        actual["lat"].to_numpy(),
        actual["lon"].to_numpy(),
        guess["lat"].to_numpy(),
        guess["lon"].to_numpy(),
    )
    km[position[used]] = np.where(np.isnan(distance), np.inf, distance)
    radius[position[used]] = guess["radius_km"].to_numpy()
    return Evaluation(km, radius, int((~used).sum()))


def read_answers(path: Path) -> pd.DataFrame:
    """Guesses of any kind that can be evaluated: ours, `IMG_ID,lat,lon`, or a published file."""
    path = Path(path)
    if path.suffix.lower() != ".csv":
        return read_guesses(path)
    frame = read_text_table(path)
    if is_published_predictions(frame):
        return parse_published_predictions(frame, path).guesses
    return parse_guesses(frame, path)


def refuse_other_sources(answers: pd.DataFrame, path: Path) -> None:
    """Raise GeoclipError for an answer that was not the model's, such as the photo's own GPS."""
    other = answers["lat"].notna() & (answers["source"] != MODEL)
    cure = "drop such rows, or count them with --allow-gps"
    refuse_rows(path, other, "the answer's source is {}, not 'model'", cure, answers["source"])


def match_photos(paths: pd.Series, truth: pd.DataFrame, folder: Path) -> NDArray[np.intp]:
    """For every guess's path the photo's position in `truth` (of `read_truth`), -1 for none.

    A path may be relative to the truth table's folder or to the working directory, or absolute;
    files are compared with links resolved. What stays unmatched is looked up by file name where
    the truth has IMG_IDs, because those photos may lie anywhere.
    """
    by_file = {key: at for at, key in enumerate(truth["key"])}
    by_name = {name: at for at, name in enumerate(truth["name"]) if name}
    return np.array([_match(text, by_file, by_name, folder) for text in paths], dtype=np.intp)


def _match(text: str, by_file: dict[str, int], by_name: dict[str, int], folder: Path) -> int:
    for base in (folder, Path()):
        at = by_file.get(same_file_key(text, base))
        if at is not None:
            return at
    return by_name.get(decode_path(text).name, -1)


def _refuse_second_answers(first: pd.DataFrame, position: NDArray[np.intp], path: Path) -> None:
    """Raise GeoclipError when two rank-1 rows answer the same photo."""
    used = pd.Series(position, index=first.index)
    again = used.duplicated() & (used >= 0)
    cure = "keep one row of rank 1 a photo"
    refuse_rows(path, again, "a second answer for {}", cure, first["path"])
