"""Figures of an evaluation: arrays of distances and classes in, plain dictionaries out.

Distances are great-circle km (`geoclip.places.sphere.great_circle_km`). A photo without an answer
has an infinite distance, which is a miss at every threshold. Percentages run from 0 to 100. The
thresholds are those usual for IM2GPS (Vo et al. 2017); the GeoScore is that of OpenStreetView-5M
(Astruc et al. 2024).
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geoclip.places.geoscore import geoscore

THRESHOLDS_KM = {"street": 1, "city": 25, "region": 200, "country": 750, "continent": 2500}
UNKNOWN = ""  # the class of a photo of unknown class; no average includes it

Report = dict[str, Any]


def within_km(km: ArrayLike) -> dict[str, float]:
    """Percent of the distances (n,) that are at most each threshold, keyed "1", "25", … "2500".

    >>> within_km([0.8, 25, 180, float("inf")])
    {'1': 25.0, '25': 50.0, '200': 75.0, '750': 75.0, '2500': 75.0}
    """
    distances = _checked(km)
    return {str(t): 100 * float(np.mean(distances <= t)) for t in THRESHOLDS_KM.values()}


def within_km_by_country(km: ArrayLike, country_codes: ArrayLike) -> dict[str, float | None]:
    """Like `within_km`, averaged over countries with equal weight; (n,) and (n,).

    Photos of unknown country ("") are left out; None when none remains.
    """
    distances = _checked(km)
    return {
        str(t): mean_over_classes(distances <= t, country_codes) for t in THRESHOLDS_KM.values()
    }


def geoscore_by_country(km: ArrayLike, country_codes: ArrayLike) -> float | None:
    """The GeoScore averaged over countries, as `within_km_by_country` averages; (n,) and (n,)."""
    return class_mean(geoscore(_checked(km)), country_codes)


def distance_figures(km: ArrayLike) -> Report:
    """`within_km`, `median_km`, `mean_km` and `geoscore` of distances (n,), infinite for a miss.

    The median is None if infinite; the mean is over finite distances, None for none.
    """
    distances = _checked(km)
    answered = distances[np.isfinite(distances)]
    median = float(np.median(distances))
    return {
        "within_km": within_km(distances),
        "median_km": median if np.isfinite(median) else None,
        "mean_km": float(answered.mean()) if len(answered) else None,
        "geoscore": float(geoscore(distances).mean()),
    }


def mean_over_classes(hits: ArrayLike, classes: ArrayLike) -> float | None:
    """The mean over classes (n,) of the percent of `hits` (n,) within each class.

    See `class_mean`.

    >>> mean_over_classes([True, True, True, False], ["FR", "FR", "FR", "PE"])
    50.0
    """
    mean = class_mean(hits, classes)
    return None if mean is None else 100 * mean


def class_mean(values: ArrayLike, classes: ArrayLike) -> float | None:
    """The mean over classes (n,) of the mean of `values` (n,) within each class.

    Each class has the same weight, however many rows it has. Rows of class "" are left out; None
    when no other remains.
    """
    truth = np.asarray(classes, dtype=object)
    known = truth != UNKNOWN
    if not known.any():
        return None
    codes, _ = pd.factorize(truth[known])
    sums = np.bincount(codes, np.asarray(values, dtype=float)[known])
    return float(np.mean(sums / np.bincount(codes)))


def class_mean_accuracy(truth: ArrayLike, ranked: ArrayLike, k: int = 1) -> float | None:
    """Top-k accuracy in percent, averaged over the classes of `truth`.

    truth (n,), "" for unknown (left out); ranked (n,) predictions or (n, m), best first.
    """
    return mean_over_classes(top_k_hits(truth, ranked, k), truth)


def gzsl_accuracy(truth: ArrayLike, prediction: ArrayLike, seen_classes: ArrayLike) -> Report:
    """Generalized zero-shot accuracy (Xian et al. 2017) of predictions among all classes.

    S and U are the means over seen and over unseen classes of top-1 accuracy in percent, None where
    no photo qualifies. H is their harmonic mean, 0 when both are 0, None when either is None. truth
    (n,), "" for unknown (left out); prediction (n,); seen_classes (c,). `n_seen` and `n_unseen`
    count photos, `classes_seen` and `classes_unseen` their classes.

    >>> report = gzsl_accuracy(["FR", "FR", "PE"], ["FR", "DE", "PE"], seen_classes=["FR", "DE"])
    >>> report["S"], report["U"], round(report["H"], 1)
    (50.0, 100.0, 66.7)
    """
    actual = np.asarray(truth, dtype=object)
    seen_set = set(np.asarray(seen_classes, dtype=object).tolist())
    hits = top_k_hits(actual, prediction, 1)
    known = actual != UNKNOWN
    is_seen = np.array([name in seen_set for name in actual.tolist()], dtype=bool) & known
    is_unseen = known & ~is_seen
    seen = mean_over_classes(hits[is_seen], actual[is_seen])
    unseen = mean_over_classes(hits[is_unseen], actual[is_unseen])
    return {
        "S": seen,
        "U": unseen,
        "H": _harmonic_mean(seen, unseen),
        "n_seen": int(is_seen.sum()),
        "n_unseen": int(is_unseen.sum()),
        "classes_seen": len(set(actual[is_seen].tolist())),
        "classes_unseen": len(set(actual[is_unseen].tolist())),
    }


def split_report(
    km: ArrayLike,
    true_country: ArrayLike,
    true_continent: ArrayLike,
    ranked_countries: ArrayLike,
    ranked_continents: ArrayLike,
) -> Report:
    """All figures of one split, with the keys of `report.json`.

    km, true_country, true_continent (n,); ranked_countries (n, k) with k >= 5, best first;
    ranked_continents (n,) or (n, k). Give one row per location for figures per location.
    """
    distances = _checked(km)
    figures = distance_figures(distances)
    return {
        "n": len(distances),
        "within_km": figures["within_km"],
        "within_km_by_country": within_km_by_country(distances, true_country),
        "median_km": figures["median_km"],
        "mean_km": figures["mean_km"],
        "geoscore": figures["geoscore"],
        "geoscore_by_country": geoscore_by_country(distances, true_country),
        "continent_top1": class_mean_accuracy(true_continent, ranked_continents),
        "country_top1": class_mean_accuracy(true_country, ranked_countries),
        "country_top5": class_mean_accuracy(true_country, ranked_countries, k=5),
    }


def top_k_hits(truth: ArrayLike, ranked: ArrayLike, k: int) -> NDArray[np.bool_]:
    """Whether each class of `truth` (n,) is among the first k of its `ranked` (n,) or (n, m)."""
    actual = np.asarray(truth, dtype=object)
    table = np.asarray(ranked, dtype=object)
    table = table[:, None] if table.ndim == 1 else table
    if len(table) != len(actual):
        raise ValueError(f"{len(actual)} true classes but {len(table)} predictions")
    equal = np.asarray(table[:, :k] == actual[:, None], dtype=bool)
    return np.asarray(equal.any(axis=1), dtype=bool)


def _harmonic_mean(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return None
    return 2 * first * second / (first + second) if first + second > 0 else 0.0


def _checked(km: ArrayLike) -> NDArray[np.float64]:
    """Distances (n,), at least one and none of them NaN (which would silently count as a miss)."""
    distances = np.asarray(km, dtype=float)
    if distances.ndim != 1 or len(distances) == 0:
        raise ValueError(f"distances must be a list of at least one, got shape {distances.shape}")
    if np.isnan(distances).any() or (distances < 0).any():
        raise ValueError("distances must be 0 or more; use infinity for a photo without an answer")
    return distances
