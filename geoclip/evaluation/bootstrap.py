"""Cluster bootstrap: whole authors, locations or blocks are drawn anew, not photos.

Photos of one author or one place resemble each other. An interval of photos drawn one by one is
too narrow. Source: Field and Welsh, "Bootstrapping clustered data", JRSS B 69 (2007).

Cost: all intervals of 3,000 photos of 200 authors take about 2 s, of 100,000 photos in 40,000
blocks about a minute and half a gigabyte.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geoclip.evaluation.metrics import UNKNOWN
from geoclip.support.seeds import seeded_generator

DRAWS = 2000
CHUNK_WEIGHTS = 4_000_000  # weights in memory at once

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Number of draws of each cluster (draws, clusters) → one figure per draw, NaN without a photo."""


@dataclass(frozen=True)
class Clusters:
    """The cluster of each of n photos: `codes` (n,) from 0; `by` names the kind of cluster."""

    codes: NDArray[np.int64]
    by: str

    @classmethod
    def of(cls, truth: pd.DataFrame) -> "Clusters":
        """Clusters of a truth table: by author, else location_id, else blocks of 1°.

        A photo with an empty author (or location_id), or of unknown position, is its own cluster.
        The table has `lat` and `lon` in degrees.
        """
        for name in ("author", "location_id"):
            if name in truth and (truth[name] != "").any():
                own = pd.Series(np.arange(len(truth)), index=truth.index).map("\0{}".format)
                return cls(_codes(truth[name].where(truth[name] != "", own)), name)
        blocks = np.floor(truth[["lat", "lon"]].to_numpy(float))
        unknown = np.isnan(blocks).any(axis=1)
        blocks[unknown] = np.column_stack([np.flatnonzero(unknown), np.full(unknown.sum(), 999)])
        return cls(_codes(pd.Series(map(tuple, blocks.astype(int).tolist()))), "block of 1°")

    def __len__(self) -> int:
        return int(self.codes.max()) + 1 if len(self.codes) else 0


def bootstrap(
    clusters: Clusters, statistics: Mapping[str, Statistic], draws: int = DRAWS, seed: int = 0
) -> dict[str, Floats]:
    """Each statistic (draws,) of photos whose clusters are drawn with replacement.

    A draw has as many clusters as there are. All statistics share the draws, so that differences of
    two of them are paired. The same seed gives the same draws.
    """
    generator = seeded_generator("bootstrap", seed)
    count = len(clusters)
    step = max(1, CHUNK_WEIGHTS // max(1, len(clusters.codes)))
    parts: dict[str, list[Floats]] = {name: [] for name in statistics}
    for start in range(0, draws, step):
        size = min(step, draws - start)
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=size)
        weights = drawn.astype(float)
        for name, statistic in statistics.items():
            parts[name].append(statistic(weights))
    return {name: np.concatenate(values) for name, values in parts.items()}


def mean_of(values: ArrayLike, clusters: Clusters) -> Statistic:
    """The mean of the values (n,) that are not NaN; NaN for a draw without one."""
    fixed = np.asarray(values, dtype=float)
    known = ~np.isnan(fixed)
    counts = np.bincount(clusters.codes, known)
    sums = np.bincount(clusters.codes, np.where(known, fixed, 0.0))

    def statistic(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(weights @ sums / (weights @ counts))

    return statistic


def class_mean_of(values: ArrayLike, classes: ArrayLike, clusters: Clusters) -> Statistic:
    """The mean over classes of the mean of values within each class; (n,) and (n,).

    Rows of class "" or of value NaN are left out, as are, in each draw, its absent classes. Where
    half of the classes have one or two photos and are harder than the others, the 95 % interval
    held the true mean in 88 of 100 simulated samples.
    """
    names, fixed = np.asarray(classes, dtype=object), np.asarray(values, dtype=float)
    known = (names != UNKNOWN) & ~np.isnan(fixed)
    if not known.any():
        return lambda weights: np.full(len(weights), np.nan)
    codes = pd.factorize(names[known])[0]
    # A cell is a cluster's part of a class; cells are sorted by class.
    cells, cell = np.unique(codes * len(clusters) + clusters.codes[known], return_inverse=True)
    counts = np.bincount(cell).astype(float)
    sums = np.bincount(cell, fixed[known])
    of_class, of_cluster = np.divmod(cells, len(clusters))
    starts = np.searchsorted(of_class, np.arange(codes.max() + 1))

    def statistic(weights: Floats) -> Floats:
        drawn = weights[:, of_cluster]
        totals = np.add.reduceat(drawn * counts, starts, axis=1)
        present = totals > 0
        drawn *= sums
        parts = np.add.reduceat(drawn, starts, axis=1)
        means = np.divide(parts, totals, out=np.zeros_like(parts), where=present)
        with np.errstate(invalid="ignore"):
            return np.asarray(means.sum(axis=1) / present.sum(axis=1))

    return statistic


def median_of(values: ArrayLike, clusters: Clusters) -> Statistic:
    """The median of values (n,) as numpy's: the mean of the two in the middle."""
    fixed = np.asarray(values, dtype=float)
    order = np.argsort(fixed, kind="stable")
    ordered, of_cluster = fixed[order], clusters.codes[order]

    def statistic(weights: Floats) -> Floats:
        running = np.cumsum(weights[:, of_cluster], axis=1)
        half = running[:, -1:] / 2
        low = ordered[np.argmax(running >= half, axis=1)]
        high = ordered[np.argmax(running > half, axis=1)]
        return np.asarray((low + high) / 2)

    return statistic


def harmonic_mean_of(first: Statistic, second: Statistic) -> Statistic:
    """The harmonic mean of two statistics, 0 where both are 0."""

    def statistic(weights: Floats) -> Floats:
        one, other = first(weights), second(weights)
        total = one + other
        return np.asarray(2 * one * other / np.where(total == 0, 1.0, total))

    return statistic


def _codes(values: pd.Series) -> NDArray[np.int64]:
    return np.asarray(pd.factorize(values)[0], dtype=np.int64)
