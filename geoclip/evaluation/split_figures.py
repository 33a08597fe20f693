"""Figures of held-out splits, from predictions and true places: parts of the main job's report."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.evaluation.baselines import Truth, gazetteer_baselines
from geoclip.evaluation.bootstrap import DRAWS, Clusters, class_mean_of, harmonic_mean_of
from geoclip.evaluation.intervals import distance_statistics, intervals
from geoclip.evaluation.metrics import UNKNOWN, gzsl_accuracy, split_report, top_k_hits
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import great_circle_km

RANKED = "country_ranking"
"""Column of space-separated country codes, best first, at least five."""
RANKED_CONTINENTS = "continent_ranking"


def locations(photos: pd.DataFrame) -> pd.DataFrame:
    """One row per location of the photos with coordinates: figures are per place, not per view."""
    return by_location(photos[photos["lat"].notna()])


def by_location(photos: pd.DataFrame) -> pd.DataFrame:
    """One row per location, also for photos without coordinates."""
    return photos.drop_duplicates("location_id").set_index("location_id")


def split_figures(
    predictions: pd.DataFrame, truth: pd.DataFrame, gazetteer: Gazetteer
) -> dict[str, Any]:
    """Figures of one split.

    `predictions` has one row a location (index) with lat, lon and the country and continent
    rankings; `truth` the true lat, lon and place_row. A location without a prediction is a miss.
    """
    answers, true = predictions.reindex(truth.index), true_places(truth, gazetteer)
    countries, continents = _ranked(answers[RANKED]), _ranked(answers[RANKED_CONTINENTS])
    km = _distances(answers, truth)
    return split_report(km, true.country, true.continent, countries, continents)


def split_intervals(
    predictions: pd.DataFrame, truth: pd.DataFrame, gazetteer: Gazetteer, draws: int = DRAWS
) -> dict[str, Any]:
    """95 % intervals of the figures of `split_figures`, by bootstrap of `Clusters.of` the truth.

    The mean of distances has no interval: with a missing prediction it is no mean over all.
    """
    answers, true = predictions.reindex(truth.index), true_places(truth, gazetteer)
    clusters = Clusters.of(truth)
    statistics = distance_statistics(_distances(answers, truth), true.country, clusters)
    for name, classes, column, k in (
        ("continent_top1", true.continent, RANKED_CONTINENTS, 1),
        ("country_top1", true.country, RANKED, 1),
        ("country_top5", true.country, RANKED, 5),
    ):
        right = 100.0 * top_k_hits(classes, _ranked(answers[column]), k)
        statistics[name] = class_mean_of(right, classes, clusters)
    return intervals(statistics, clusters, draws)


def _distances(answers: pd.DataFrame, truth: pd.DataFrame) -> NDArray[np.float64]:
    """Distances in km (n,) of answers from true points, infinite without an answer."""
    km = great_circle_km(
        answers["lat"].to_numpy(float),
        answers["lon"].to_numpy(float),
        truth["lat"].to_numpy(float),
        truth["lon"].to_numpy(float),
    )
    return np.where(np.isnan(km), np.inf, km)


def _ranked(column: pd.Series) -> np.ndarray:
    lists = [str(text).split()[:5] if isinstance(text, str) else [] for text in column]
    return np.array([codes + ["-"] * (5 - len(codes)) for codes in lists], dtype=object)


def true_places(truth: pd.DataFrame, gazetteer: Gazetteer) -> Truth:
    """Coordinates, country and continent of true places (column place_row)."""
    rows = truth["place_row"].to_numpy()
    lat, lon = truth["lat"].to_numpy(float), truth["lon"].to_numpy(float)
    return Truth(lat, lon, gazetteer.country_codes[rows], gazetteer.continents[rows])


def baseline_figures(
    train: pd.DataFrame, truth: pd.DataFrame, gazetteer: Gazetteer
) -> dict[str, dict[str, Any]]:
    """Figures of the best constant answers, chosen on the training locations, and of chance.

    If no training location has coordinates, only of chance.
    """
    return gazetteer_baselines(
        true_places(train, gazetteer), true_places(truth, gazetteer), gazetteer
    )


def gzsl_figures(
    predictions: pd.DataFrame, truth: pd.DataFrame, train_rows: np.ndarray, gazetteer: Gazetteer
) -> dict[str, dict[str, Any]]:
    """S, U and H at each level over all evaluated locations.

    A class is seen if a training photo (gazetteer rows `train_rows`) has it as its place or an
    ancestor; every class of a level competes.
    """
    levels = _classes(predictions, truth, train_rows, gazetteer)
    return {name: gzsl_accuracy(*classes) for name, classes in levels}


def gzsl_intervals(
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    train_rows: np.ndarray,
    gazetteer: Gazetteer,
    draws: int = DRAWS,
) -> dict[str, dict[str, Any]]:
    """95 % intervals of `gzsl_figures`, by bootstrap of `Clusters.of` the truth."""
    clusters, found = Clusters.of(truth), {}
    for name, (actual, guessed, seen) in _classes(predictions, truth, train_rows, gazetteer):
        right, known = 100.0 * (actual == guessed), np.isin(actual, seen)
        of_seen = class_mean_of(right, np.where(known, actual, UNKNOWN), clusters)
        of_unseen = class_mean_of(right, np.where(known, UNKNOWN, actual), clusters)
        both = {"S": of_seen, "U": of_unseen, "H": harmonic_mean_of(of_seen, of_unseen)}
        found[name] = intervals(both, clusters, draws)
    return found


def _classes(
    predictions: pd.DataFrame, truth: pd.DataFrame, train_rows: np.ndarray, gazetteer: Gazetteer
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """For each level the true classes (n,), the guessed ones (n,) and the trained ones (c,)."""
    answers = predictions.reindex(truth.index)
    for level, name in enumerate(gazetteer.level_names):
        chain = gazetteer.ancestors[truth["place_row"].to_numpy(), level]
        actual = np.where(chain >= 0, gazetteer.ids[chain], UNKNOWN)
        seen = np.unique(gazetteer.ancestors[train_rows, level])
        guessed = answers[f"{name}_id"].fillna("-").to_numpy(dtype=object)
        yield name, (actual, guessed, gazetteer.ids[seen[seen >= 0]])
