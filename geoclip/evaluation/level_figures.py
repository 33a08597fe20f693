"""How often guesses name a place of each level, and how often that place is right."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.evaluation.intervals import by_country
from geoclip.evaluation.metrics import mean_over_classes


def level_figures(named: pd.DataFrame, true: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """For each level (column): how many of n photos are answered, and how many of these are right.

    `named` and `true` (n rows) hold classes, "" where a guess names none or the true one is
    unknown. `answered` is the percent of all photos whose guess names a class of the level, or a
    deeper one; `at_level` of those whose guess stops there. `right` and `right_at_level` are the
    percent of these that are right, None for an empty set; `n` is the base of `right`. Each figure
    has its mean over the true countries beside it, `…_by_country`.
    """
    country = true["country"].to_numpy()
    figures = {}
    deeper = np.zeros(len(named), dtype=bool)
    for level in reversed(named.columns):
        answered = (named[level] != "").to_numpy()
        known = answered & (true[level] != "").to_numpy()
        right = named[level].to_numpy() == true[level].to_numpy()
        stops = answered & ~deeper
        everyone = np.ones(len(named), dtype=bool)
        figures[level] = {
            "n": int(known.sum()),
            **_share("answered", answered, everyone, country),
            **_share("right", right, known, country),
            **_share("at_level", stops, everyone, country),
            **_share("right_at_level", right, known & stops, country),
        }
        deeper |= answered
    return {level: figures[level] for level in named.columns}


def _share(
    name: str, hits: NDArray[np.bool_], among: NDArray[np.bool_], country: NDArray[np.object_]
) -> dict[str, float | None]:
    """The percent of hits (n,) among some photos (n,), plain and by country; None for no photo."""
    plain = 100 * float(hits[among].mean()) if among.any() else None
    return {name: plain, by_country(name): mean_over_classes(hits[among], country[among])}
