"""Fit a ranking to photos of known place, and say how well it holds on photos left out.

What is fitted on some photos flatters on others of the same street, country or collection. So the
figures are of photos that were left out: whole 1° blocks, whole countries, whole sources. A place
weighs by the mean of three shares, of all places, of its country's and of its source's: neither a
large country nor a large source decides alone.
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
from geoclip.places.geoscore import geoscore
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.point_estimate import HALF_SHARE, WIDE_SHARE
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import PointEstimate, RankingSettings

FEWEST_PLACES = 50
POINT_TEMPERATURES = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
"""What is tried for the point: the largest mean GeoScore is taken."""


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
) -> Fitted:
    """Fit temperatures, priors, point and radii of a joint ranking to N photos of known place.

    The photos are some that the encoder was not trained on. `seen_countries` are those with a
    training photo; their stacking factor is fitted with the rest unless it is given. The figures
    have `places`, `photos`, and for each kind of fold that the photos allow, `before` (the
    ranker's own settings) and `after` (settings fitted on the other folds).

    Raises GeoclipError for fewer than `FEWEST_PLACES` places.
    """
    number, places = len(photos), photos.by_location()
    if len(places) < FEWEST_PLACES:
        raise GeoclipError(
            f"A calibration needs photos of at least {FEWEST_PLACES} places, here are "
            f"{len(places)}; give more."
        )
    fit = _Fit(ranker, places, tuple(seen_countries), stacking_factor, number)
    everything = np.ones(len(places), dtype=bool)
    [before] = answers_of(ranker, places, fit.known.true, [ranker.settings])
    figures: dict[str, Any] = {"photos": number, "places": len(places)}
    for kind in FOLD_KINDS:
        after = fit.left_out(kind)
        if after is not None:
            figures[kind] = {
                "before": answer_figures(before, fit.countries, places.sources),
                "after": answer_figures(after, fit.countries, places.sources),
            }
    return Fitted(fit.settings(everything), figures)


class _Fit:
    """Photos of known place, one for each location, and what is fitted to some of them."""

    def __init__(
        self,
        ranker: PlaceRanker,
        places: KnownPhotos,
        seen: tuple[str, ...],
        stacking: float | None,
        number: int,
    ) -> None:
        self.ranker, self.places, self.number = ranker, places, number
        self.seen, self.stacking = seen, stacking
        self.known = KnownLogits.of(ranker, places)
        codes = np.append(ranker.hierarchy.country_codes, "")
        self.countries = codes[self.known.true.country]

    def weights(self, used: np.ndarray) -> np.ndarray:
        """Weights (N,) of the used places, which sum to 1: 0 for the others."""
        keys = (np.arange(len(used)).astype(str), self.countries, self.places.sources.astype(str))
        weights = np.zeros(len(used))
        for key in keys:
            _, which = np.unique(key[used], return_inverse=True)
            share = 1 / np.bincount(which)[which]
            weights[used] += share / share.sum() / len(keys)
        return weights

    def settings(self, used: np.ndarray) -> RankingSettings:
        """What fits the used (N,) places."""
        weights = self.weights(used)
        temperatures, prior = self.known.fit(weights, self.seen, self.stacking)
        tried = [
            RankingSettings(
                temperatures=temperatures,
                point=PointEstimate.expected_score_regions(temperature),
                prior=prior,
                calibration=Calibration(self.number),  # its radii are the credible ones
            )
            for temperature in POINT_TEMPERATURES
        ]
        located = used & np.isfinite(self.places.lat)
        if not located.any():
            return replace(tried[1], calibration=None)
        places, true = self.places.take(located), self.known.true.take(located)
        answers = answers_of(self.ranker, places, true, tried)
        w = weights[located]
        best = int(np.argmax([w @ geoscore(own.km) for own in answers]))
        own = answers[best]
        radii = (
            fit_radii(own.radius, own.km, w, HALF_SHARE),
            fit_radii(own.radius_90, own.km, w, WIDE_SHARE),
        )
        return replace(tried[best], calibration=Calibration(self.number, *radii))

    def left_out(self, kind: str) -> Answers | None:
        """Answers for all places, each by settings that were fitted without its fold.

        None where there is one fold alone.
        """
        folds = list(self.places.folds(kind, self.countries))
        if len(folds) < 2:
            return None
        order, parts = [], []
        for fold in folds:
            own = [self.settings(~fold)]
            parts += answers_of(
                self.ranker, self.places.take(fold), self.known.true.take(fold), own
            )
            order.append(np.flatnonzero(fold))
        return Answers.joined(parts).take(np.argsort(np.concatenate(order)))
