"""Guesses of the classes of a table of levels beside the true ones: figures at every level.

Classes lie nowhere, so there is no figure of distance.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.evaluation.bootstrap import DRAWS, Clusters, class_mean_of, mean_of
from geoclip.evaluation.calibration_statistics import calibration_figures
from geoclip.evaluation.intervals import about, intervals
from geoclip.evaluation.matching import matched, one_a_photo
from geoclip.evaluation.metrics import UNKNOWN, Report, mean_over_classes
from geoclip.evaluation.split_figures import gzsl_figures, gzsl_intervals
from geoclip.guesses.class_files import read_class_guesses
from geoclip.guesses.class_guesses import NONE
from geoclip.photos.photo_table import HELD_BACK, TRAIN, read_photo_table
from geoclip.places.gazetteer import NO_ROW, Gazetteer
from geoclip.support.paths import same_file_key
from geoclip.support.tables import read_text_table, refuse_duplicates, refuse_rows

TOP = (1, 3, 5)
"""Guesses of a photo among which the true class is looked for."""


@dataclass(frozen=True)
class ClassEvaluation:
    """Every photo of the truth beside its guess.

    `truth` (n rows) has photo_id, key, location_id, lat, lon (NaN) and `place_row`, the gazetteer
    row of the true class. `guesses` (n rows) are those of rank 1 with the columns of
    `class_guesses`, empty where there is none; `ranked` are those of all ranks, with `photo`, the
    position in the truth. `train_rows` (t,) are the rows of the classes that photos were trained
    on, none where that is not known. `unused` counts guesses for photos that the truth does not
    list, `trained_on` photos of the truth that are left out because they were trained on.
    """

    truth: pd.DataFrame
    guesses: pd.DataFrame
    ranked: pd.DataFrame
    gazetteer: Gazetteer
    train_rows: NDArray[np.int64]
    unused: int = 0
    trained_on: int = 0

    @classmethod
    def of_files(
        cls, guesses: Path, truth: Path, gazetteer: Gazetteer, train: Path | None = None
    ) -> "ClassEvaluation":
        """Compare a file of `read_class_guesses` with a photo table that states a place_id each.

        The photos trained on are those of `train` (of its split "train" where it has one), else
        those that the truth itself trains on or holds back; they are not measured. Raises
        GeoclipError, naming file and row, for a photo without a class, a class that the gazetteer
        does not list, a photo listed or answered twice, and files without a photo in common.
        """
        answers = read_class_guesses(Path(guesses), gazetteer)
        photos = _classified_photos(Path(truth), gazetteer)
        trained = photos[photos["split"].isin([TRAIN, *HELD_BACK])]
        if train is not None:
            trained = _classified_photos(Path(train), gazetteer)
            chosen = trained["split"] == TRAIN
            trained = trained[chosen] if chosen.any() else trained
        fresh = photos[~photos["key"].isin(trained["key"])]
        refuse_duplicates(truth, fresh["key"], "photo")  # a link is the photo that it leads to
        fresh = fresh.reset_index(drop=True)
        if fresh.empty:
            raise GeoclipError(f"{truth} lists no photo but those trained on: add others.")
        first = answers[answers["rank"] == 1]
        first = matched(first, photos, Path(truth).parent, (guesses, truth))
        known = first[first["photo"] >= 0]
        measured = pd.Index(fresh["key"]).get_indexer(photos["key"].iloc[known["photo"]])
        at = dict(zip(known["path"], measured.tolist(), strict=True))
        photo = answers["path"].map(at).fillna(-1).to_numpy(np.intp)
        ranked = answers[photo >= 0].assign(photo=photo[photo >= 0])
        return cls(
            fresh,
            one_a_photo(ranked[ranked["rank"] == 1], len(fresh)),
            ranked,
            gazetteer,
            trained["place_row"].to_numpy(np.int64),
            len(first) - len(known),
            len(photos) - len(fresh),
        )

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which photos (n,) have a guess."""
        return np.asarray(self.guesses[f"{self.gazetteer.level_names[0]}_id"] != "")

    @cached_property
    def true(self) -> pd.DataFrame:
        """The true class of each level (n rows) by its id, "" where the truth does not say it."""
        return _chains(self.truth["place_row"].to_numpy(), self.gazetteer)

    def report(self, draws: int = DRAWS) -> Report:
        """All figures, ready for JSON; a photo without a guess is a miss.

        `levels` has for each level the percent of photos whose likeliest class is right (`right`,
        and its mean over the true classes, `right_by_class`), beside chance and the commonest class
        of the photos trained on. `answers` counts the answers that stop at each level, and those
        with the true class among the first k. `gzsl` has S, U and H of each level, see
        `split_figures.gzsl_figures`; None without a list of training photos. `calibration` is of
        each level's probability. `draws` are those of the bootstrap.
        """
        clusters = Clusters.of(self.truth)
        return {
            "n": len(self),
            "answered": int(self.answered.sum()),
            "missing": int((~self.answered).sum()),
            "intervals": about(clusters, draws),
            "levels": {
                level: self._level(level, clusters, draws) for level in self.gazetteer.level_names
            },
            "answers": self._answers(),
            "gzsl": self._gzsl(draws) if len(self.train_rows) else None,
            "calibration": self._calibration(),
        }

    def _level(self, level: str, clusters: Clusters, draws: int) -> Report:
        actual = self.true[level].to_numpy(object)
        known = actual != UNKNOWN
        right = self._right(level)
        shares = 100.0 * np.where(known, right, np.nan)
        statistics = {
            "right": mean_of(shares, clusters),
            "right_by_class": class_mean_of(100.0 * right, actual, clusters),
        }
        return {
            "n": int(known.sum()),
            "classes": len(set(actual[known].tolist())),
            "right": 100 * float(right[known].mean()) if known.any() else None,
            "right_by_class": mean_over_classes(right, actual),
            "chance": 100 / max(1, len(self.gazetteer.level_rows(level))),
            "constant": self._constant(level, actual[known]),
            "intervals": intervals(statistics, clusters, draws),
        }

    def _right(self, level: str) -> NDArray[np.bool_]:
        """Whose likeliest class of a level is the true one (n,)."""
        actual = self.true[level].to_numpy(object)
        guessed = self.guesses[f"{level}_id"].to_numpy(object)
        return np.asarray((guessed == actual) & (actual != UNKNOWN), dtype=bool)

    def _constant(self, level: str, actual: NDArray[np.object_]) -> float | None:
        """The percent of right answers of the commonest class trained on, None without one."""
        trained = _chains(self.train_rows, self.gazetteer)[level]
        common = trained[trained != ""].mode()
        if common.empty or not len(actual):
            return None
        return 100 * float(np.mean(actual == common.iloc[0]))

    def _answers(self) -> Report:
        """Answers that stop at each level: how many, and the true class among the first of them."""
        level_of, ids = self.guesses["level"].to_numpy(object), self.gazetteer.ids
        found: Report = {}
        for number, level in enumerate(self.gazetteer.level_names):
            stops = level_of == level
            true = self.gazetteer.ancestors[self.truth["place_row"], number]
            judged = np.flatnonzero(stops & (true != NO_ROW))
            own = self.ranked[self.ranked["photo"].isin(judged)]
            hit = own["place_id"].to_numpy(object) == ids[true[own["photo"].to_numpy(int)]]
            best = own[hit].groupby("photo")["rank"].min().reindex(judged)
            most = own["rank"].max() if len(own) else 0
            found[level] = {
                "answered": 100 * float(stops.mean()),
                "n": len(judged),
                "among": {str(k): 100 * float((best <= k).mean()) for k in TOP if k <= most},
            }
        stops = self.answered & (level_of == NONE)
        return found | {NONE: {"answered": 100 * float(stops.mean()), "n": 0, "among": {}}}

    def _gzsl(self, draws: int) -> Report:
        given = self.guesses, self.truth, self.train_rows, self.gazetteer
        ends = gzsl_intervals(*given, draws)
        return {level: f | {"intervals": ends[level]} for level, f in gzsl_figures(*given).items()}

    def _calibration(self) -> Report:
        found = {}
        for level in self.gazetteer.level_names:
            p = self.guesses[f"{level}_probability"].to_numpy(float)
            judged = np.isfinite(p) & (self.true[level] != UNKNOWN).to_numpy()
            if judged.any():
                right = self._right(level)[judged]
                found[f"{level}_probability"] = calibration_figures(p[judged], right)
        return found


def _classified_photos(table: Path, gazetteer: Gazetteer) -> pd.DataFrame:
    """A photo table with `key`, the file with links resolved, and `place_row`, the class's row."""
    photos = read_photo_table(table).set_axis(read_text_table(table).index)
    ids = photos["place_id"]
    cure = "fill in the id of its class, or drop the row"
    refuse_rows(table, ids == "", "place_id is empty", cure)
    what = "the table of levels has no class {}"
    refuse_rows(table, ~ids.isin(gazetteer.ids), what, "correct its place_id", ids)
    keys = [same_file_key(text, table.parent) for text in photos["photo_id"]]
    return photos.assign(key=keys, name="", place_row=gazetteer.rows(ids))


def _chains(rows: NDArray[np.int64], gazetteer: Gazetteer) -> pd.DataFrame:
    """The class of each level above some rows (n,), by id; "" where there is none."""
    above = gazetteer.ancestors[rows]
    ids = np.where(above == NO_ROW, UNKNOWN, gazetteer.ids[above])
    return pd.DataFrame(ids, columns=list(gazetteer.level_names), dtype=object)
