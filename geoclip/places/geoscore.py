"""The GeoScore: the value of a guess by its distance from the truth."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

GEOSCORE_MAX = 5000.0
GEOSCORE_SCALE_KM = 1492.7


def geoscore(km: ArrayLike) -> NDArray[np.float64]:
    """5000 · exp(−d / 1492.7) for every distance; 0 at infinity (Astruc et al. 2024).

    >>> geoscore([0.0, 750.0, np.inf]).round().tolist()
    [5000.0, 3025.0, 0.0]
    """
    scores: NDArray[np.float64] = np.exp(-np.asarray(km, dtype=float) / GEOSCORE_SCALE_KM)
    return GEOSCORE_MAX * scores
