"""The GeoScore: how much a guess is worth by its distance from the truth."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

GEOSCORE_MAX = 5000.0
GEOSCORE_SCALE_KM = 1492.7


def geoscore(km: ArrayLike) -> NDArray[np.float64]:
    """5000 · exp(−d / 1492.7) for every distance; 0 at infinity."""
    return GEOSCORE_MAX * np.exp(-np.asarray(km, dtype=float) / GEOSCORE_SCALE_KM)
