"""Fit a ranking to photos of known classes of a table of levels, which lie nowhere.

The posterior is a chain over the levels, so each temperature is fitted on the true class among the
others of its parent. Calibrated stacking (Chao et al. 2016) is fitted on the deepest level. The
figures are of classes that were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.evaluation.calibration_statistics import calibration_figures
from geoclip.evaluation.fitting.calibration import FEWEST_PLACES, Fitted
from geoclip.evaluation.fitting.chain_fit import ROUNDED, Siblings
from geoclip.evaluation.fitting.known_photos import (
    Columns,
    drawn_folds,
    first_views,
    positions_among,
)
from geoclip.evaluation.fitting.stacking import STACKING_FACTORS, largest_factor
from geoclip.evaluation.metrics import UNKNOWN, gzsl_accuracy, mean_over_classes
from geoclip.photos.embedding import mean_of_views
from geoclip.places.gazetteer import NO_ROW
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import BLOCK
from geoclip.ranking.settings import Prior, RankingSettings, Temperatures

OF_CLASSES = "class"
"""The name of the figures' folds: whole classes are left out."""


@dataclass(frozen=True)
class KnownClasses(Columns):
    """N photos of known class: embeddings (N, d), gazetteer rows (N,) and location ids (N,)."""

    embeddings: np.ndarray
    rows: np.ndarray
    location_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.embeddings)

    def by_location(self) -> KnownClasses:
        """One row for each location: the mean of its views, the class of the first."""
        means = mean_of_views(self.embeddings, self.location_ids)
        return replace(self, embeddings=means).take(first_views(self.location_ids))


def calibrate_classes(
    ranker: PlaceRanker, photos: KnownClasses, seen_classes: Sequence[str] = ()
) -> Fitted:
    """Fit temperatures and stacking factor to N photos that the encoder was not trained on.

    `seen_classes` are the ids of classes with a training photo. The figures have, before and after,
    for each level the accuracy, averaged over its classes, and the calibration error, and of the
    deepest S, U and H; of photos whose classes were left out of the fit, None where these are too
    few for that. Raises GeoclipError for fewer than `FEWEST_PLACES` locations.
    """
    number, known = len(photos), photos.by_location()
    if len(known) < FEWEST_PLACES:
        raise GeoclipError(
            f"A calibration needs photos of at least {FEWEST_PLACES} locations, here are "
            f"{len(known)}; give more."
        )
    seen = _with_deepest(ranker, seen_classes)
    figures: dict[str, Any] = {"photos": number, "places": len(known), OF_CLASSES: None}
    before, after = _Judged.of(ranker, known), []
    folds = drawn_folds(OF_CLASSES, ranker.gazetteer.ids[known.rows])
    for fold in np.unique(folds) if len(np.unique(folds)) > 1 else []:
        fitted = ranker.with_settings(_fit(ranker, known.take(folds != fold), seen))
        after.append(_Judged.of(fitted, known.take(folds == fold)))
    if after:
        order = np.argsort(np.concatenate([np.flatnonzero(folds == f) for f in np.unique(folds)]))
        figures[OF_CLASSES] = {
            "before": before.figures(ranker, known, seen),
            "after": _Judged.joined(after).take(order).figures(ranker, known, seen),
        }
    return Fitted(_fit(ranker, known, seen), figures)


def _with_deepest(ranker: PlaceRanker, ids: Sequence[str]) -> tuple[str, ...]:
    """Those of the ids that are of the deepest level, in order."""
    g = ranker.gazetteer
    rows = g.rows(sorted(set(ids)))
    return tuple(g.ids[rows[g.levels[rows] == len(g.level_names) - 1]].tolist())


def _fit(ranker: PlaceRanker, known: KnownClasses, seen: tuple[str, ...]) -> RankingSettings:
    temperatures = _temperatures(ranker, known)
    settings = RankingSettings(temperatures=temperatures, calibration=Calibration(len(known)))
    factor = _stacking(ranker.with_settings(settings), known, seen) if seen else 0.0
    return replace(settings, prior=Prior(seen if factor else (), factor))


def _temperatures(ranker: PlaceRanker, known: KnownClasses) -> Temperatures:
    """Those of least negative log likelihood, with the `_weights` of the photos."""
    h, weights = ranker.hierarchy, _weights(known.rows)
    starts = [np.zeros(1, np.int64), *(level.starts for level in h.between), h.group_starts]
    true = [
        positions_among(ranker.gazetteer.ancestors[known.rows, number], rows)
        for number, rows in enumerate(h.levels)
    ]
    parts: list[list[Siblings]] = [[] for _ in starts]
    sizes = []
    for start in range(0, len(known), BLOCK):
        part = slice(start, start + BLOCK)
        logits = ranker.logits(known.embeddings[part]).levels
        sizes.append(len(known.rows[part]))
        for number, found in enumerate(parts):
            found.append(Siblings.of(logits[number], starts[number], true[number][part]))
    levels = [Siblings.joined(found, sizes) for found in parts]
    between = levels[1:-1]
    middle = Siblings.joined(between, [len(known)] * len(between)) if between else None
    return Temperatures(
        round(levels[0].temperature(weights), ROUNDED),
        1.0 if middle is None else round(
            middle.temperature(np.tile(weights, len(between))), ROUNDED
        ),
        round(levels[-1].temperature(weights), ROUNDED),
    )  # fmt: skip


def _weights(rows: np.ndarray) -> np.ndarray:
    """Weights (N,) that sum to 1: the mean of a photo's share of all and of its class's share."""
    _, which = np.unique(rows, return_inverse=True)
    share = 1 / np.bincount(which)[which]
    return np.asarray((1 / len(rows) + share / share.sum()) / 2)


def _stacking(ranker: PlaceRanker, known: KnownClasses, seen: tuple[str, ...]) -> float:
    """The stacking factor with the largest H of the deepest level, 0 without seen or unseen."""
    ids = ranker.gazetteer.ids[ranker.hierarchy.cities]
    is_seen = np.isin(ids, seen)
    true = _deepest(ranker, known)
    if is_seen.all() or not is_seen.any():
        return 0.0
    at, gains = [], []
    for start in range(0, len(known), BLOCK):
        p = ranker.posterior(known.embeddings[start : start + BLOCK]).log_cities
        of_both = [np.where(of, p, -np.inf) for of in (~is_seen, is_seen)]
        at.append(np.stack([one.argmax(axis=1) for one in of_both], axis=1))
        gains.append(of_both[1].max(axis=1) - of_both[0].max(axis=1))
    best, gain = ids[np.concatenate(at)], np.concatenate(gains)
    rows = np.arange(len(gain))
    return largest_factor(
        [
            gzsl_accuracy(true, best[rows, (gain >= factor).astype(int)], seen)["H"]
            for factor in STACKING_FACTORS
        ]
    )


def _deepest(ranker: PlaceRanker, known: KnownClasses) -> np.ndarray:
    """The ids (N,) of the true classes of the deepest level, "" where they are not known."""
    rows = ranker.gazetteer.ancestors[known.rows, -1]
    return np.where(rows == NO_ROW, UNKNOWN, ranker.gazetteer.ids[rows])


@dataclass(frozen=True)
class _Judged(Columns):
    """The most probable class of each of L levels, as a row (N, L), and its probability (N, L)."""

    rows: np.ndarray
    probability: np.ndarray

    @classmethod
    def of(cls, ranker: PlaceRanker, known: KnownClasses) -> _Judged:
        parts, levels = [], ranker.hierarchy.levels
        for start in range(0, len(known), BLOCK):
            posterior = ranker.posterior(known.embeddings[start : start + BLOCK])
            p = [posterior.of_level(number) for number in range(len(levels))]
            best = [own[one.argmax(axis=1)] for own, one in zip(levels, p, strict=True)]
            parts.append(cls(np.stack(best, 1), np.stack([one.max(axis=1) for one in p], 1)))
        return cls.joined(parts)

    def figures(
        self, ranker: PlaceRanker, known: KnownClasses, seen: tuple[str, ...]
    ) -> dict[str, Any]:
        g = ranker.gazetteer
        found: dict[str, Any] = {}
        for number, level in enumerate(g.level_names):
            true = g.ancestors[known.rows, number]
            right, is_known = self.rows[:, number] == true, true != NO_ROW
            if is_known.any():
                p = self.probability[is_known, number].clip(0, 1)
                found[level] = {
                    "accuracy": mean_over_classes(right[is_known], g.ids[true[is_known]]),
                    **calibration_figures(p, right[is_known]),
                }
        named = g.ids[self.rows[:, -1]]
        return found | {"gzsl": gzsl_accuracy(_deepest(ranker, known), named, seen)}
