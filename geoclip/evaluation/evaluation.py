"""The outcome of an evaluation, photo by photo, and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.evaluation.bootstrap import (
    DRAWS,
    Clusters,
    Statistic,
    bootstrap,
    class_mean_of,
    interval,
    mean_of,
    median_of,
)
from geoclip.evaluation.calibration_statistics import calibration_figures, coverage, coverage_by
from geoclip.evaluation.metrics import (
    THRESHOLDS_KM,
    Report,
    distance_figures,
    mean_over_classes,
    within_km_by_country,
)
from geoclip.evaluation.recall_area import recall_area_figures, searched_km2
from geoclip.evaluation.selective import level_figures, risk_figures
from geoclip.evaluation.true_classes import (
    CLASS_LEVELS,
    named_depth,
    packaged_gazetteer,
    place_classes,
    true_classes,
)
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geoscore import geoscore
from geoclip.places.place import CONTINENTS
from geoclip.support.tables import numbers

ABSTAINED = "no evidence"
"""The status of a photo that was not guessed because it shows no place."""
SOURCE_COLUMNS = ("source", "source_repo")
STATED_RADII = {"radius_km": 50, "radius_90_km": 90}
RISK_KM = (200, 750, 2500)
SEED = 0


@dataclass(frozen=True)
class Evaluation:
    """Every photo of the truth beside its guess.

    `km` (n,) is infinite where there is no answer, `radius_km` (n,) NaN where no radius is stated;
    `unused` counts guesses for photos that the truth does not list. `truth` (n rows) is the table
    of `parse_truth`, `guesses` (n rows) the guess of rank 1 of each photo, empty where there is
    none, and `ranked` the guesses of all ranks, with `photo`, the position in the truth, and `km`.
    """

    km: NDArray[np.float64]
    radius_km: NDArray[np.float64]
    unused: int
    truth: pd.DataFrame
    guesses: pd.DataFrame
    ranked: pd.DataFrame
    gazetteer: Gazetteer = field(default_factory=packaged_gazetteer)

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

    @property
    def within_radius(self) -> float | None:
        """Percent of the stated radii that hold the true place; None where none is stated."""
        found = coverage(self.km, self.radius_km)
        return None if found is None else float(found["holds"])

    @cached_property
    def true(self) -> pd.DataFrame:
        """Classes of the true points (n rows), see `true_classes`."""
        return true_classes(self.truth, self.gazetteer)

    @cached_property
    def place(self) -> pd.DataFrame:
        """Classes of the place of each guess and of its ancestors (n rows), see `place_classes`."""
        return place_classes(self.guesses, self.gazetteer)

    @cached_property
    def depth(self) -> NDArray[np.int64]:
        """How deep each guess (n,) names its place, 0 where there is no answer."""
        return np.where(np.isfinite(self.km), named_depth(self.guesses, self.gazetteer), 0)

    @cached_property
    def named(self) -> pd.DataFrame:
        """Classes that the guesses name (n rows): nothing stands below their level."""
        levels = {
            level: self.place[level].where(self.depth > number, "")
            for number, level in enumerate(CLASS_LEVELS)
        }
        return pd.DataFrame(levels)

    @cached_property
    def clusters(self) -> Clusters:
        """What the bootstrap draws."""
        return Clusters.of(self.truth)

    def report(self, draws: int = DRAWS) -> Report:
        """All figures, ready for JSON; README "How good the guesses are" names the parts.

        `within_km`, `n`, `answered`, `missing`, `median_km`, `mean_km` and `geoscore` are over all
        photos: one without an answer is a miss. `within_radius` stands where a radius is stated.
        `draws` are those of the bootstrap; the same photos give the same intervals.
        """
        counts = {"n": self.n, "answered": self.answered, "missing": self.missing}
        figures = distance_figures(self.km)
        radius = {} if self.within_radius is None else {"within_radius": self.within_radius}
        return {
            "within_km": figures.pop("within_km"),
            **counts,
            **figures,
            **radius,
            "no_evidence": int(self.abstained.sum()),
            **self._averages(np.ones(self.n, dtype=bool)),
            "intervals": self.intervals(draws),
            "without_no_evidence": self._without_abstained(),
            "levels": self._levels(),
            "calibration": self._calibration(),
            "radii": self._radii(),
            "risk_coverage": self._risks(),
            "recall_area": self._recall_area(),
        }

    def statistics(self) -> dict[str, Statistic]:
        """The figures with intervals, by name, as functions of the draws of clusters."""
        clusters = self.clusters
        country = self.true["country"].to_numpy()
        values = {f"within_km {t}": 100.0 * (self.km <= t) for t in THRESHOLDS_KM.values()}
        values |= {"geoscore": geoscore(self.km)}
        values |= {f"{level}_right": 100.0 * self.right(level) for level in self.judged_levels}
        found = {name: mean_of(value, clusters) for name, value in values.items()}
        found |= {"median_km": median_of(self.km, clusters)}
        for name, value in values.items():
            first, _, threshold = name.partition(" ")
            by_country = class_mean_of(value, country, clusters)
            found[f"{first}_by_country {threshold}".strip()] = by_country
        return found

    def intervals(self, draws: int = DRAWS, seed: int = SEED) -> Report:
        """95 % intervals with the keys of the report, and what they were made from."""
        made = {"clusters": self.clusters.by, "n_clusters": len(self.clusters), "draws": draws}
        if len(self.clusters) < 2:
            return made
        samples = bootstrap(self.clusters, self.statistics(), draws, seed)
        return made | nested({name: interval(sample) for name, sample in samples.items()})

    @property
    def judged_levels(self) -> list[str]:
        """The levels, continent and country, at which any guess names a class."""
        return [level for level in CLASS_LEVELS[:2] if (self.named[level] != "").any()]

    def right(self, level: str) -> NDArray[np.bool_]:
        """Which guesses (n,) name the true class of a level; one that names none does not."""
        named = self.named[level].to_numpy()
        return np.asarray((named != "") & (named == self.true[level].to_numpy()))

    def stated(self, column: str) -> NDArray[np.float64]:
        """A column of numbers of the guesses (n,), NaN where there is none or no answer."""
        if column not in self.guesses:
            return np.full(self.n, np.nan)
        values = numbers(self.guesses[column], "the guesses").to_numpy(dtype=float)
        return np.where(np.isfinite(self.km), values, np.nan)

    @property
    def source(self) -> NDArray[np.object_]:
        """The source of each photo (n,), by the truth's column `source`, else `source_repo`."""
        for name in SOURCE_COLUMNS:
            if name in self.truth:
                return np.asarray(self.truth[name], dtype=object)
        return np.full(self.n, "", dtype=object)

    def _averages(self, photos: NDArray[np.bool_]) -> Report:
        """The means over countries, and the plain and class means of right classes."""
        km, country = self.km[photos], self.true["country"].to_numpy()[photos]
        by_country = mean_over_classes(geoscore(km), country)
        figures: Report = {
            "within_km_by_country": within_km_by_country(km, country),
            "geoscore_by_country": None if by_country is None else by_country / 100,
            "countries": len(set(country.tolist()) - {""}),
        }
        for level in self.judged_levels:
            hits = self.right(level)[photos]
            figures[f"{level}_right"] = 100 * float(hits.mean())
            figures[f"{level}_right_by_country"] = mean_over_classes(hits, country)
        return figures

    def _without_abstained(self) -> Report | None:
        """Figures without the photos refused as "no evidence", where there are any."""
        kept = ~self.abstained
        if kept.all() or not kept.any():
            return None
        return {"n": int(kept.sum()), **distance_figures(self.km[kept]), **self._averages(kept)}

    def _levels(self) -> Report | None:
        return level_figures(self.named, self.true) if self.depth.any() else None

    def _calibration(self) -> Report:
        """Calibration of `probability`, of the place named, and of each level's probability."""
        parts = {"probability": (self.stated("probability"), *self._at_own_level())}
        for level in CLASS_LEVELS:
            name = f"{level}_probability"
            classes = self.place[level].to_numpy(), self.true[level].to_numpy()
            parts[name] = (self.stated(name), *classes)
        judged = {n: np.isfinite(p) & (a != "") & (b != "") for n, (p, a, b) in parts.items()}
        return {
            name: calibration_figures(p[judged[name]].clip(0, 1), (a == b)[judged[name]])
            for name, (p, a, b) in parts.items()
            if judged[name].any()
        }

    def _at_own_level(self) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """The class that each guess names at its own level, and the true one; (n,) and (n,)."""
        named = np.full(self.n, "", dtype=object)
        true = np.full(self.n, "", dtype=object)
        for number, level in enumerate(CLASS_LEVELS, start=1):
            named[self.depth == number] = self.place[level][self.depth == number]
            true[self.depth == number] = self.true[level][self.depth == number]
        return named, true

    def _radii(self) -> Report:
        """Coverage of both radii, over all photos, by continent and by source."""
        continent = self.true["continent"].map(CONTINENTS).fillna("").to_numpy()
        figures = {}
        for column, percent in STATED_RADII.items():
            radius = self.stated(column)
            whole = coverage(self.km, radius)
            if whole:
                figures[column] = {
                    "stated": percent,
                    **whole,
                    "by_continent": coverage_by(self.km, radius, continent),
                    "by_source": coverage_by(self.km, radius, self.source),
                }
        return figures

    def _risks(self) -> Report:
        """Risk–coverage of `probability`, over the answered photos that state one."""
        confidence = self.stated("probability")
        sure = np.isfinite(confidence)
        if not sure.any():
            return {}
        errors = {f"over {t} km": self.km > t for t in RISK_KM}
        if "country" in self.judged_levels:
            errors = {"wrong country": ~self.right("country")} | errors
        if self.depth.any():
            named, true = self._at_own_level()
            errors = {"wrong place named": (named == "") | (named != true)} | errors
        return {name: risk_figures(confidence[sure], wrong[sure]) for name, wrong in errors.items()}

    def _recall_area(self) -> Report:
        ranked = self.ranked[self.ranked["km"].notna()]
        searched = searched_km2(ranked["photo"], ranked["km"], ranked["probability"], self.n)
        return recall_area_figures(searched)


def nested(figures: Mapping[str, Any]) -> Report:
    """{"within_km 25": x} as {"within_km": {"25": x}}.

    >>> nested({"within_km 25": 3.0, "geoscore": 10.0})
    {'within_km': {'25': 3.0}, 'geoscore': 10.0}
    """
    report: Report = {}
    for name, value in figures.items():
        first, _, threshold = name.partition(" ")
        if threshold:
            report.setdefault(first, {})[threshold] = value
        else:
            report[first] = value
    return report
