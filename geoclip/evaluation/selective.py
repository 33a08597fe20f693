"""Selective prediction: the error of the surest answers."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

CURVE_POINTS = 20

Floats = NDArray[np.float64]


def risks(confidence: ArrayLike, wrong: ArrayLike) -> Floats:
    """The share of wrong answers among the k surest, for k = 1 … n; (n,) and (n,) → (n,).

    Answers of equal confidence count by their mean, as in a random order.

    >>> risks([0.9, 0.8, 0.1], [False, True, True]).round(2).tolist()
    [0.0, 0.5, 0.67]
    """
    sure, errors = np.asarray(confidence, dtype=float), np.asarray(wrong, dtype=float)
    tied = pd.Series(errors).groupby(sure).transform("mean").to_numpy()
    order = np.argsort(-sure, kind="stable")
    return np.asarray(np.cumsum(tied[order]) / np.arange(1, len(sure) + 1))


def area_under_risk(confidence: ArrayLike, wrong: ArrayLike) -> float:
    """The area under the risk–coverage curve, the mean of `risks`; 0 is perfect.

    Source: Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural
    classifiers", ICLR 2019.

    >>> area_under_risk([0.9, 0.8], [False, True])
    0.25
    """
    return float(risks(confidence, wrong).mean())


def risk_figures(confidence: ArrayLike, wrong: ArrayLike) -> dict[str, Any]:
    """The risk–coverage curve of n answers, at least one.

    `n`, `error` (the share of wrong answers in percent: the risk at full coverage), `area` and
    `best_area` (for the best order of the same answers), 0 to 1, and `curve`: pairs of coverage and
    risk in percent.
    """
    errors = np.asarray(wrong, dtype=bool)
    risk = risks(confidence, errors)
    n = len(risk)
    at = np.unique(np.ceil(np.linspace(1 / CURVE_POINTS, 1, CURVE_POINTS) * n).astype(int))
    return {
        "n": n,
        "error": 100 * float(errors.mean()),
        "area": float(risk.mean()),
        "best_area": area_under_risk(-errors.astype(float), errors),
        "curve": [[100 * float(k / n), 100 * float(risk[k - 1])] for k in at],
    }
