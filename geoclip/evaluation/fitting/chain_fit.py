"""Fit temperatures and prior exponents to photos of known place.

The posterior is a chain, p(continent) · p(country | continent) · p(region | country) · p(city |
region), so its negative log likelihood is a sum: the parameters of countries are fitted on the true
countries, the temperature of regions on the true region within the true country, and that of cities
on the true city within the true region (temperature scaling, Guo et al. 2017, level by level).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from geoclip.evaluation.fitting.known_photos import KnownPhotos, TruePlaces
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.posterior import log_countries
from geoclip.ranking.prior import CityPrior
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import BLOCK
from geoclip.ranking.settings import Prior, Temperatures

TEMPERATURES = (0.1, 30.0)
"""The search range of temperatures."""
MOST_EXPONENT, MOST_STACKING = 1.5, 5.0
ROUNDED = 3
"""Decimals of fitted values: more are noise."""


@dataclass(frozen=True)
class Siblings:
    """Logits of true places and of their siblings, for n of N photos.

    `logits` (n, m) are -inf beyond a parent's last place, `true` (n,) are columns, `photo` (n,)
    indexes the N photos.
    """

    logits: np.ndarray
    true: np.ndarray
    photo: np.ndarray

    @classmethod
    def of(cls, logits: np.ndarray, starts: np.ndarray, true: np.ndarray) -> Siblings:
        """Take the segment of column `true` (N,), -1 for none, from each row of logits (N, M)."""
        photo = np.flatnonzero(true >= 0)
        segment = np.searchsorted(starts, true[photo], side="right") - 1
        first, size = starts[segment], np.diff(np.r_[starts, logits.shape[1]])[segment]
        step = np.arange(size.max(initial=1))
        column = np.minimum(first[:, None] + step, logits.shape[1] - 1)
        own = logits[photo[:, None], column].astype(np.float64)
        own[step >= size[:, None]] = -np.inf
        return cls(own, true[photo] - first, photo)

    @classmethod
    def joined(cls, parts: list[Siblings], sizes: list[int]) -> Siblings:
        """The siblings of several blocks, of `sizes` photos each."""
        width = max(part.logits.shape[1] for part in parts)
        before = np.cumsum([0, *sizes[:-1]])
        padded = [
            np.pad(p.logits, ((0, 0), (0, width - p.logits.shape[1])), constant_values=-np.inf)
            for p in parts
        ]
        photo = [part.photo + start for part, start in zip(parts, before, strict=True)]
        true = np.concatenate([part.true for part in parts])
        return cls(np.concatenate(padded), true, np.concatenate(photo))

    def temperature(self, weights: np.ndarray) -> float:
        """The temperature of least negative log likelihood, with weights (N,) of photos."""
        several = np.isfinite(self.logits).sum(axis=1) > 1
        used = several & (weights[self.photo] > 0)
        if not used.any():
            return 1.0
        logits, true, weights = self.logits[used], self.true[used], weights[self.photo[used]]
        rows = np.arange(len(logits))

        def loss(log_temperature: float) -> float:
            log_p = log_softmax(logits / np.exp(log_temperature), axis=1)
            return float(-weights @ log_p[rows, true])

        found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
        return float(np.exp(found.x))


@dataclass(frozen=True)
class KnownLogits:
    """The data for fitting a chain: logits of N photos and their true places.

    `country` (N, K) are the logits of all countries; of regions and cities, only those below the
    true parent.
    """

    country: np.ndarray
    region: Siblings
    city: Siblings
    true: TruePlaces
    hierarchy: Hierarchy

    @classmethod
    def of(cls, ranker: PlaceRanker, photos: KnownPhotos) -> KnownLogits:
        """Compute them, a block of photos at a time."""
        h, true = ranker.hierarchy, TruePlaces.of(photos, ranker)
        group = np.where(true.city < 0, -1, h.city_group[true.city])
        region = np.where(group < 0, -1, h.group_region[group])
        countries, regions, cities, sizes = [], [], [], []
        for start in range(0, max(len(photos), 1), BLOCK):
            part = slice(start, start + BLOCK)
            logits = ranker.logits(photos.embeddings[part])
            countries.append(logits.country.astype(np.float64))
            regions.append(Siblings.of(logits.region, h.region_starts, region[part]))
            cities.append(Siblings.of(logits.city, h.group_starts, true.city[part]))
            sizes.append(len(logits.country))
        joined = Siblings.joined(regions, sizes), Siblings.joined(cities, sizes)
        return cls(np.concatenate(countries), *joined, true, h)

    def fit(
        self,
        weights: np.ndarray,
        seen_countries: tuple[str, ...] = (),
        stacking: float | None = None,
        exponents: tuple[float, float] | None = None,
    ) -> tuple[Temperatures, Prior]:
        """Temperatures and prior of least negative log likelihood, by weights (N,) of photos.

        `stacking` fixes the stacking factor of the seen countries, `exponents` those of country
        size and population; otherwise these are fitted too.
        """
        used = (weights > 0) & (self.true.country >= 0)
        logits, true, w = self.country[used], self.true.country[used], weights[used]
        rows = np.arange(len(true))
        seen = np.isin(self.hierarchy.country_codes, seen_countries)
        mixed = seen.any() and not seen.all()
        fixed = 0.0 if not mixed else stacking

        def chain(x: np.ndarray) -> tuple[Temperatures, Prior, float]:
            country, continent = np.exp(x[:2]).tolist()
            prior = Prior(country_size_exponent=float(x[2]), population_exponent=float(x[3]))
            gamma = float(x[4]) if fixed is None else fixed
            return Temperatures(country, continent=continent), prior, gamma

        def loss(x: np.ndarray) -> float:
            temperatures, prior, gamma = chain(x)
            own = CityPrior(None, prior.country_size_exponent, prior.population_exponent)
            log_p = log_countries(logits, self.hierarchy, temperatures, own)
            log_p = log_softmax(log_p - gamma * seen, axis=1)
            return float(-w @ log_p[rows, true])

        around = np.log(TEMPERATURES)
        sizes = [(0, MOST_EXPONENT)] * 2 if exponents is None else [(e, e) for e in exponents]
        bounds = [around, around, *sizes, (0, MOST_STACKING)]
        start = np.array([0.5, 0.0, *(exponents or (0.1, 0.1)), 0.1])
        found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
        temperatures, prior, gamma = chain(found.x)
        gamma = round(gamma, ROUNDED)
        return (
            Temperatures(
                round(temperatures.country, ROUNDED),
                round(self.region.temperature(weights), ROUNDED),
                round(self.city.temperature(weights), ROUNDED),
                round(temperatures.continent, ROUNDED),
            ),
            Prior(
                tuple(seen_countries) if gamma else (),
                gamma,
                round(prior.country_size_exponent, ROUNDED),
                round(prior.population_exponent, ROUNDED),
            ),
        )
