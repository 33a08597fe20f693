"""Guesses against truth: which guess answers which photo, and how far off it is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.evaluation.benchmarks import (
    is_published_predictions,
    parse_published_predictions,
    parse_truth,
    read_truth,
)
from geoclip.evaluation.metrics import Report, distance_figures
from geoclip.guesses.guess_files import parse_guesses, read_guesses
from geoclip.guesses.schema import MODEL
from geoclip.places.sphere import great_circle_km
from geoclip.support.paths import decode_path, same_file_key
from geoclip.support.tables import Source, plain_names, read_text_table, refuse_rows


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


def evaluate_tables(
    guesses: pd.DataFrame, truth: pd.DataFrame, allow_gps: bool = False
) -> Evaluation:
    """Compare a table of guesses with a truth table, both in memory.

    `guesses` are those of `Locator.locate` or `read_guesses`, or have path (or IMG_ID), lat and lon
    in degrees. `truth` has path (or IMG_ID), lat and lon. Relative paths start at the working
    directory; upper and lower case of column names are the same. Raises GeoclipError, with the
    row's index, for bad values in either, a photo twice, tables without a photo in common, and
    (unless `allow_gps`) for a guess whose source is not the model.

    >>> guesses = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "lat": [45.8, 0.0], "lon": [4.8, 0.0]})
    >>> truth = pd.DataFrame({"path": ["a.jpg", "c.jpg"], "lat": [45.8, 1.0], "lon": [4.9, 1.0]})
    >>> evaluation = evaluate_tables(guesses, truth)
    >>> evaluation.km.round(2).tolist(), evaluation.missing, evaluation.unused
    ([7.75, inf], 1, 1)
    """
    mine, theirs = "the table of guesses", "the table of truth"
    plain_guesses = guesses.set_axis(plain_names(guesses.columns, mine), axis=1)
    plain_truth = truth.set_axis(plain_names(truth.columns, theirs), axis=1)
    answers = _parse_answers(plain_guesses, mine)
    folder = Path()
    actual = parse_truth(plain_truth, theirs, folder)
    return _evaluate(answers, actual, folder, (mine, theirs), allow_gps)


def evaluate_files(guesses: Path, truth: Path, allow_gps: bool = False) -> Evaluation:
    """Compare files as `evaluate_tables` does tables; paths are relative to the truth's folder.

    Errors name the file and the row.
    """
    actual, answers = read_truth(truth), read_answers(guesses)
    return _evaluate(answers, actual, Path(truth).parent, (guesses, truth), allow_gps)


def _evaluate(
    answers: pd.DataFrame,
    truth: pd.DataFrame,
    folder: Path,
    sources: tuple[Source, Source],
    allow_gps: bool,
) -> Evaluation:
    """Compare parsed answers with parsed truth; errors call the two by their `sources`."""
    if not allow_gps:
        refuse_other_sources(answers, sources[0])
    first = answers[answers["rank"] == 1]
    position = match_photos(first["path"], truth, folder)
    used = position >= 0
    if len(first) and not used.any():
        raise GeoclipError(
            f"{sources[0]} answers no photo of {sources[1]} (it has {first['path'].iloc[0]!r}, the "
            f"truth has {truth['photo_id'].iloc[0]!r}): check that the two belong together."
        )
    _refuse_second_answers(first, position, sources[0])
    km, radius = np.full(len(truth), np.inf), np.full(len(truth), np.nan)
    guess, actual = first[used], truth.iloc[position[used]]
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
    return _parse_answers(read_text_table(path), path)


def _parse_answers(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    if is_published_predictions(frame):
        return parse_published_predictions(frame, source).guesses
    return parse_guesses(frame, source)


def refuse_other_sources(answers: pd.DataFrame, path: Source) -> None:
    """Raise GeoclipError for an answer that was not the model's, such as the photo's own GPS."""
    other = answers["lat"].notna() & (answers["source"] != MODEL)
    cure = "drop such rows, or count them with --allow-gps (in Python: allow_gps=True)"
    refuse_rows(path, other, "the answer's source is {}, not 'model'", cure, answers["source"])


def match_photos(paths: pd.Series, truth: pd.DataFrame, folder: Path) -> NDArray[np.intp]:
    """For every guess's path the photo's position in `truth` (of `read_truth`), -1 for none.

    A path may be absolute, or relative to `folder` or to the working directory; links are resolved.
    Where the truth has IMG_IDs, other paths match by their file name, because those photos may lie
    anywhere.
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


def _refuse_second_answers(first: pd.DataFrame, position: NDArray[np.intp], path: Source) -> None:
    """Raise GeoclipError when two rank-1 rows answer the same photo."""
    used = pd.Series(position, index=first.index)
    again = used.duplicated() & (used >= 0)
    cure = "keep one row of rank 1 a photo"
    refuse_rows(path, again, "a second answer for {}", cure, first["path"])
