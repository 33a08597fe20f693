"""Fit a ranking to photos of known place, and measure it on photos left out.

A fit to some photos looks too good on others of the same street, country or collection. So the
figures are from left-out photos: whole 1° blocks, whole countries, whole sources. A place's weight
is the mean of its share of all places and of its country's, so that no large country decides alone;
for the radii, which must hold in new collections, also of its source's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.evaluation.fitting.answer_figures import answer_figures
from geoclip.evaluation.fitting.chain_fit import KnownLogits
from geoclip.evaluation.fitting.known_answers import Answers, answers_of
from geoclip.evaluation.fitting.known_photos import FOLD_KINDS, KnownPhotos
from geoclip.evaluation.fitting.radius_fit import fit_radii
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.point_estimate import HALF_SHARE, WIDE_SHARE
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import PointEstimate, RankingSettings

FEWEST_PLACES = 50
POINT = PointEstimate.expected_score_regions()
"""Under a calibrated posterior, no other point has a larger expected GeoScore."""


@dataclass(frozen=True)
class Fitted:
    """A calibrated ranking, and the figures of left-out photos, ready for JSON."""

    settings: RankingSettings
    figures: dict[str, Any]


@dataclass(frozen=True)
class Given:
    """The parameters that a calibration takes as given instead of fitting them.

    Attributes: seen_countries: ISO codes of countries with a training photo. stacking_factor:
    theirs; None fits it with the rest. keep_exponents: keep the exponents of the ranker's prior,
    for photos chosen by the size of their countries. keep_posterior: keep the ranker's
    temperatures, prior and point, and fit only the radii.
    """

    seen_countries: tuple[str, ...] = ()
    stacking_factor: float | None = None
    keep_exponents: bool = False
    keep_posterior: bool = False


FIT_ALL = Given()


def calibrate(
    ranker: PlaceRanker,
    photos: KnownPhotos,
    given: Given = FIT_ALL,
    folds: Sequence[str] = FOLD_KINDS,
) -> Fitted:
    """Fit temperatures, prior and radii of a joint ranking to N photos of known place.

    Args: ranker: it gives the settings before; a greedy ranking becomes a joint one. photos: photos
    outside the encoder's training set. given: the parameters that are not fitted. folds: kinds of
    folds to leave out for the figures; without any it is fitted once.

    Returns: The settings and figures: the numbers of `photos` and `places`, and for each possible
    kind of fold `before` (the ranker's own settings) and `after` (settings fitted on the other
    folds).

    Raises GeoclipError for fewer than `FEWEST_PLACES` places.
    """
    number, places = len(photos), photos.by_location()
    if len(places) < FEWEST_PLACES:
        raise GeoclipError(
            f"A calibration needs photos of at least {FEWEST_PLACES} places, here are "
            f"{len(places)}; give more."
        )
    fit = _Fit(ranker, places, given, number)
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
    return Fitted(fit.settings(np.ones(len(places), dtype=bool)), figures)


class _Fit:
    """Photos of known place, one per location, and the fits to some of them."""

    def __init__(
        self,
        ranker: PlaceRanker,
        places: KnownPhotos,
        given: Given,
        number: int,
    ) -> None:
        self.ranker, self.places, self.given, self.number = ranker, places, given, number
        self.known = KnownLogits.of(ranker, places)
        codes = np.append(ranker.hierarchy.country_codes, "")
        self.countries = codes[self.known.true.country]

    def weights(self, used: np.ndarray, *groups: np.ndarray) -> np.ndarray:
        """Weights (N,) of the used places, 0 for the others, that sum to 1.

        They are the mean of their shares of all places and of each group (N,).
        """
        weights = np.zeros(len(used))
        for group in (np.arange(len(used)), *groups):
            _, which = np.unique(group[used].astype(str), return_inverse=True)
            share = 1 / np.bincount(which)[which]
            weights[used] += share / share.sum() / (1 + len(groups))
        return weights

    def settings(self, used: np.ndarray) -> RankingSettings:
        """The settings fitted to the used (N,) places."""
        plain = self._posterior(used)
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

    def _posterior(self, used: np.ndarray) -> RankingSettings:
        """Settings without radii."""
        own, given = self.ranker.settings.without_radius(), self.given
        if given.keep_posterior:
            return own
        exponents = own.prior.country_size_exponent, own.prior.population_exponent
        temperatures, prior = self.known.fit(
            self.weights(used, self.countries),
            given.seen_countries,
            given.stacking_factor,
            exponents if given.keep_exponents else None,
        )
        return RankingSettings(temperatures=temperatures, point=POINT, prior=prior)

    def left_out(self, kind: str) -> Answers | None:
        """Answers for all places, each with settings fitted without its fold.

        None if there is only one fold.
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
