"""Accuracy, calibration and distances of answers for photos of known place."""

from __future__ import annotations

from typing import Any

import numpy as np

from geoclip.evaluation.calibration_statistics import (
    coverage,
    expected_calibration_error,
)
from geoclip.evaluation.fitting.known_answers import Answers
from geoclip.evaluation.metrics import (
    distance_figures,
    geoscore_by_country,
    mean_over_classes,
    within_km_by_country,
)
from geoclip.ranking.confidence import Level

SOURCE_PLACES = 10
"""Fewest places of a source with its own figures."""


def answer_figures(answers: Answers, countries: np.ndarray, sources: np.ndarray) -> dict[str, Any]:
    """Figures of N answers, ready for JSON: all together, and for each large enough source (N,)."""
    figures = _figures(answers, countries)
    names, counts = np.unique(sources.astype(str), return_counts=True)
    figures["sources"] = {
        name: _figures(answers.take(sources == name), countries[sources == name])
        for name in names[counts >= SOURCE_PLACES].tolist()
    }
    return figures


def _figures(answers: Answers, countries: np.ndarray) -> dict[str, Any]:
    figures: dict[str, Any] = {"n": len(countries)}
    for i, level in enumerate((Level.continent, Level.country)):
        stated, right = answers.probability[:, i].clip(0, 1), answers.right[:, i]
        figures[level.name] = {
            "ece": expected_calibration_error(stated, right),
            "right": 100 * float(right.mean()),
            "right_by_country": mean_over_classes(right, countries),
        }
    for level in (Level.continent, Level.country, Level.region, Level.city):
        at = answers.level == level
        named = float(answers.named[at].mean()) if at.any() else None
        figures[level.name] = figures.get(level.name, {}) | {
            "answered": 100 * float(at.mean()),
            "named_right": None if named is None else 100 * named,
        }
    located = np.isfinite(answers.km)
    if located.any():
        km = answers.km[located]
        figures |= distance_figures(km)
        figures["within_km_by_country"] = within_km_by_country(km, countries[located])
        figures["geoscore_by_country"] = geoscore_by_country(km, countries[located])
        figures["holds_50"] = coverage(km, answers.radius[located])
        figures["holds_90"] = coverage(km, answers.radius_90[located])
    return figures
