"""Guesses beside the truth, photo by photo: the named classes, and whether they are right."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.evaluation.bootstrap import Clusters
from geoclip.evaluation.true_classes import (
    CLASS_LEVELS,
    named_depth,
    packaged_gazetteer,
    place_classes,
    true_classes,
)
from geoclip.guesses.schema import GPS
from geoclip.places.gazetteer import Gazetteer

ABSTAINED = "no evidence"
"""The status of a photo that was not guessed because it shows no place."""
SOURCE_COLUMNS = ("source", "source_repo")


@dataclass(frozen=True)
class JudgedGuesses:
    """Every photo of the truth beside its guess.

    `km` (n,) is infinite without an answer. `truth` (n rows) is the table of `parse_truth`,
    `guesses` (n rows) the guess of rank 1 of each photo, empty for none, and `ranked` the guesses
    of all ranks, with `photo`, the position in the truth, and `km`. `unmatched` are the paths of
    guesses for photos outside the truth; of `skipped` photos neither truth nor guess counts,
    because they answer with their own GPS.
    """

    km: NDArray[np.float64]
    truth: pd.DataFrame
    guesses: pd.DataFrame
    ranked: pd.DataFrame
    gazetteer: Gazetteer = field(default_factory=packaged_gazetteer)
    unmatched: tuple[str, ...] = ()
    skipped: int = 0

    def __repr__(self) -> str:
        counts = f"{self.n:,} photos, {self.answered:,} answered, {self.missing:,} missing"
        return f"{type(self).__name__}({counts})"

    @property
    def unused(self) -> int:
        """How many guesses are for photos outside the truth."""
        return len(self.unmatched)

    def leaving_out(self, photos: NDArray[np.bool_]) -> Self:
        """The same without these photos (n,), which answer with their own GPS.

        Raises GeoclipError where none is left.
        """
        kept = ~photos
        if not kept.any():
            raise GeoclipError(
                "All photos answer with their own GPS: guess them with --gps ignore."
            )
        ranked = self.ranked[kept[self.ranked["photo"]]]
        position = np.cumsum(kept) - 1
        return replace(
            self,
            km=self.km[kept],
            truth=self.truth[kept].reset_index(drop=True),
            guesses=self.guesses[kept].reset_index(drop=True),
            ranked=ranked.assign(photo=position[ranked["photo"]]),
            skipped=self.skipped + int(photos.sum()),
        )

    @property
    def by_gps(self) -> NDArray[np.bool_]:
        """Which photos (n,) answer with their own GPS position."""
        return np.asarray(self.guesses["source"] == GPS, dtype=bool)

    @property
    def n(self) -> int:
        """Photos in the truth."""
        return len(self.km)

    @property
    def answered(self) -> int:
        """Photos with an answer."""
        return int(np.isfinite(self.km).sum())

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """Which photos (n,) were refused as "no evidence"."""
        refused = (self.guesses["status"] == ABSTAINED).to_numpy(dtype=bool)
        return np.asarray(refused & ~np.isfinite(self.km))

    @property
    def missing(self) -> int:
        """Photos without an answer that were not refused as "no evidence"."""
        return self.n - self.answered - int(self.abstained.sum())

    @cached_property
    def true(self) -> pd.DataFrame:
        """Classes of the true points (n rows), see `true_classes`."""
        return true_classes(self.truth, self.gazetteer)

    @cached_property
    def place(self) -> pd.DataFrame:
        """Classes of each guess's place and its ancestors (n rows), see `place_classes`."""
        return place_classes(self.guesses, self.gazetteer)

    @cached_property
    def depth(self) -> NDArray[np.int64]:
        """The level (n,) to which each guess names its place, 0 without an answer."""
        return np.where(np.isfinite(self.km), named_depth(self.guesses, self.gazetteer), 0)

    @cached_property
    def named(self) -> pd.DataFrame:
        """Classes that the guesses name (n rows): empty below their level."""
        levels = {
            level: self.place[level].where(self.depth > number, "")
            for number, level in enumerate(CLASS_LEVELS)
        }
        return pd.DataFrame(levels)

    @cached_property
    def clusters(self) -> Clusters:
        """The bootstrap's clusters."""
        return Clusters.of(self.truth)

    @property
    def country(self) -> NDArray[np.object_]:
        """The true country (n,) of each photo."""
        return np.asarray(self.true["country"], dtype=object)

    @property
    def source(self) -> NDArray[np.object_]:
        """The source of each photo (n,), by the truth's column `source`, else `source_repo`."""
        for name in SOURCE_COLUMNS:
            if name in self.truth:
                return np.asarray(self.truth[name], dtype=object)
        return np.full(self.n, "", dtype=object)

    @property
    def judged_levels(self) -> list[str]:
        """The levels, continent and country, at which any guess names a class."""
        return [level for level in CLASS_LEVELS[:2] if (self.named[level] != "").any()]

    def right(self, level: str) -> NDArray[np.bool_]:
        """Which guesses (n,) name the true class of a level; a guess without a class is wrong."""
        named = self.named[level].to_numpy()
        return np.asarray((named != "") & (named == self.true[level].to_numpy()))

    def at_own_level(self) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """The class that each guess names at its own level, and the true one; (n,) and (n,)."""
        named = np.full(self.n, "", dtype=object)
        true = np.full(self.n, "", dtype=object)
        for number, level in enumerate(CLASS_LEVELS, start=1):
            named[self.depth == number] = self.place[level][self.depth == number]
            true[self.depth == number] = self.true[level][self.depth == number]
        return named, true

    def stated(self, column: str) -> NDArray[np.float64]:
        """A numeric column of the guesses (n,), NaN without a value or an answer."""
        return np.where(np.isfinite(self.km), self.guesses[column].to_numpy(dtype=float), np.nan)
