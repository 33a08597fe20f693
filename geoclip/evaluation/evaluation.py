"""The outcome of an evaluation: the figures of judged guesses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoclip.evaluation.bootstrap import DRAWS, Statistic, class_mean_of, mean_of
from geoclip.evaluation.calibration_statistics import calibration_figures, coverage, coverage_by
from geoclip.evaluation.intervals import SEED, by_country, distance_statistics, intervals
from geoclip.evaluation.judged_guesses import JudgedGuesses
from geoclip.evaluation.level_figures import level_figures
from geoclip.evaluation.metrics import (
    Report,
    distance_figures,
    geoscore_by_country,
    mean_over_classes,
    within_km_by_country,
)
from geoclip.evaluation.recall_area import recall_area_figures, searched_km2
from geoclip.evaluation.selective import risk_figures
from geoclip.evaluation.true_classes import CLASS_LEVELS
from geoclip.places.place import CONTINENTS

RADII = {"radius_km": (50, "within_radius"), "radius_90_km": (90, "within_radius_90")}
"""Columns of radii: their nominal coverage in percent, and the name of that figure."""
RISK_KM = (200, 750, 2500)


@dataclass(frozen=True, repr=False)
class Evaluation(JudgedGuesses):
    """Judged guesses and their figures."""

    def report(self, draws: int = DRAWS) -> Report:
        """All figures, ready for JSON; README "How good the guesses are" names the parts.

        `within_km`, `n`, `answered`, `missing`, `median_km`, `mean_km` and `geoscore` are over all
        photos: a photo without an answer is a miss. `within_radius` and `within_radius_90` exist
        where such radii are stated. `draws` is the number of bootstrap draws; the same photos give
        the same intervals.
        """
        figures = distance_figures(self.km)
        return {
            "within_km": figures.pop("within_km"),
            **{"n": self.n, "answered": self.answered, "missing": self.missing},
            **figures,
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
        found = distance_statistics(self.km, self.country, self.clusters)
        for name, share in self._shares().items():
            found[name] = mean_of(100 * share, self.clusters)
            found[by_country(name)] = class_mean_of(100 * share, self.country, self.clusters)
        return found

    def intervals(self, draws: int = DRAWS, seed: int = SEED) -> Report:
        """95 % intervals with the keys of the report, and their basis."""
        return intervals(self.statistics(), self.clusters, draws, seed)

    def _shares(self) -> dict[str, NDArray[np.float64]]:
        """Right classes, and radii that hold the true point, by name.

        Each (n,) is 1 for true, 0 for false, NaN where the guess states no such radius.
        """
        shares = {f"{level}_right": self.right(level).astype(float) for level in self.judged_levels}
        for column, (_, name) in RADII.items():
            radius = self.stated(column)
            if np.isfinite(radius).any():
                shares[name] = np.where(np.isfinite(radius), self.km <= radius, np.nan)
        return shares

    def _averages(self, photos: NDArray[np.bool_]) -> Report:
        """The means over countries, and the plain and class means of `_shares`."""
        km, country = self.km[photos], self.country[photos]
        figures: Report = {
            "within_km_by_country": within_km_by_country(km, country),
            "geoscore_by_country": geoscore_by_country(km, country),
            "countries": len(set(country.tolist()) - {""}),
        }
        for name, share in self._shares().items():
            known = photos & ~np.isnan(share)
            figures[name] = 100 * float(share[known].mean())
            figures[by_country(name)] = mean_over_classes(share[known], self.country[known])
        return figures

    def _without_abstained(self) -> Report | None:
        """Figures without the photos refused as "no evidence", if any."""
        kept = ~self.abstained
        if kept.all() or not kept.any():
            return None
        return {"n": int(kept.sum()), **distance_figures(self.km[kept]), **self._averages(kept)}

    def _levels(self) -> Report | None:
        return level_figures(self.named, self.true) if self.depth.any() else None

    def _calibration(self) -> Report:
        """Calibration of `probability`, for the named place, and of each level's probability."""
        parts = {"probability": (self.stated("probability"), *self.at_own_level())}
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

    def _radii(self) -> Report:
        """Coverage of both radii: over all photos, by the guess's level, continent and source."""
        continent = self.true["continent"].map(CONTINENTS).fillna("").to_numpy()
        level = np.array(["none", *CLASS_LEVELS], dtype=object)[self.depth]
        groups = {"by_level": level, "by_continent": continent, "by_source": self.source}
        figures = {}
        for column, (percent, _) in RADII.items():
            radius = self.stated(column)
            whole = coverage(self.km, radius)
            if whole:
                parts = {name: coverage_by(self.km, radius, own) for name, own in groups.items()}
                figures[column] = {"stated": percent, **whole, **parts}
        return figures

    def _risks(self) -> Report:
        """Risk–coverage over the answered photos with a probability.

        A named country or continent is judged by its own probability if stated; the named place,
        and distances, by `probability`.
        """
        probability = self.stated("probability")
        named, true = self.at_own_level()
        judged = {"wrong place named": (probability, named != true, named != "")}
        for level in ("country", "continent"):
            own = self.stated(f"{level}_probability")
            confidence = np.where(np.isfinite(own), own, probability)
            judged[f"wrong {level}"] = confidence, ~self.right(level), self.named[level] != ""
        for t in RISK_KM:
            judged[f"over {t} km"] = probability, self.km > t, np.isfinite(self.km)
        found = {}
        for name, (confidence, wrong, among) in judged.items():
            kept = np.isfinite(confidence) & among
            if kept.any():
                found[name] = risk_figures(confidence[kept], wrong[kept])
        return found

    def _recall_area(self) -> Report:
        ranked = self.ranked[self.ranked["km"].notna()]
        searched = searched_km2(ranked["photo"], ranked["km"], ranked["probability"], self.n)
        return recall_area_figures(searched)
