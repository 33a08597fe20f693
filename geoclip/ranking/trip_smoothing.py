"""Trip smoothing: the posteriors of an album's photos combined along time.

The photos of one album are a hidden Markov model (Rabiner 1989). The hidden state is the
photographer's place, a photo's own posterior is the emission, and the transition is how far people
travel between two photos. Photos of known position are anchors. Forward-backward gives each photo's
posterior given all of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.places.sphere import chord_to_km, unit_vectors
from geoclip.ranking.travel import TripSettings, travel_factor

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

LEAST_TAIL = 1e-6
"""Probability of all places that a photo does not list; 0 would forbid its neighbours' places."""


@dataclass(frozen=True)
class SmoothedTrip:
    """Posteriors (N, M) after smoothing, best first: `cities` by position; probability 0 for an
    excluded place.

    The rest of a row of `probabilities` to 1 is spread over unlisted places. `changed` (N,) marks
    the photos whose posterior is now the album's.
    """

    cities: Rows
    probabilities: Floats
    changed: NDArray[np.bool_]

    def part(self, rows: slice) -> "SmoothedTrip":
        """The smoothed posteriors of some photos."""
        return SmoothedTrip(self.cities[rows], self.probabilities[rows], self.changed[rows])


@dataclass(frozen=True)
class States:
    """The states of one photo: S places and, as one more state, all others together.

    `rows` (S,) are cities, `points` (S, 3) their unit vectors. `own` (S + 1,) is the photo's own
    posterior, `tempered` (S + 1,) the part that counts for its neighbours. The last entry of each
    is for all other places.
    """

    rows: Rows
    points: Floats
    own: Floats
    tempered: Floats


def hours_of(
    taken: Sequence[datetime | None], offsets: Sequence[timedelta | None] | None = None
) -> Floats:
    """Hours (N,) since the first of the times; NaN for an unknown time.

    `taken` are clock times, and UTC is `taken` minus `offsets`; an unknown offset takes the median
    of the known ones.
    """
    offsets = [None] * len(taken) if offsets is None else offsets
    known = sorted(o for t, o in zip(taken, offsets, strict=True) if t and o is not None)
    usual = known[len(known) // 2] if known else timedelta(0)
    utc = [
        t and t.replace(tzinfo=None) - (usual if o is None else o)
        for t, o in zip(taken, offsets, strict=True)
    ]
    first = min((t for t in utc if t is not None), default=datetime.min)
    return np.array([math.nan if t is None else (t - first).total_seconds() / 3600 for t in utc])


def smooth_trip(
    cities: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    hours: Floats,
    lat: Floats,
    lon: Floats,
    anchors: Floats | None = None,
    settings: TripSettings | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> SmoothedTrip:
    """Combine the posteriors of one album's N photos along time.

    Args:
        cities: positions (N, m) of each photo's most probable cities; for an anchor the first is
            the nearest one.
        probabilities: (N, m) theirs, 0 for a place that is none.
        hours: (N,) when they were taken, NaN where that is not known; any order.
        lat: (Q,) latitudes of all cities, degrees.
        lon: (Q,) longitudes.
        anchors: (N, 2) latitude and longitude of the photos of known position, NaN for others.
        settings: how people move.
        allowed: (Q,) which cities may be an answer; all without it.

    Photos without a time and anchors keep their posteriors. The work grows linearly with N. Raises
    GeoclipError where the arrays' shapes differ or a photo has no place.
    """
    settings = settings or TripSettings()
    anchors = np.full((len(cities), 2), np.nan) if anchors is None else anchors
    allowed = np.ones(len(lat), dtype=bool) if allowed is None else allowed
    if not len(probabilities) == len(hours) == len(anchors) == len(cities):
        raise GeoclipError("an album's cities, probabilities, hours and anchors differ in length.")
    album = _widened(cities, probabilities, settings.borrowed_cities)
    known = np.asarray(~np.isnan(anchors).any(axis=1))
    order = np.argsort(hours, kind="stable")[: int(np.isfinite(hours).sum())]
    if len(order) < 2 or known[order].all():
        return album
    votes = np.where(known[:, None], 0.0, probabilities)
    votes[known, 0] = 1.0  # an anchor's city counts as certain for its neighbours
    votes *= allowed[cities]
    places = int(allowed.sum())
    chain = []
    for i, photo in enumerate(order):
        near = order[max(0, i - settings.window) : i + settings.window + 1]
        if known[photo]:
            chain.append(_anchor(unit_vectors(*anchors[photo])))
        else:
            own = cities[photo], probabilities[photo]
            rows, p = _candidates(*own, cities[near], votes[near], settings.borrowed_cities, places)
            points = unit_vectors(lat[rows], lon[rows])
            chain.append(_states(rows, p, points, settings.neighbour_exponent, places))
    posteriors = forward_backward(chain, np.diff(hours[order]), places, settings)
    for photo, states, posterior in zip(order, chain, posteriors, strict=True):
        if not known[photo]:
            best = np.argsort(-posterior[:-1], kind="stable")
            album.cities[photo, : len(best)] = states.rows[best]
            album.probabilities[photo, : len(best)] = posterior[best]
            album.changed[photo] = True
    return album


def _widened(
    cities: NDArray[np.integer], probabilities: NDArray[np.floating], more: int
) -> SmoothedTrip:
    """The posteriors unchanged, with `more` columns of probability 0."""
    return SmoothedTrip(
        np.pad(cities.astype(np.int64), ((0, 0), (0, more)), mode="edge"),
        np.pad(probabilities.astype(np.float64), ((0, 0), (0, more))),
        np.zeros(len(cities), dtype=bool),
    )


def _candidates(
    cities: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    near: NDArray[np.integer],
    votes: Floats,
    borrowed: int,
    places: int,
) -> tuple[Rows, Floats]:
    """A photo's candidates (S,): its own places and its neighbours' votes, with its own p."""
    own = cities[probabilities > 0].astype(np.int64)
    p = probabilities[probabilities > 0].astype(np.float64)
    if not len(own):
        raise GeoclipError("a photo of the album has no place of probability above 0.")
    pooled, column = np.unique(near, return_inverse=True)
    totals = np.bincount(column.ravel(), votes.ravel())
    totals[np.isin(pooled, own)] = 0
    best = np.argsort(-totals, kind="stable")[:borrowed]
    others = pooled[best][totals[best] > 0].astype(np.int64)
    # The photo's remaining probability is spread evenly over the places that it does not list.
    even = min(_tail(p) / max(places - len(own), 1), float(p.min()))
    return np.r_[own, others], np.r_[p, np.full(len(others), even)]


def _tail(p: Floats) -> float:
    return max(1 - float(p.sum()), LEAST_TAIL)


def _states(rows: Rows, p: Floats, points: Floats, exponent: float, places: int) -> States:
    others = max(places - len(rows), 1)
    each = _tail(p) / others
    tempered = np.r_[p**exponent, others * each**exponent]
    return States(rows, points, np.r_[p, _tail(p)], tempered / tempered.max())


def _anchor(point: Floats) -> States:
    certain = np.array([1.0, 0.0])
    return States(np.full(1, -1), point[None], certain, certain)


def forward_backward(
    chain: Sequence[States], gaps: Floats, places: int, settings: TripSettings
) -> list[Floats]:
    """Posterior (S + 1,) over the states of each of T photos given the whole chain.

    A path's weight is the product of the photos' evidence and of the travel factors between
    neighbours, `gaps` (T - 1,) hours apart; photo t's posterior sums it over all paths, with `own`
    for t itself and `tempered` for the others. Messages are scaled at each step, so that long
    chains neither overflow nor vanish.
    """
    pairs = list(zip(chain[:-1], chain[1:], gaps, strict=True))
    forward = [np.ones(len(chain[0].own))]
    for before, after, gap in pairs:
        message = (forward[-1] * before.tempered) @ _kernel(before, after, gap, places, settings)
        forward.append(message / message.max())
    backward = np.ones(len(chain[-1].own))
    posteriors = [_normalised(chain[-1].own * forward[-1])]
    for t, (before, after, gap) in reversed(list(enumerate(pairs))):
        # Computed again rather than kept: all kernels of a long chain would fill the memory.
        backward = _kernel(before, after, gap, places, settings) @ (backward * after.tempered)
        backward /= backward.max()
        posteriors.append(_normalised(before.own * forward[t] * backward))
    return posteriors[::-1]


def _normalised(weights: Floats) -> Floats:
    normalised: Floats = weights / weights.sum()
    return normalised


def _kernel(
    before: States, after: States, hours: float, places: int, settings: TripSettings
) -> Floats:
    """Travel factors (S + 1, S' + 1) between the states of two neighbours.

    The other places lie all over the world, so the factor between them and a listed one averages 1;
    between each other the chance that both are the same is added.
    """
    squared = np.maximum(2 - 2 * (before.points @ after.points.T), 0)
    factors = travel_factor(chord_to_km(np.sqrt(squared)), float(hours), settings)
    same = travel_factor(np.zeros(1), float(hours), settings)[0] / max(places, 1)
    factors = np.pad(factors, ((0, 1), (0, 1)), constant_values=1.0)
    factors[-1, -1] = 1 + same
    return factors
