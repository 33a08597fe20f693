"""Recall against area: how much of the Earth is searched until the true point is found.

After "Recall vs area" (arXiv 2407.13862), for a list of k guesses instead of cells. The search
runs around all guesses at once. Each guess is the centre of a disc, and its share of the searched
area is its share of the probability. When the area A has been searched, the disc of guess i has the
area A · p_i / Σ p. The area of a photo is the A at which a disc first holds the true point:
A = Σ p · min_i (cap(d_i) / p_i), where d_i is the distance of guess i and cap(d) the area within
d km. Overlapping discs are searched twice, so that the area is never too small. It ends at the
surface of the Earth. With one guess A is cap(d).
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geoclip.places.sphere import EARTH_RADIUS_KM

EARTH_KM2 = 4 * np.pi * EARTH_RADIUS_KM**2
AREAS_KM2 = tuple(10.0**power for power in range(9))
RECALLS = (25, 50, 75, 90)

Floats = NDArray[np.float64]


def cap_km2(km: ArrayLike) -> Floats:
    """The area within a great-circle distance (…) of a point: 2πR² (1 − cos(d/R)).

    >>> round(float(cap_km2(1.0)), 2)  # π, as on a plane
    3.14
    """
    half = np.minimum(np.asarray(km, dtype=float) / EARTH_RADIUS_KM, np.pi) / 2
    return np.asarray(EARTH_KM2 * np.sin(half) ** 2)


def searched_km2(photo: ArrayLike, km: ArrayLike, probability: ArrayLike, photos: int) -> Floats:
    """The area searched for each photo (photos,), infinite without a guess.

    For each of m guesses: `photo` (m,) the position of its photo, `km` (m,) its distance from the
    true point, `probability` (m,). If a photo's probabilities are partly unknown, or all 0, its
    guesses share the area equally.
    """
    guesses = pd.DataFrame({"photo": np.asarray(photo), "p": np.asarray(probability, dtype=float)})
    by_photo = guesses.groupby("photo")["p"]
    total = by_photo.transform("sum")
    equal = (by_photo.transform("count") < by_photo.transform("size")) | (total == 0)
    possible = total.where(total > 0, 1)
    share = np.where(equal, 1 / by_photo.transform("size"), guesses["p"] / possible)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A guess exactly at the true point is found at once, whatever its probability.
        area = np.where(np.asarray(km) == 0, 0.0, cap_km2(km) / share)
    searched = np.full(photos, np.inf)
    np.minimum.at(searched, guesses["photo"].to_numpy(), np.minimum(area, EARTH_KM2))
    return searched


def recall_area_figures(searched: ArrayLike) -> dict[str, Any]:
    """Figures of the areas (n,) of `searched_km2`, at least one.

    `recall` maps an area in km² to the percent of photos found within it. `km2_for_recall` maps a
    percentage to the area that finds as many photos, None if no area does. `area_under` is the area
    under the curve of recall against log10 of the area, from 1 km² to the whole Earth, 0 to 1.
    """
    areas = np.sort(np.asarray(searched, dtype=float))
    n, end = len(areas), np.log10(EARTH_KM2)
    needed = {r: areas[int(np.ceil(r * n / 100)) - 1] for r in RECALLS}
    logs = np.log10(np.maximum(areas, 1.0))
    return {
        "recall": {f"{area:.0f}": 100 * float((areas <= area).mean()) for area in AREAS_KM2},
        "km2_for_recall": {str(r): float(a) if np.isfinite(a) else None for r, a in needed.items()},
        "area_under": float(np.mean(np.clip(1 - logs / end, 0, 1))),
    }
