"""Figures of held-out splits, from predictions and true places: parts of the main job's report."""

from typing import Any

import numpy as np
import pandas as pd

from geoclip.evaluation.baselines import Truth, gazetteer_baselines
from geoclip.evaluation.metrics import gzsl_accuracy, split_report
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.place import LEVELS
from geoclip.places.sphere import great_circle_km

RANKED = "country_ranking"
"""Column of space-separated country codes, best first, at least five."""


def locations(photos: pd.DataFrame) -> pd.DataFrame:
    """One row a location of the photos with coordinates: figures are per place, not per view."""
    return photos[photos["lat"].notna()].drop_duplicates("location_id").set_index("location_id")


def split_figures(
    predictions: pd.DataFrame, truth: pd.DataFrame, gazetteer: Gazetteer
) -> dict[str, Any]:
    """Figures of one split.

    `predictions` has one row a location (index) with lat, lon and the country and continent
    rankings; `truth` the true lat, lon and place_row. A location without a prediction is a miss.
    """
    answers = predictions.reindex(truth.index)
    km = great_circle_km(
        answers["lat"].to_numpy(float),
        answers["lon"].to_numpy(float),
        truth["lat"].to_numpy(float),
        truth["lon"].to_numpy(float),
    )
    true = true_places(truth, gazetteer)
    countries = _ranked(answers[RANKED])
    continents = _ranked(answers["continent_ranking"])
    return split_report(
        np.where(np.isnan(km), np.inf, km), true.country, true.continent, countries, continents
    )


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

    Where no training location has coordinates, of chance alone.
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
    answers = predictions.reindex(truth.index)
    figures = {}
    for level, name in enumerate(LEVELS):
        chain = gazetteer.ancestors[truth["place_row"].to_numpy(), level]
        actual = np.where(chain >= 0, gazetteer.ids[chain], "")
        seen = np.unique(gazetteer.ancestors[train_rows, level])
        classes = gazetteer.ids[seen[seen >= 0]]
        guessed = answers[f"{name}_id"].fillna("-").to_numpy(dtype=object)
        figures[name] = gzsl_accuracy(actual, guessed, classes)
    return figures
