"""From photo embeddings to ranked places: index, hierarchy, settings and prior together."""

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.narrowing import prior
from geoclip.ranking.confidence import LevelRule
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.level_ranking import LevelRanking
from geoclip.ranking.logits import LevelEmbeddings, Logits
from geoclip.ranking.main_cities import MainCities
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.point_estimate import mass_within
from geoclip.ranking.posterior import Posterior, joint_posterior, posterior_of
from geoclip.ranking.prior import CityPrior
from geoclip.ranking.ranking import (
    BLOCK,
    Ranking,
    rank_cities_at_level,
    rank_embeddings,
    rank_embeddings_at_level,
)
from geoclip.ranking.settings import UNCALIBRATED, RankingSettings

if TYPE_CHECKING:
    from geoclip.ranking.gallery.lookup import GalleryLookup
    from geoclip.ranking.gallery.mixture import GalleryEvidence

UNCALIBRATED_WARNING = (
    "The probabilities of this model are not calibrated: use only their order, or fit them to "
    "photos of known place with geoclip calibrate."
)


class PlaceRanker:
    """Ranks the places of an index for photo embeddings.

    A photo's logits are its products with the places' embeddings, times the encoder's
    `logit_scale`. These give the posterior p(country) · p(region | country) · p(city | region), and
    that the ranked cities and the reported point. `log_prior` (P,), if given, is added to the log
    posterior of the gazetteer's rows: this narrows the world.
    """

    def __init__(
        self,
        index: PlaceIndex,
        gazetteer: Gazetteer,
        logit_scale: float,
        settings: RankingSettings | None = None,
        log_prior: np.ndarray | None = None,
    ) -> None:
        self.index = index
        self.gazetteer = gazetteer
        self.logit_scale = logit_scale
        self.settings = settings or UNCALIBRATED
        self.hierarchy = Hierarchy.of(gazetteer)
        self.log_prior = log_prior

    def __repr__(self) -> str:
        calibrated = "calibrated" if self.settings.calibrated else "not calibrated"
        prior = self.log_prior
        left = "" if prior is None else f", {np.isfinite(prior).sum():,} places left in"
        return f"PlaceRanker({self.gazetteer!r}, {self.settings.method}, {calibrated}{left})"

    @property
    def warnings(self) -> list[str]:
        """Sentences to show the user once."""
        return [] if self.settings.calibrated else [UNCALIBRATED_WARNING]

    @cached_property
    def _levels(self) -> LevelEmbeddings:
        return LevelEmbeddings.of(self.index.embeddings, self.hierarchy)

    @cached_property
    def _prior(self) -> CityPrior:
        """The user's log prior and the settings' prior combined."""
        own = None if self.log_prior is None else self.log_prior[self.hierarchy.cities]
        return CityPrior.of(self.settings.prior, self.hierarchy, own)

    def narrowed(
        self,
        countries: Sequence[str] | None = None,
        bbox: tuple[float, float, float, float] | None = None,
        near: tuple[float, float, float] | str | None = None,
        polygon: Any = None,
    ) -> "PlaceRanker":
        """The same ranker for a part of the world; arguments and errors as `narrowing.prior`."""
        with np.errstate(divide="ignore"):
            log_prior = np.log(prior(self.gazetteer, countries, bbox, near, polygon=polygon))
        if self.log_prior is not None:
            log_prior = log_prior + self.log_prior
        return self._with(self.settings, log_prior)

    def with_settings(self, settings: RankingSettings) -> "PlaceRanker":
        """The same ranker with other settings."""
        return self._with(settings, self.log_prior)

    def _with(self, settings: RankingSettings, log_prior: np.ndarray | None) -> "PlaceRanker":
        """A ranker that shares the hierarchy and the levels' embeddings, which are slow to make."""
        other = copy(self)
        other.settings, other.log_prior = settings, log_prior
        for name in ("_prior", "main_cities"):  # cached values belong to the old settings
            other.__dict__.pop(name, None)
        return other

    def logits(self, values: np.ndarray) -> Logits:
        """Logits of embeddings (N, d); use some hundred photos at a time."""
        return self._levels.logits(values, self.logit_scale)

    def posterior(self, values: np.ndarray) -> Posterior:
        """The posterior over all cities of embeddings (N, d); use some hundred photos at a time."""
        return posterior_of(self.logits(values), self.hierarchy, self.settings, self._prior)

    def countries(self, value: np.ndarray) -> pd.Series:
        """Probabilities of all countries for an embedding (d,), the most probable first.

        They sum to 1. The index is the countries' names; where two share one, their ids stand
        behind it. A country without a listed city has 0. Of a table of levels they are those of its
        first level.
        """
        level = self.gazetteer.level_names[0]
        posterior = self.posterior(value[None]).countries[0].astype(np.float64)
        rows = self.gazetteer.level_rows(level)
        names, ids = self.gazetteer.names[rows], self.gazetteer.ids[rows]
        shared = pd.Series(names).duplicated(keep=False)
        index = np.where(shared, [f"{n} ({i})" for n, i in zip(names, ids, strict=True)], names)
        probabilities = np.zeros(len(self.gazetteer))
        probabilities[self.hierarchy.countries] = posterior / posterior.sum()
        named = pd.Index(index.astype(str), name=level)
        found = pd.Series(probabilities[rows], named, name="probability")
        return found.sort_values(ascending=False, kind="stable")

    def rank(self, values: np.ndarray, top_k: int = 5) -> Ranking:
        """Rank the cities for embeddings (N, d). Raises GeoclipError for `top_k` below 1."""
        return rank_embeddings(
            values,
            self._levels,
            self.hierarchy,
            self.logit_scale,
            self.settings,
            top_k,
            self._prior,
            torch.get_num_threads(),
        )

    def rank_at_level(self, values: np.ndarray, rule: LevelRule, top_k: int = 5) -> LevelRanking:
        """Rank the places of the level chosen by a rule, for embeddings (N, d)."""
        return rank_embeddings_at_level(
            values,
            self._levels,
            self.hierarchy,
            self.logit_scale,
            self.settings,
            rule,
            top_k,
            self._prior,
            torch.get_num_threads(),
        )

    def rank_cities_at_level(
        self, cities: np.ndarray, probabilities: np.ndarray, rule: LevelRule, top_k: int = 5
    ) -> LevelRanking:
        """The same for posteriors that list cities (N, m), by position, such as a smoothed trip."""
        given = cities, probabilities
        return rank_cities_at_level(*given, self.hierarchy, self.settings, rule, top_k)

    @cached_property
    def main_cities(self) -> MainCities:
        """The most populous city of each place within the prior."""
        return MainCities.of(self.hierarchy, self._prior.allowed(self.hierarchy))

    def gallery_evidence(self, lookup: "GalleryLookup") -> "GalleryEvidence":
        """The evidence of a gallery of the same encoder; GeoclipError for an empty gallery."""
        from geoclip.ranking.gallery.mixture import GalleryEvidence  # noqa: PLC0415  (few use it)

        if not len(lookup.gallery):
            raise GeoclipError(f"{lookup.gallery!r} holds no photo yet: add some.")
        return GalleryEvidence(lookup, self.hierarchy, self._before.groups)

    @property
    def _before(self) -> Posterior:
        """The posterior of one uninformative photo."""
        h, settings = self.hierarchy, self.settings
        nothing = Logits(*(np.zeros((1, len(rows)), np.float32) for rows in h.levels))
        return joint_posterior(nothing, h, settings.temperatures, self._prior)

    def support_within(
        self, values: np.ndarray, lat: np.ndarray, lon: np.ndarray, km: float
    ) -> np.ndarray:
        """How many times more probable embeddings (N, d) make places within `km` of points (N,).

        It is a Bayes factor: their posterior divided by that of an uninformative photo. `lat` and
        `lon` are in degrees. NaN where these are NaN and where no place is in reach.
        """
        before = self._before
        factors = [np.empty(0)]
        for start in range(0, len(values), BLOCK):
            part = slice(start, start + BLOCK)
            after = self.posterior(values[part])
            near, rest = (mass_within(p, lat[part], lon[part], km) for p in (after, before))
            factors.append(np.divide(near, rest, out=np.full_like(near, np.nan), where=rest > 0))
        return np.concatenate(factors)
