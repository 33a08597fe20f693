"""Are probabilities and radii calibrated? Reliability, calibration error, coverage."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 10

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def reliability_table(
    probability: ArrayLike, right: ArrayLike, bins: int = BINS
) -> list[dict[str, Any]]:
    """Stated against observed: one row for each non-empty bin of equal width.

    probability (n,) from 0 to 1; right (n,) of bool. A row has `from`, `to`, `n`, `stated` (the
    mean probability) and `right` (the share of right answers), all but `n` in percent. A bin holds
    its lower end, the last one 1 as well.

    >>> reliability_table([0.1, 0.9, 0.8], [False, True, False], bins=2)[1]["right"]
    50.0
    """
    stated, hits = _checked(probability, right)
    which = np.minimum((stated * bins).astype(int), bins - 1)
    return [
        {
            "from": 100 * b / bins,
            "to": 100 * (b + 1) / bins,
            "n": int((which == b).sum()),
            "stated": 100 * float(stated[which == b].mean()),
            "right": 100 * float(hits[which == b].mean()),
        }
        for b in np.unique(which).tolist()
    ]


def expected_calibration_error(
    probability: ArrayLike, right: ArrayLike, bins: int = BINS
) -> float | None:
    """The mean over answers of the gap between stated and observed in their bin, from 0 to 1.

    Σ n_b / n · |right_b − stated_b| (Guo et al. 2017); None without an answer.

    >>> expected_calibration_error([0.5, 0.5], [True, False])
    0.0
    """
    table = reliability_table(probability, right, bins)
    n = sum(row["n"] for row in table)
    gaps = sum(row["n"] * abs(row["right"] - row["stated"]) / 100 for row in table)
    return float(gaps / n) if n else None


def calibration_figures(probability: ArrayLike, right: ArrayLike) -> dict[str, Any]:
    """`n`, `stated` and `right` in percent, `ece` and the `bins` of the reliability table."""
    stated, hits = _checked(probability, right)
    return {
        "n": len(stated),
        "stated": 100 * float(stated.mean()),
        "right": 100 * float(hits.mean()),
        "ece": expected_calibration_error(stated, hits),
        "bins": reliability_table(stated, hits),
    }


def coverage(km: ArrayLike, radius_km: ArrayLike) -> dict[str, Any] | None:
    """How many stated radii hold the true point: `n` stated and `holds` in percent.

    km and radius_km (n,); NaN, where no radius is stated, is left out. None if all are.

    >>> coverage([10.0, 30.0, 5.0], [20.0, 20.0, float("nan")])
    {'n': 2, 'holds': 50.0}
    """
    distance, radius = np.asarray(km, dtype=float), np.asarray(radius_km, dtype=float)
    stated = np.isfinite(radius)
    if not stated.any():
        return None
    holds = distance[stated] <= radius[stated]
    return {"n": int(stated.sum()), "holds": 100 * float(holds.mean())}


def coverage_by(km: ArrayLike, radius_km: ArrayLike, groups: ArrayLike) -> dict[str, Any]:
    """`coverage` in each group (n,) by name, in order; "" and groups without radii are left out."""
    distance, radius = np.asarray(km, dtype=float), np.asarray(radius_km, dtype=float)
    names = np.asarray(groups, dtype=object)
    found = {
        name: coverage(distance[names == name], radius[names == name])
        for name in sorted(set(names.tolist()) - {""})
    }
    return {name: figures for name, figures in found.items() if figures}


def _checked(probability: ArrayLike, right: ArrayLike) -> tuple[Floats, Bools]:
    stated, hits = np.asarray(probability, dtype=float), np.asarray(right, dtype=bool)
    if stated.shape != hits.shape or stated.ndim != 1:
        raise ValueError(f"{stated.shape} probabilities but {hits.shape} answers")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    return stated, hits
