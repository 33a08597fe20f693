"""The combined prior of a ranking: the user's narrowing, calibrated stacking and country size."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.settings import Prior


@dataclass(frozen=True)
class CityPrior:
    """The prior of a hierarchy's Q cities, before a photo is seen.

    `log_weights` (Q,) is added to the log posterior; -inf excludes a city, None means zeros. A
    country's number of cities to the power `country_size_exponent` multiplies its probability
    inside its continent; the population of its cities to the power `population_exponent` multiplies
    it in the whole world. Raises GeoclipError for weights that are NaN or +inf, or exclude all.
    """

    log_weights: np.ndarray | None = None
    country_size_exponent: float = 0.0
    population_exponent: float = 0.0

    def __post_init__(self) -> None:
        weights = self.log_weights
        if weights is None:
            return
        if np.isnan(weights).any() or np.isposinf(weights).any():
            raise GeoclipError(
                "the log prior has NaN or +inf among its values; give finite ones or -inf."
            )
        if not np.isfinite(weights).any():
            raise GeoclipError(
                "the prior excludes every city of the gazetteer; leave at least one in."
            )

    @classmethod
    def of(
        cls, settings: Prior, hierarchy: Hierarchy, log_prior: np.ndarray | None = None
    ) -> "CityPrior":
        """Join the settings to a user's log prior (Q,) of the cities."""
        weights = log_prior
        if settings.seen_countries:
            seen = pd.Index(hierarchy.stacked).isin(settings.seen_countries)
            stacking = np.where(seen, -settings.stacking_factor, 0.0)
            weights = stacking if log_prior is None else log_prior + stacking
        return cls(weights, settings.country_size_exponent, settings.population_exponent)

    def allowed(self, hierarchy: Hierarchy) -> np.ndarray:
        """Mask (Q,) of the allowed cities."""
        if self.log_weights is None:
            return np.ones(len(hierarchy.cities), dtype=bool)
        return np.asarray(np.isfinite(self.log_weights))

    def add_to(self, cities: np.ndarray) -> np.ndarray:
        """Logits (N, Q) of cities plus their log weights."""
        if self.log_weights is None:
            return cities
        return np.asarray(cities + self.log_weights.astype(cities.dtype))


NO_PRIOR = CityPrior()
