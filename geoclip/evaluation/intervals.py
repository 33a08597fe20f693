"""95 % intervals of figures, by their names in a report."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from geoclip.evaluation.bootstrap import (
    DRAWS,
    Clusters,
    Floats,
    Statistic,
    bootstrap,
    class_mean_of,
    mean_of,
    median_of,
)
from geoclip.evaluation.metrics import THRESHOLDS_KM, Report
from geoclip.places.geoscore import geoscore

TAILS = (0.025, 0.975)  # of 95 % intervals
SEED = 0
BY_COUNTRY = "_by_country"


def interval(sample: Floats) -> list[float | None] | None:
    """The 95 % percentile interval of a statistic's draws (draws,), None if it has no value.

    An infinite end is None.
    """
    known = sample[~np.isnan(sample)]
    if len(known) == 0:
        return None
    ends = np.quantile(known, TAILS, method="inverted_cdf")
    return [float(end) if np.isfinite(end) else None for end in ends]


def intervals(
    statistics: Mapping[str, Statistic], clusters: Clusters, draws: int = DRAWS, seed: int = SEED
) -> Report:
    """The interval of each statistic, nested as in a report, and their basis.

    Fewer than two clusters give none.
    """
    made = about(clusters, draws)
    if len(clusters) < 2:
        return made
    samples = bootstrap(clusters, statistics, draws, seed)
    return made | nested({name: interval(sample) for name, sample in samples.items()})


def about(clusters: Clusters, draws: int) -> Report:
    """The basis of intervals: `clusters` in words, `n_clusters` and `draws`."""
    return {"clusters": clusters.by, "n_clusters": len(clusters), "draws": draws}


def distance_statistics(
    km: ArrayLike, country: ArrayLike, clusters: Clusters
) -> dict[str, Statistic]:
    """`within_km`, `geoscore`, both plain and by country, and `median_km` of distances (n,).

    km are infinite for a miss; country (n,) codes, "" where unknown.
    """
    distances = np.asarray(km, dtype=float)
    values = {f"within_km {t}": 100.0 * (distances <= t) for t in THRESHOLDS_KM.values()}
    values |= {"geoscore": geoscore(distances)}
    return {
        **{name: mean_of(value, clusters) for name, value in values.items()},
        **{by_country(name): class_mean_of(v, country, clusters) for name, v in values.items()},
        "median_km": median_of(distances, clusters),
    }


def by_country(name: str) -> str:
    """The name of a figure's mean over countries.

    >>> by_country("geoscore"), by_country("within_km 25")
    ('geoscore_by_country', 'within_km_by_country 25')
    """
    first, _, threshold = name.partition(" ")
    return f"{first}{BY_COUNTRY} {threshold}".strip()


def nested(figures: Mapping[str, Any]) -> Report:
    """{"within_km 25": x} as {"within_km": {"25": x}}.

    >>> nested({"within_km 25": 3.0, "geoscore": 10.0})
    {'within_km': {'25': 3.0}, 'geoscore': 10.0}
    """
    report: Report = {}
    for name, value in figures.items():
        first, _, threshold = name.partition(" ")
        if threshold:
            report.setdefault(first, {})[threshold] = value
        else:
            report[first] = value
    return report
