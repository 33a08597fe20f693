"""Match guesses with the truth, and measure their distances."""

from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.evaluation.evaluation import Evaluation
from geoclip.evaluation.path_ends import match_by_end
from geoclip.evaluation.published_predictions import (
    is_published_predictions,
    parse_published_predictions,
)
from geoclip.evaluation.true_classes import packaged_gazetteer
from geoclip.evaluation.truth_tables import parse_truth, read_truth
from geoclip.guesses.guess_files import parse_guesses, read_guesses
from geoclip.guesses.schema import GALLERY, GPS, MODEL
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import great_circle_km
from geoclip.support.paths import AnyPath, decode_path, same_file_key
from geoclip.support.tables import Source, plain_names, read_text_table, refuse_rows

Given: TypeAlias = pd.DataFrame | AnyPath
"""A table in memory, or its file."""


def evaluate_tables(
    guesses: pd.DataFrame,
    truth: pd.DataFrame,
    allow_gps: bool = False,
    gazetteer: Gazetteer | None = None,
    skip_gps: bool = False,
) -> Evaluation:
    """Compare a table of guesses with a truth table, both in memory.

    `guesses` are those of `Locator.locate` or `read_guesses`, or have path (or IMG_ID), lat and lon
    in degrees. `truth` has path (or IMG_ID), lat and lon, and optionally `TRUTH_EXTRAS`. Relative
    paths start at the working directory; paths that name no file in common match by their common
    end (`match_by_end`); upper and lower case of column names are the same. `gazetteer` (by default
    the packaged one) has the guessed places, and gives the country of a true point. With `skip_gps`
    photos do not count whose answer is their own GPS position. Raises GeoclipError, with the row's
    index, for bad values in either, a photo twice, an end of a path that fits several, tables
    without a photo in common, and (unless `allow_gps`) for a guess whose source is not the model.

    >>> guesses = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "lat": [45.8, 0.0], "lon": [4.8, 0.0]})
    >>> truth = pd.DataFrame({"path": ["a.jpg", "c.jpg"], "lat": [45.8, 1.0], "lon": [4.9, 1.0]})
    >>> evaluation = evaluate_tables(guesses, truth)
    >>> evaluation.km.round(2).tolist(), evaluation.missing, evaluation.unused
    ([7.75, inf], 1, 1)
    """
    return evaluate(guesses, truth, allow_gps, gazetteer, skip_gps)


def evaluate_files(
    guesses: Path,
    truth: Path,
    allow_gps: bool = False,
    gazetteer: Gazetteer | None = None,
    skip_gps: bool = False,
) -> Evaluation:
    """Compare files like the tables of `evaluate_tables`; paths are relative to the truth's folder.

    Errors name the file and the row.

    >>> evaluate_files("guesses.csv", "truth.csv")
    Traceback (most recent call last):
    geoclip.errors.GeoclipError: truth.csv does not exist...
    """
    return evaluate(Path(guesses), Path(truth), allow_gps, gazetteer, skip_gps)


def evaluate(
    guesses: Given,
    truth: Given,
    allow_gps: bool = False,
    gazetteer: Gazetteer | None = None,
    skip_gps: bool = False,
) -> Evaluation:
    """Compare guesses with the truth as `evaluate_tables` does; each is a table or its file."""
    if gazetteer is not None:
        gazetteer.check_has_positions()
    if isinstance(truth, pd.DataFrame):
        theirs: Source = "the table of truth"
        folder = Path()
        plain = truth.set_axis(plain_names(truth.columns, theirs), axis=1)
        actual = parse_truth(plain, theirs, folder)
    else:
        theirs, folder = Path(truth), Path(truth).parent
        actual = read_truth(theirs)
    if isinstance(guesses, pd.DataFrame):
        mine: Source = "the table of guesses"
        named = guesses.set_axis(plain_names(guesses.columns, mine), axis=1)
        answers = _parse_answers(named, mine)
    else:
        mine = Path(guesses)
        answers = read_answers(mine)
    if not allow_gps:
        refuse_other_sources(answers[answers["source"] != GPS] if skip_gps else answers, mine)
    first = matched(answers[answers["rank"] == 1], actual, folder, (mine, theirs))
    found = _evaluate(answers, first, actual, gazetteer)
    return found.leaving_out(found.by_gps) if skip_gps else found


def matched(
    first: pd.DataFrame, truth: pd.DataFrame, folder: Path, sources: tuple[Source, Source]
) -> pd.DataFrame:
    """Answers of rank 1 with `photo`, of `match_photos`; errors call the tables by `sources`."""
    position = match_photos(first["path"], truth, folder, sources[0])
    if len(first) and not (position >= 0).any():
        raise GeoclipError(
            f"{sources[0]} answers no photo of {sources[1]} (it has {first['path'].iloc[0]!r}, the "
            f"truth has {truth['photo_id'].iloc[0]!r}): check that the two belong together."
        )
    _refuse_second_answers(first, position, sources[0])
    return first.assign(photo=position)


def _evaluate(
    answers: pd.DataFrame, first: pd.DataFrame, truth: pd.DataFrame, gazetteer: Gazetteer | None
) -> Evaluation:
    """Compare answers with the truth; `first` are those of rank 1, with their `photo`."""
    used = first["photo"] >= 0
    answered = dict(zip(first["path"][used], first["photo"][used], strict=True))
    ranked = _with_distances(answers[answers["path"].isin(answered)], answered, truth)
    guesses = one_a_photo(ranked[ranked["rank"] == 1], len(truth))
    km = guesses["km"].fillna(np.inf).to_numpy(dtype=float)
    unmatched, world = tuple(first["path"][~used]), gazetteer or packaged_gazetteer()
    return Evaluation(km, truth, guesses, ranked, world, unmatched)


def _with_distances(
    answers: pd.DataFrame, answered: dict[str, int], truth: pd.DataFrame
) -> pd.DataFrame:
    """Guesses of any rank with `photo`, their photo's position in `truth`, and `km` from it."""
    photo = answers["path"].map(answered).to_numpy(dtype=np.intp)
    actual = truth.iloc[photo]
    km = great_circle_km(
        actual["lat"].to_numpy(),
        actual["lon"].to_numpy(),
        answers["lat"].to_numpy(),
        answers["lon"].to_numpy(),
    )
    return answers.assign(photo=photo, km=km)


def one_a_photo(first: pd.DataFrame, photos: int) -> pd.DataFrame:
    """The guesses of rank 1 in the order of the truth, by their `photo`; an empty row for none."""
    aligned = first.set_axis(first["photo"].to_numpy()).reindex(range(photos))
    texts = [name for name in aligned if aligned[name].dtype.kind not in "fiu"]
    return aligned.fillna(dict.fromkeys(texts, ""))


def read_answers(path: Path) -> pd.DataFrame:
    """Guesses of any readable kind: ours, `IMG_ID,lat,lon`, or a published file."""
    path = Path(path)
    if path.suffix.lower() != ".csv":
        return read_guesses(path)
    return _parse_answers(read_text_table(path), path)


def _parse_answers(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    if is_published_predictions(frame):
        return parse_published_predictions(frame, source).guesses
    return parse_guesses(frame, source)


def refuse_other_sources(answers: pd.DataFrame, path: Source) -> None:
    """Raise GeoclipError for an answer from elsewhere than the model, such as the photo's own GPS.

    A gallery's answer counts as the model's: it never uses the photo itself.
    """
    source, what = answers["source"], "the answer's source is {}, not 'model'"
    other = answers["lat"].notna() & ~source.isin([MODEL, GALLERY])
    cure = (
        "leave photos with GPS out with --skip-gps, or count them with --allow-gps (in Python: "
        "skip_gps=True, allow_gps=True)"
    )
    refuse_rows(path, other & (source == GPS), what, cure, source)
    cure = "drop such rows, or count them with --allow-gps (in Python: allow_gps=True)"
    refuse_rows(path, other, what, cure, source)


def match_photos(
    paths: pd.Series, truth: pd.DataFrame, folder: Path, source: Source
) -> NDArray[np.intp]:
    """For every guess's path the photo's position in `truth` (of `read_truth`), -1 for none.

    A path may be absolute, or relative to `folder` or to the working directory; links are resolved.
    If the truth has IMG_IDs, other paths match by their file name, because those photos may lie
    anywhere. The others match by the common end, see `match_by_end`. Raises GeoclipError, which
    calls the guesses `source`, where that fits several.
    """
    by_file = {key: at for at, key in enumerate(truth["key"])}
    by_name = {name: at for at, name in enumerate(truth["name"]) if name}
    position = np.array([_match(text, by_file, by_name, folder) for text in paths], dtype=np.intp)
    left = np.flatnonzero(position < 0)
    open_ = np.setdiff1d(np.arange(len(truth)), position)
    if len(left) and len(open_):
        position[left] = _by_ends(paths.iloc[left], truth.iloc[open_], open_, folder, source)
    return position


def _by_ends(
    paths: pd.Series, truth: pd.DataFrame, rows: NDArray[np.intp], folder: Path, source: Source
) -> NDArray[np.intp]:
    """The matches by common ends among the photos in these `rows` of `truth`."""
    here = cache(lambda text: any((base / decode_path(text)).exists() for base in bases))
    bases, guesses, keys = (folder, Path()), list(paths), list(truth["key"])

    def may_be(guess: int, photo: int) -> bool:
        """Two files that are both on this machine, and not one, are different photos."""
        return not (here(guesses[guess]) and here(keys[photo]))

    found, unclear = match_by_end(list(paths), list(truth["photo_id"]), may_be)
    several = pd.Series(False, paths.index)
    several.iloc[unclear] = True
    what, cure = "the end of {} fits several photos", "write longer paths in both tables"
    refuse_rows(source, several, what, cure, paths)
    return np.append(rows, -1)[found]


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
