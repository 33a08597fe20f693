"""What is known of countries before a photo is looked at: log weights of a hierarchy's cities."""

import numpy as np

from geoclip.gazetteer import Gazetteer
from geoclip.hierarchy import Hierarchy
from geoclip.ranking import RankingSettings


def country_log_prior(
    hierarchy: Hierarchy, gazetteer: Gazetteer, settings: RankingSettings
) -> np.ndarray | None:
    """Log weights (Q,) of the cities by their countries, as `settings` ask; None for equal ones."""
    if not settings.size_power and not (settings.seen_penalty and settings.seen_countries):
        return None
    codes = gazetteer.country_codes[hierarchy.countries]
    log_weights = _log_sizes(hierarchy, gazetteer, settings.size_power)
    log_weights[np.isin(codes, settings.seen_countries)] -= settings.seen_penalty
    return log_weights[hierarchy.city_country]


def _log_sizes(hierarchy: Hierarchy, gazetteer: Gazetteer, power: float) -> np.ndarray:
    """Logs (K,) of the countries' numbers of cities to a power, over their continent's mean.

    Continents keep the weight that the number of their countries gives them: what tells them apart
    is in the photo, while most territories of one city are islands that nobody photographs.
    """
    sizes = np.bincount(hierarchy.city_country) ** power
    _, continent = np.unique(gazetteer.continents[hierarchy.countries], return_inverse=True)
    means = np.bincount(continent, weights=sizes) / np.bincount(continent)
    return np.log(sizes / means[continent])
