"""Conformal factors that make credible radii hold half and 90 % of the true points."""

from __future__ import annotations

import numpy as np

from geoclip.ranking.conformal import SMALLEST_KM, ConformalRadii

BIN_PHOTOS, MOST_BINS = 60, 5
"""Fewest photos in a bin of credible radii, and most bins."""
LEAST_FACTOR = 0.01
_DIGITS = 4


def fit_radii(
    credible_km: np.ndarray, km: np.ndarray, weights: np.ndarray, share: float
) -> ConformalRadii:
    """Factors by which credible radii (n,) hold `share` of the true points, `km` (n,) away.

    Within a bin the factor is the weighted quantile of distance ÷ credible radius, at the rank of
    split conformal prediction, ⌈(n + 1) · share⌉ of n.
    """
    base = np.fmax(credible_km, SMALLEST_KM)
    bins = int(np.clip(len(base) // BIN_PHOTOS, 1, MOST_BINS))
    bounds = np.unique(np.quantile(base, np.arange(1, bins) / bins).round(1))
    bounds = bounds[(bounds > base.min()) & (bounds < base.max())]
    which = np.searchsorted(bounds, base)
    ratio = km / base
    factors = [
        max(_quantile(ratio[which == b], weights[which == b], share), LEAST_FACTOR)
        for b in range(len(bounds) + 1)
    ]
    return ConformalRadii(tuple(bounds.tolist()), tuple(float(f"{f:.{_DIGITS}g}") for f in factors))


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest value that has `share` · (n + 1) / n of the weights (n,) at or below it."""
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / weights.sum()
    enough = below >= min(share * (len(values) + 1) / len(values), 1.0) - 1e-12
    return float(values[order][enough.argmax()])
