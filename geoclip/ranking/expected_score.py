"""The point to report: the city of largest expected GeoScore under a posterior."""

import numpy as np

from geoclip.places.geoscore import geoscore
from geoclip.places.sphere import chord_to_km, unit_vectors
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.posterior import Posterior
from geoclip.ranking.top_cities import group_cities


def expected_score_city(
    candidates: np.ndarray, probabilities: np.ndarray, hierarchy: Hierarchy
) -> np.ndarray:
    """Of each photo's candidates with probability above 0, the one of largest expected GeoScore.

    `candidates` and `probabilities` (N, m) come from `top_cities`. Returns city positions (N,).
    """
    xyz = unit_vectors(hierarchy.lat[candidates], hierarchy.lon[candidates])  # (N, m, 3)
    squared = 2 - 2 * np.clip(xyz @ xyz.transpose(0, 2, 1), -1, 1)
    gain = np.einsum("nij,nj->ni", geoscore(chord_to_km(np.sqrt(squared))), probabilities)
    best = np.where(probabilities > 0, gain, -np.inf).argmax(axis=1)
    return candidates[np.arange(len(candidates)), best]


def expected_score_region_city(
    posterior: Posterior, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable city of the region of largest expected GeoScore over the whole posterior.

    Where a posterior is spread over many countries, its hundred best cities lie in one or two of
    them and say little of where most of it is; all regions do. Their log probabilities are divided
    by `temperature` first. Returns the city positions (N,) and their probabilities as they were
    before.
    """
    groups, photos = posterior.groups, np.arange(len(posterior.groups))
    weights = groups if temperature == 1 else groups ** (1 / temperature)
    gain = weights @ posterior.hierarchy.group_scores
    best = np.where(groups > 0, gain, -np.inf).argmax(axis=1)
    return group_cities(posterior, photos, best)
