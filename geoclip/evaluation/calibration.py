"""Fit a ranking to photos of known place, and say how well it holds on photos left out.

What is fitted on some photos flatters on others of the same street, country or collection. So the
figures are of photos that were left out: whole 1° blocks, whole countries, whole sources. A place
weighs by its share of all places and of its country's, so that no large country decides alone; for
the radii, which are to hold in new collections, by that of its source's too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.evaluation.answer_figures import answer_figures
from geoclip.evaluation.chain_fit import KnownLogits
from geoclip.evaluation.known_answers import Answers, answers_of
from geoclip.evaluation.known_photos import FOLD_KINDS, KnownPhotos
from geoclip.evaluation.radius_fit import fit_radii
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.point_estimate import HALF_SHARE, WIDE_SHARE
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import PointEstimate, RankingSettings

FEWEST_PLACES = 50
POINT = PointEstimate.expected_score_regions()
"""Of a posterior that holds what it says, no other point has a larger expected GeoScore."""


@dataclass(frozen=True)
class Fitted:
    """A calibrated ranking, and the figures of photos left out, ready for JSON."""

    settings: RankingSettings
    figures: dict[str, Any]


def calibrate(
    ranker: PlaceRanker,
    photos: KnownPhotos,
    seen_countries: Sequence[str] = (),
    stacking_factor: float | None = None,
    keep_posterior: bool = False,
    keep_exponents: bool = False,
    folds: Sequence[str] = FOLD_KINDS,
) -> Fitted:
    """Fit temperatures, priors and radii of a joint ranking to N photos of known place.

    Args:
        ranker: its settings are those before; a greedy ranking becomes a joint one.
        photos: some that the encoder was not trained on.
        seen_countries: ISO codes of those with a training photo.
        stacking_factor: of the seen countries; fitted with the rest unless it is given.
        keep_posterior: keep the ranker's temperatures and priors, fit the radii alone.
        keep_exponents: keep the exponents of the ranker's prior: so where the photos were chosen
            by the size of their countries.
        folds: kinds of folds to leave out for the figures; without any it is fitted once.

    Returns:
        The settings and figures: the numbers of `photos` and `places`, and for each kind of fold
        that the photos allow `before` (the ranker's own settings) and `after` (settings fitted on
        the other folds).

    Raises GeoclipError for fewer than `FEWEST_PLACES` places.
    """
    number, places = len(photos), photos.by_location()
    if len(places) < FEWEST_PLACES:
        raise GeoclipError(
            f"A calibration needs photos of at least {FEWEST_PLACES} places, here are "
            f"{len(places)}; give more."
        )
    prior = ranker.settings.prior
    own = prior.country_size_exponent, prior.population_exponent
    how = _How(
        tuple(seen_countries), stacking_factor, own if keep_exponents else None, keep_posterior
    )
    fit = _Fit(ranker, places, how, number)
    everything = np.ones(len(places), dtype=bool)
    figures: dict[str, Any] = {"photos": number, "places": len(places)}
    if folds:
        before = answers_of(ranker, places, fit.known.true, ranker.settings)
    for kind in folds:
        after = fit.left_out(kind)
        if after is not None:
            figures[kind] = {
                "before": answer_figures(before, fit.countries, places.sources),
                "after": answer_figures(after, fit.countries, places.sources),
            }
    return Fitted(fit.settings(everything), figures)


@dataclass(frozen=True)
class _How:
    """What a fit of the posterior is given, instead of finding it itself."""

    seen: tuple[str, ...]
    stacking: float | None
    exponents: tuple[float, float] | None
    keep_posterior: bool


class _Fit:
    """Photos of known place, one for each location, and what is fitted to some of them."""

    def __init__(
        self,
        ranker: PlaceRanker,
        places: KnownPhotos,
        how: _How,
        number: int,
    ) -> None:
        self.ranker, self.places, self.how, self.number = ranker, places, how, number
        self.known = KnownLogits.of(ranker, places)
        codes = np.append(ranker.hierarchy.country_codes, "")
        self.countries = codes[self.known.true.country]

    def weights(self, used: np.ndarray, *groups: np.ndarray) -> np.ndarray:
        """Weights (N,) of the used places, 0 for the others, that sum to 1.

        They are the mean of their shares of all places and of each of some groups (N,).
        """
        weights = np.zeros(len(used))
        for group in (np.arange(len(used)), *groups):
            _, which = np.unique(group[used].astype(str), return_inverse=True)
            share = 1 / np.bincount(which)[which]
            weights[used] += share / share.sum() / (1 + len(groups))
        return weights

    def settings(self, used: np.ndarray) -> RankingSettings:
        """What fits the used (N,) places."""
        own = self.ranker.settings
        temperatures, prior = own.temperatures, own.prior
        if not self.how.keep_posterior:
            weights = self.weights(used, self.countries)
            given = self.how.seen, self.how.stacking, self.how.exponents
            temperatures, prior = self.known.fit(weights, *given)
        plain = RankingSettings(temperatures=temperatures, point=POINT, prior=prior)
        located = used & np.isfinite(self.places.lat)
        if not located.any():
            return plain
        credible = replace(plain, calibration=Calibration(self.number))
        places, true = self.places.take(located), self.known.true.take(located)
        found = answers_of(self.ranker, places, true, credible)
        weights = self.weights(located, self.countries, self.places.sources)[located]
        radius = fit_radii(found.radius, found.km, weights, HALF_SHARE)
        radius_90 = fit_radii(found.radius_90, found.km, weights, WIDE_SHARE)
        return replace(plain, calibration=Calibration(self.number, radius, radius_90))

    def left_out(self, kind: str) -> Answers | None:
        """Answers for all places, each by settings that were fitted without its fold.

        None where there is one fold alone.
        """
        folds = list(self.places.folds(kind, self.countries))
        if len(folds) < 2:
            return None
        order, parts = [], []
        for fold in folds:
            places, true = self.places.take(fold), self.known.true.take(fold)
            parts.append(answers_of(self.ranker, places, true, self.settings(~fold)))
            order.append(np.flatnonzero(fold))
        return Answers.joined(parts).take(np.argsort(np.concatenate(order)))
