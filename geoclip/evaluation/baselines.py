"""Baselines that do not look at the photo: the best constant answer, and chance.

Both give the keys of `metrics.split_report`, to be compared with a model's figures.

Cost: each pair of points is compared once, in chunks of about `CHUNK_PAIRS` pairs. Memory stays
about 200 MB above the inputs, however many points there are. One core does 6 to 10 million pairs a
second: the best constant of 3,800 training photos takes 5 s (of 100,000: 2 min), chance for 700
photos against 34,000 cities 3 s (for 100,000: 6 min).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geoclip.errors import GeoclipError
from geoclip.evaluation.metrics import (
    THRESHOLDS_KM,
    UNKNOWN,
    Report,
    class_mean,
    distance_figures,
    geoscore_by_country,
    mean_over_classes,
    split_report,
    within_km,
    within_km_by_country,
)
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geoscore import geoscore
from geoclip.places.sphere import chord_to_km, great_circle_km, unit_vectors

CHUNK_PAIRS = 2_000_000
HALF_ROUND_KM = 20_016  # no two points are farther apart than 20,015.1 km

Floats = NDArray[np.float64]
Point = tuple[float, float]


@dataclass(frozen=True)
class Truth:
    """The places of n photos (or cities).

    lat, lon (n,) in degrees, NaN where only the country is known; country and continent codes (n,),
    "" where unknown.
    """

    lat: ArrayLike
    lon: ArrayLike
    country: ArrayLike
    continent: ArrayLike

    def located(self) -> "Truth":
        """The rows with coordinates."""
        keep = ~np.isnan(np.asarray(self.lat, dtype=float))
        lat, lon = np.asarray(self.lat, dtype=float)[keep], np.asarray(self.lon, dtype=float)[keep]
        country = np.asarray(self.country, dtype=object)[keep]
        return Truth(lat, lon, country, np.asarray(self.continent, dtype=object)[keep])

    def __len__(self) -> int:
        return len(np.asarray(self.lat))


@dataclass(frozen=True)
class BestConstant:
    """For each figure the one answer with its best value on the training photos.

    `points` maps "within_km 25", "within_km_by_country 25", …, "median_km", "mean_km", "geoscore"
    and "geoscore_by_country" to (lat, lon); `countries` are the five most frequent, best first,
    `continent` the most frequent.
    """

    points: dict[str, Point]
    countries: tuple[str, ...]
    continent: str

    def report(self, test: Truth) -> Report:
        """The keys of `split_report`; every figure is that of its own constant answer on `test`."""
        km = {
            name: great_circle_km(*point, test.lat, test.lon) for name, point in self.points.items()
        }
        n = len(test)
        report = split_report(
            km["geoscore"],
            test.country,
            test.continent,
            np.tile(np.array(self.countries, dtype=object), (n, 1)),
            np.full(n, self.continent, dtype=object),
        )
        for t in map(str, THRESHOLDS_KM.values()):
            report["within_km"][t] = within_km(km[f"within_km {t}"])[t]
            by_country = within_km_by_country(km[f"within_km_by_country {t}"], test.country)
            report["within_km_by_country"][t] = by_country[t]
        for name in ("median_km", "mean_km"):
            report[name] = distance_figures(km[name])[name]
        name = "geoscore_by_country"
        report[name] = geoscore_by_country(km[name], test.country)
        return report


def best_constant(
    train: Truth, candidate_lat: ArrayLike, candidate_lon: ArrayLike, limit: int = 4000
) -> BestConstant:
    """The strictest constant baseline: one answer for each figure, chosen on the training photos.

    Candidates are the given points (gazetteer cities, in degrees) and the training photos' own,
    each thinned to at most `limit` by `thin`. Give one row per location if the report is per
    location. Raises GeoclipError when no training photo has coordinates.
    """
    located = train.located()
    if len(located) == 0:
        raise GeoclipError(
            "No training photo has coordinates: the best constant needs at least one."
        )
    lat, lon = (
        np.concatenate(pair)
        for pair in zip(
            thin(located.lat, located.lon, limit),
            thin(candidate_lat, candidate_lon, limit),
            strict=True,
        )
    )
    scores = _constant_scores(lat, lon, located)
    points = {}
    for name, values in scores.items():
        best = int(np.argmax(values))
        points[name] = (float(lat[best]), float(lon[best]))
    continents = _most_frequent(train.continent, 1)
    return BestConstant(points, _most_frequent(train.country, 5), (*continents, UNKNOWN)[0])


def thin(lat: ArrayLike, lon: ArrayLike, limit: int) -> tuple[Floats, Floats]:
    """At most `limit` of the points (n,): the first one in each cell of a grid.

    Cells are squares in degrees. Their side starts at 0.001°, so that equal points become one, and
    doubles until few enough points are left.

    >>> lat, lon = thin([48.8566, 48.8566, 45.764], [2.3522, 2.3522, 4.8357], limit=2)
    >>> lat.tolist()
    [48.8566, 45.764]
    """
    lats, lons = np.asarray(lat, dtype=float), np.asarray(lon, dtype=float)
    cell = 0.001
    while True:
        cells = np.stack([np.floor(lats / cell), np.floor(lons / cell)], axis=1)
        _, first = np.unique(cells, axis=0, return_index=True)
        if len(first) <= limit:
            keep = np.sort(first)
            return lats[keep], lons[keep]
        cell *= 2


def chance(test: Truth, cities: Truth) -> Report:
    """The exact expectation of answering a uniformly random city, with the keys of `split_report`.

    Nothing is sampled: for each photo each figure is averaged over all cities. `median_km` is the
    median over all pairs of photo and city, to within 1 km. `country_top5` is the chance that one
    of five independent draws hits the country, 1 − (1 − p)⁵. `test` has one row a photo, all with
    coordinates. Raises GeoclipError where there is no photo or no city.
    """
    if len(test) == 0 or len(cities) == 0:
        raise GeoclipError(
            "Chance needs at least one photo and one city: one of the lists is empty."
        )
    sums, histogram = _chance_sums(test, cities)
    thresholds = list(map(str, THRESHOLDS_KM.values()))
    country, continent = (
        _shares(test.country, cities.country),
        _shares(test.continent, cities.continent),
    )
    return {
        "n": len(test),
        "within_km": {t: 100 * float(sums[t].mean()) for t in thresholds},
        "within_km_by_country": {t: mean_over_classes(sums[t], test.country) for t in thresholds},
        "median_km": _histogram_median(histogram),
        "mean_km": float(sums["km"].mean()),
        "geoscore": float(sums["geoscore"].mean()),
        "geoscore_by_country": class_mean(sums["geoscore"], test.country),
        "continent_top1": mean_over_classes(continent, test.continent),
        "country_top1": mean_over_classes(country, test.country),
        "country_top5": mean_over_classes(1 - (1 - country) ** 5, test.country),
    }


def gazetteer_baselines(train: Truth, test: Truth, gazetteer: Gazetteer) -> dict[str, Report]:
    """`constant` and `chance` for `test`, among the cities of a gazetteer.

    `constant` is chosen on `train`, and left out where that has no coordinates.
    """
    cities = gazetteer.level_rows("city")
    lat, lon = gazetteer.lat[cities], gazetteer.lon[cities]
    everywhere = Truth(lat, lon, gazetteer.country_codes[cities], gazetteer.continents[cities])
    figures = {}
    if len(train.located()):
        figures["constant"] = best_constant(train, lat, lon).report(test)
    return figures | {"chance": chance(test, everywhere)}


def _constant_scores(lat: Floats, lon: Floats, train: Truth) -> dict[str, Floats]:
    """For each figure its value (candidates,) at each candidate; larger is better."""
    weights = _country_weights(train.country)
    parts: list[dict[str, Floats]] = []
    for km in _distance_chunks(Truth(lat, lon, [], []), train):
        scores = geoscore(km)
        part = {
            "median_km": -np.median(km, axis=1),
            "mean_km": -km.mean(axis=1),
            "geoscore": scores.mean(axis=1),
            "geoscore_by_country": scores @ weights,
        }
        for t in THRESHOLDS_KM.values():
            hits = km <= t
            part[f"within_km {t}"] = hits.mean(axis=1)
            part[f"within_km_by_country {t}"] = hits @ weights
        parts.append(part)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chance_sums(test: Truth, cities: Truth) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    """Means over the cities for each photo (n,), and the number of pairs in each whole km."""
    parts: list[dict[str, Floats]] = []
    histogram = np.zeros(HALF_ROUND_KM, dtype=np.int64)
    for km in _distance_chunks(test, cities):
        part = {str(t): (km <= t).mean(axis=1) for t in THRESHOLDS_KM.values()}
        parts.append(part | {"km": km.mean(axis=1), "geoscore": geoscore(km).mean(axis=1)})
        histogram += np.bincount(km.astype(np.int32).ravel(), minlength=HALF_ROUND_KM)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, histogram


def _distance_chunks(rows: Truth, columns: Truth) -> Iterator[Floats]:
    """Distances in km (chunk, columns), a chunk of rows at a time.

    They come from chords: one matrix product instead of trigonometry per pair, exact to 0.2 m.
    """
    left, right = unit_vectors(rows.lat, rows.lon), unit_vectors(columns.lat, columns.lon)
    size = max(1, CHUNK_PAIRS // len(right))
    for start in range(0, len(left), size):
        cosines = left[start : start + size] @ right.T
        yield chord_to_km(np.sqrt(np.maximum(2 - 2 * cosines, 0)))


def _country_weights(countries: ArrayLike) -> Floats:
    """Weights (n,) under which a plain sum is a mean over countries; 0 where unknown."""
    names = np.asarray(countries, dtype=object)
    codes, classes = pd.factorize(names)
    counts = np.bincount(codes)
    known = names != UNKNOWN
    return np.where(known, 1 / counts[codes] / max(1, int((classes != UNKNOWN).sum())), 0.0)


def _most_frequent(classes: ArrayLike, k: int) -> tuple[str, ...]:
    """The k most frequent known classes, ties by name."""
    names = pd.Series(np.asarray(classes, dtype=object))
    counts = names[names != UNKNOWN].value_counts()
    return tuple(sorted(counts.index, key=lambda name: (-counts[name], name))[:k])


def _shares(classes: ArrayLike, city_classes: ArrayLike) -> Floats:
    """For every photo (n,) the share of all cities that have its class."""
    counts = pd.Series(np.asarray(city_classes, dtype=object)).value_counts(normalize=True)
    shares = pd.Series(np.asarray(classes, dtype=object)).map(counts.to_dict())
    return np.asarray(shares.astype(float).fillna(0.0))


def _histogram_median(histogram: NDArray[np.int64]) -> float:
    """The median of counts per whole km, spread evenly within each km."""
    running = np.cumsum(histogram)
    half = running[-1] / 2
    km = int(np.searchsorted(running, half))
    before = running[km] - histogram[km]
    return km + float((half - before) / histogram[km])
