"""Calibrated stacking for generalized zero-shot learning, fitted on pseudo-unseen countries.

Countries held back from training represent countries without any photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from geoclip.evaluation.fitting.calibration import Fitted, Given, calibrate
from geoclip.evaluation.fitting.known_photos import KnownPhotos
from geoclip.evaluation.metrics import gzsl_accuracy
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import BLOCK

STACKING_FACTORS = np.arange(41) / 10
"""Candidates: log-odds from 0 to 4."""
SMOOTHING = 0.5
"""Standard deviation, in log-odds, of the smoothing of the curve of H, which single photos move."""


def calibrate_stacked(
    ranker: PlaceRanker, photos: KnownPhotos, seen_countries: Sequence[str]
) -> Fitted:
    """`calibrate` with the stacking factor of `fit_stacking` instead of the likeliest one.

    The likeliest factor depends on the share of photos of seen countries; H does not. The exponents
    of the ranker's prior stay, as countries are also held back by their size.
    """
    places = photos.by_location()
    factor = fit_stacking(ranker, places, seen_countries)
    fitted = calibrate(ranker, photos, Given(tuple(seen_countries), factor, keep_exponents=True))
    # The factor is in units of the logits that the fitted temperature divides.
    factor = fit_stacking(ranker.with_settings(fitted.settings), places, seen_countries)
    prior = replace(
        fitted.settings.prior,
        seen_countries=tuple(seen_countries) if factor else (),
        stacking_factor=factor,
    )
    return replace(fitted, settings=replace(fitted.settings, prior=prior))


def fit_stacking(ranker: PlaceRanker, photos: KnownPhotos, seen_countries: Sequence[str]) -> float:
    """The stacking factor (Chao et al. 2016) with the largest H of countries on known photos.

    H is the harmonic mean of the accuracies S of `seen_countries`, those with a training photo,
    and U of all other countries, each averaged over its countries (`metrics.gzsl_accuracy`), with
    all countries competing. Its curve is smoothed by `SMOOTHING`. The ranker's own stacking is
    ignored. The factor is 0 if all photos are of seen countries, or none is.
    """
    prior = replace(ranker.settings.prior, seen_countries=(), stacking_factor=0.0)
    plain = ranker.with_settings(replace(ranker.settings, prior=prior))
    parts = [slice(start, start + BLOCK) for start in range(0, max(len(photos), 1), BLOCK)]
    p = np.concatenate([plain.posterior(photos.embeddings[part]).countries for part in parts])
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    codes = ranker.hierarchy.country_codes
    seen = np.isin(codes, seen_countries)
    means = []
    for factor in STACKING_FACTORS:
        # Stacking changes nothing within a country, so this is exact.
        guessed = codes[(log_p - factor * seen).argmax(axis=1)]
        means.append(gzsl_accuracy(photos.country_codes, guessed, seen_countries)["H"])
    return largest_factor(means)


def largest_factor(means: Sequence[float | None]) -> float:
    """The factor of `STACKING_FACTORS` whose H is largest once smoothed; 0 where one has no H."""
    if None in means:
        return 0.0
    step = STACKING_FACTORS[1] - STACKING_FACTORS[0]
    smooth = gaussian_filter1d(means, SMOOTHING / step, mode="nearest")
    return float(STACKING_FACTORS[smooth.argmax()])
