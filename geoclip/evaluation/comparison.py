"""Two sets of guesses for the same photos: paired differences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geoclip.errors import GeoclipError
from geoclip.evaluation import html_page
from geoclip.evaluation.bootstrap import DRAWS, Statistic, bootstrap
from geoclip.evaluation.comparison_tables import comparison_tables, test_sentences
from geoclip.evaluation.evaluation import Evaluation
from geoclip.evaluation.intervals import SEED, about, interval, nested
from geoclip.evaluation.matching import Given, evaluate
from geoclip.evaluation.metrics import UNKNOWN, Report
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geoscore import geoscore

MOST_SHOWN = 10
SIDES = ("first", "second", "ties")


@dataclass(frozen=True)
class Comparison:
    """Two evaluations with the same truth, `second` measured against `first`.

    `compare` makes one from two tables of guesses. A notebook shows the tables of `geoclip
    compare`. Raises GeoclipError for evaluations of different photos.

    >>> truth = pd.DataFrame({"path": ["a.jpg"], "lat": [45.8], "lon": [4.8]})
    >>> near, far = (truth.assign(lat=lat) for lat in (45.9, 50.0))
    >>> Comparison(evaluate(far, truth), evaluate(near, truth)).outcome.tolist()
    ['second']
    """

    first: Evaluation
    second: Evaluation

    def __post_init__(self) -> None:
        if not self.first.truth["photo_id"].equals(self.second.truth["photo_id"]):
            raise GeoclipError(
                "The two evaluations are not of the same photos: use one truth table for both."
            )

    def __repr__(self) -> str:
        return f"Comparison({self.first!r}, {self.second!r})"

    @property
    def gain(self) -> NDArray[np.float64]:
        """How much higher the second's GeoScore is, photo by photo (n,)."""
        return np.asarray(geoscore(self.second.km) - geoscore(self.first.km))

    @property
    def outcome(self) -> NDArray[np.object_]:
        """Which guess (n,) is nearer: "first", "second" or "ties"; no answer is farthest."""
        nearer = np.where(self.second.km < self.first.km, "second", "ties")
        return np.where(self.first.km < self.second.km, "first", nearer).astype(object)

    def report(self, draws: int = DRAWS) -> Report:
        """Figures, tests and the largest differences, ready for JSON.

        `first` and `second` are the figures with intervals of each, `difference` second − first,
        `intervals` the 95 % intervals of the differences. Both use the same draws, so they are
        paired. A figure needs to exist for both. `sign_tests` are two-sided and exact.
        """
        figures = self._figures()
        return {
            "n": self.first.n,
            **{part: nested(figures[part]) for part in ("first", "second", "difference")},
            "intervals": self.intervals(draws),
            "sign_tests": self.sign_tests(),
            "photos": self.photos(),
            "countries": self.countries(),
        }

    @property
    def table(self) -> pd.DataFrame:
        """Every figure of both, their difference (second − first) and its 95 % interval.

        The index is the figure, followed by its threshold in km if it has one. Percentages run from
        0 to 100; NaN for an absent figure or interval.
        """
        report = self.report()
        rows = {}
        for name, value in report["difference"].items():
            for km in value if isinstance(value, dict) else [None]:
                label = name if km is None else f"{name} {km}"
                found = [report[p].get(name) for p in ("first", "second", "difference")]
                ends = report["intervals"].get(name)
                if km is not None:
                    found, ends = [one[km] for one in found], ends and ends[km]
                rows[label] = [*found, *(ends or (None, None))]
        columns = ["first", "second", "difference", "low", "high"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype="float64")

    def _repr_html_(self) -> str:
        report = self.report()
        parts = [
            html_page.heading(title) + html_page.table(rows)
            for title, rows in comparison_tables(report).items()
        ]
        return "".join(parts) + html_page.sentences(test_sentences(report))

    def intervals(self, draws: int = DRAWS, seed: int = SEED) -> Report:
        """95 % intervals of second − first, by cluster bootstrap."""
        clusters = self.first.clusters
        made = about(clusters, draws)
        if len(clusters) < 2:
            return made
        both = self._statistics()
        flat = {
            f"{name}\0{side}": one for name, sides in both.items() for side, one in sides.items()
        }
        samples = bootstrap(clusters, flat, draws, seed)
        ends = {}
        for name in both:
            with np.errstate(invalid="ignore"):  # of two infinite medians
                ends[name] = interval(samples[f"{name}\0second"] - samples[f"{name}\0first"])
        return made | nested(ends)

    def sign_tests(self) -> Report:
        """Exact sign tests: by photo, by cluster, and over photos whose country only one has right.

        `nearer` treats photos as independent. `nearer_by_cluster` does not: each cluster has one
        vote, for the guesses nearer for more of its photos.
        """
        sign = np.where(self.outcome == "second", 1, np.where(self.outcome == "first", -1, 0))
        votes = np.bincount(self.first.clusters.codes, sign)
        tests = {"nearer": sign_test(sign), "nearer_by_cluster": sign_test(np.sign(votes))}
        if "country" in self.first.judged_levels and "country" in self.second.judged_levels:
            right = self.second.right("country").astype(int) - self.first.right("country")
            tests["country_right"] = sign_test(right)
        return tests

    def photos(self, most: int = MOST_SHOWN) -> list[dict[str, Any]]:
        """The photos whose GeoScores differ most, largest difference first."""
        order = np.argsort(-np.abs(self.gain), kind="stable")[:most]
        return [
            {
                "photo": str(self.first.truth["photo_id"].iloc[i]),
                "country": str(self.first.true["country"].iloc[i]),
                "first_km": _finite(self.first.km[i]),
                "second_km": _finite(self.second.km[i]),
                "gain": float(self.gain[i]),
            }
            for i in order
            if self.gain[i] != 0
        ]

    def countries(self, most: int = MOST_SHOWN) -> list[dict[str, Any]]:
        """The countries whose photos' GeoScores differ most in sum, largest difference first."""
        photos = pd.DataFrame({"country": self.first.true["country"], "gain": self.gain})
        photos["nearer"] = self.outcome
        rows: list[dict[str, Any]] = []
        for code, own in photos[photos["country"] != UNKNOWN].groupby("country"):
            counts = own["nearer"].value_counts()
            wins = {side: int(counts.get(side, 0)) for side in SIDES}
            gain = float(own["gain"].mean())
            rows.append({"country": str(code), "n": len(own), "gain": gain, **wins})
        return sorted(rows, key=lambda row: -abs(row["gain"] * row["n"]))[:most]

    def _statistics(self) -> dict[str, dict[str, Statistic]]:
        first, second = self.first.statistics(), self.second.statistics()
        return {n: {"first": first[n], "second": second[n]} for n in first if n in second}

    def _figures(self) -> dict[str, dict[str, float | None]]:
        """Each figure of both and their difference; None where a median is infinite."""
        once = np.ones((1, len(self.first.clusters)))
        found: dict[str, dict[str, float | None]] = {"first": {}, "second": {}, "difference": {}}
        for name, sides in self._statistics().items():
            values = {side: float(one(once)[0]) for side, one in sides.items()}
            with np.errstate(invalid="ignore"):
                values["difference"] = float(np.subtract(values["second"], values["first"]))
            for side, value in values.items():
                found[side][name] = _finite(value)
        return found


def compare(
    first: Given,
    second: Given,
    truth: Given,
    allow_gps: bool = False,
    gazetteer: Gazetteer | None = None,
    skip_gps: bool = False,
) -> Comparison:
    """Which of two sets of guesses for the same photos is better, as in `geoclip compare`.

    Each is a table or its file; see `evaluate_tables` for what they hold and for the errors. With
    `skip_gps` photos do not count whose answer is their own GPS position in either. The
    result has every figure with its 95 % interval in `table`, sign tests, and the photos and
    countries that differ most; a notebook shows them.

    >>> truth = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "lat": [45.8, 0.0], "lon": [4.8, 0.0]})
    >>> compare(truth.assign(lat=10.0), truth, truth).table.loc["geoscore"].round().tolist()[:3]
    [1361.0, 5000.0, 3639.0]
    """
    given = truth, allow_gps, gazetteer, skip_gps
    one, other = evaluate(first, *given), evaluate(second, *given)
    kept = set(one.truth["photo_id"]) & set(other.truth["photo_id"])
    both = (e.leaving_out(~e.truth["photo_id"].isin(kept).to_numpy()) for e in (one, other))
    return Comparison(*both)


def sign_test(signs: ArrayLike) -> Report:
    """The exact two-sided sign test of n signs: +1 for the second, −1 for the first, 0 a tie.

    `first`, `second` and `ties` count; `p` is the probability of a split at least as uneven
    between equals (Conover 1999, ties left out), 1 if there are only ties.

    >>> sign_test([1, 1, 1, 1, 1, 1, -1, 0])
    {'first': 1, 'second': 6, 'ties': 1, 'p': 0.125}
    """
    from scipy.stats import binomtest  # noqa: PLC0415 - slow to import

    all_signs = np.asarray(signs)
    wins, losses = int((all_signs > 0).sum()), int((all_signs < 0).sum())
    p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return {"first": losses, "second": wins, "ties": len(all_signs) - wins - losses, "p": p}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
