"""Trip smoothing equals a sum over all paths, written out path by path."""

import math
from datetime import datetime, timedelta
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import EARTH_RADIUS_KM, great_circle_km
from geoclip.ranking.travel import CLUMPING, TripSettings, travel_factor
from geoclip.ranking.trip_smoothing import LEAST_TAIL, hours_of, smooth_trip

# Lyon, Villeurbanne, Paris, London, New York, Tokyo, Auckland, Suva (across the date line)
LAT = np.array([45.75, 45.77, 48.85, 51.51, 40.71, 35.68, -36.85, -18.14])
LON = np.array([4.85, 4.88, 2.35, -0.13, -74.01, 139.69, 174.76, -178.4])
LYON, VILLEURBANNE, PARIS, LONDON, NEW_YORK, TOKYO, AUCKLAND, SUVA = range(8)
NONE = np.array([np.nan, np.nan])


@cache
def mass(scale: float) -> float:
    """Integral of exp(-km / scale) over the Earth's surface, ring by ring."""
    a = EARTH_RADIUS_KM / scale
    end = min(math.pi, 50 / a)
    value, _ = quad(lambda angle: math.exp(-a * angle) * math.sin(angle), 0, end, epsrel=1e-10)
    return float(2 * math.pi * EARTH_RADIUS_KM**2 * value)


@cache
def slow_factor(km: float, hours: float, s: TripSettings) -> float:
    """The mixture of densities that are normalised by numerical integration."""
    stay = math.exp(-hours / s.stay_hours)
    weights = [stay, *((1 - stay) * share for share in s.shares)]
    scales = [s.local_km, *(s.local_km + speed * hours for speed in s.speeds_kmh)]
    earth = 4 * math.pi * EARTH_RADIUS_KM**2
    parts = zip(weights, scales, strict=True)
    total = sum(w * math.exp(-km / scale) * (earth / mass(scale)) ** CLUMPING for w, scale in parts)
    return s.lost + (1 - s.lost) * total


def all_paths(
    candidates: list[dict[int, float]],
    hours: list[float],
    anchors: list[tuple[float, float] | None],
    s: TripSettings,
    places: int,
) -> list[dict[int, float]]:
    """Posteriors by enumeration; state -1 is "another place", an anchor has the one state -2."""

    def where(t: int, state: int) -> tuple[float, float]:
        anchor = anchors[t]
        return anchor if anchor is not None else (LAT[state], LON[state])

    def factor(t: int, a: int, b: int) -> float:
        gap = hours[t + 1] - hours[t]
        if a == -1 and b == -1:
            return 1 + slow_factor(0, gap, s) / places
        if -1 in (a, b):
            return 1.0
        km = float(great_circle_km(*where(t, a), *where(t + 1, b)))
        return slow_factor(km, gap, s)

    def own(t: int, state: int) -> float:
        return 1.0 if state == -2 else candidates[t][state]

    def told(t: int, state: int) -> float:
        if state != -1:
            return own(t, state) ** s.neighbour_exponent
        others = max(places - len(candidates[t]) + 1, 1)
        return others * (own(t, -1) / others) ** s.neighbour_exponent

    states = [[-2] if a else list(c) for a, c in zip(anchors, candidates, strict=True)]
    posteriors = []
    for t in range(len(states)):
        sums = dict.fromkeys(states[t], 0.0)
        for path in product(*states):
            weight = math.prod(factor(u, path[u], path[u + 1]) for u in range(len(path) - 1))
            for u, state in enumerate(path):
                weight *= own(u, state) if u == t else told(u, state)
            sums[path[t]] += weight
        whole = sum(sums.values())
        posteriors.append({state: value / whole for state, value in sums.items()})
    return posteriors


@st.composite
def albums(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(2, 4))
    cities = [draw(st.permutations(range(8)))[:3] for _ in range(n)]
    raw = [draw(st.lists(st.floats(1e-3, 1), min_size=3, max_size=3)) for _ in range(n)]
    whole = [draw(st.floats(1, 3)) for _ in range(n)]
    hours = sorted(draw(st.lists(st.floats(0, 300), min_size=n, max_size=n)))
    known = [draw(st.integers(0, 3)) == 0 for _ in range(n)]
    return {
        "cities": np.array(cities),
        "p": np.array([sorted(r, reverse=True) for r in raw])
        / np.array([sum(r) * w for r, w in zip(raw, whole, strict=True)])[:, None],
        "hours": np.array(hours),
        "anchors": np.array([(50.0, 3.0) if k else (np.nan, np.nan) for k in known]),
        "exponent": draw(st.sampled_from([0.3, 1.0])),
    }


@settings(max_examples=25, deadline=None)
@given(albums())
def test_equals_the_sum_over_all_paths(album: dict[str, Any]) -> None:
    s = TripSettings(neighbour_exponent=album["exponent"], borrowed_cities=0)
    found = smooth_trip(album["cities"], album["p"], album["hours"], LAT, LON, album["anchors"], s)
    anchors = [None if np.isnan(a[0]) else tuple(a) for a in album["anchors"]]
    candidates = [
        dict(zip(c.tolist(), p.tolist(), strict=True)) | {-1: max(1 - p.sum(), LEAST_TAIL)}
        for c, p in zip(album["cities"], album["p"], strict=True)
    ]
    expected = all_paths(candidates, album["hours"].tolist(), anchors, s, len(LAT))
    for t, anchor in enumerate(anchors):
        assert found.changed[t] == (anchor is None and not all(anchors))
        if found.changed[t]:
            got = dict(zip(found.cities[t].tolist(), found.probabilities[t].tolist(), strict=True))
            for city, value in expected[t].items():
                if city >= 0:
                    # Chords of unit vectors are good to a tenth of a metre, no better.
                    assert got[city] == pytest.approx(value, rel=1e-4, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 20_015), st.floats(0, 2000))
def test_travel_factor_equals_densities_normalised_slowly(km: float, hours: float) -> None:
    s = TripSettings()
    assert travel_factor(np.array([km]), hours, s)[0] == pytest.approx(
        slow_factor(km, hours, s), rel=1e-6
    )


@pytest.mark.parametrize("hours", [0.0, 1.0, 24.0, 1000.0])
def test_travel_factor_averages_about_one_over_the_cities(world: Gazetteer, hours: float) -> None:
    """So that a neighbour far away in time says nothing, and a near one no more than it knows."""
    cities = world.level_rows("city")
    rng = np.random.default_rng(0)
    some = rng.choice(cities, 200, replace=False)
    everywhere = [world.lat[cities], world.lon[cities]]
    means = [
        travel_factor(
            great_circle_km(world.lat[row], world.lon[row], *everywhere), hours, TripSettings()
        ).mean()
        for row in some
    ]
    assert 0.5 < math.exp(np.log(means).mean()) < 2


def one(
    cities: list[list[int]], p: list[list[float]], hours: list[float], **options: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    anchors = options.pop("anchors", None)
    found = smooth_trip(
        np.array(cities),
        np.array(p),
        np.array(hours, dtype=float),
        LAT,
        LON,
        None if anchors is None else np.array(anchors, dtype=float),
        TripSettings(**options.pop("s", {})),
        options.pop("allowed", None),
    )
    return found.cities, found.probabilities, found.changed


def test_a_sure_neighbour_decides_a_doubtful_photo() -> None:
    cities, p, changed = one([[LYON, TOKYO], [TOKYO, LYON]], [[0.98, 0.01], [0.5, 0.4]], [0, 0.5])
    assert cities[1, 0] == LYON
    assert p[1, 0] > 0.8
    assert changed.tolist() == [True, True]


def test_continents_apart_takes_months_not_minutes() -> None:
    guesses = [[LYON, PARIS], [TOKYO, LYON]], [[0.98, 0.01], [0.9, 0.09]]
    assert one(*guesses, [0, 0.1])[0][1, 0] == LYON
    assert one(*guesses, [0, 1440])[0][1, 0] == TOKYO


def test_an_anchor_brings_its_city_to_photos_that_do_not_list_it() -> None:
    cities, p, changed = one(
        [[PARIS, LONDON], [LYON, TOKYO]],
        [[0.01, 0.009], [0.0, 0.0]],
        [0, 0.2],
        anchors=[NONE, (45.76, 4.86)],
    )
    assert cities[0, 0] == LYON
    assert changed.tolist() == [True, False]
    assert cities[1, 0] == LYON and p[1].sum() == 0  # an anchor keeps its values


def test_an_answer_that_is_not_allowed_is_not_borrowed() -> None:
    allowed = np.ones(8, dtype=bool)
    allowed[LYON] = False
    cities, _, _ = one(
        [[PARIS, LONDON], [LYON, TOKYO]],
        [[0.01, 0.009], [0.0, 0.0]],
        [0, 0.2],
        anchors=[NONE, (45.76, 4.86)],
        allowed=allowed,
    )
    assert LYON not in cities[0]


def test_photos_without_a_time_keep_their_own() -> None:
    given_p = [[0.6, 0.3], [0.5, 0.4], [0.7, 0.2]]
    cities, p, changed = one(
        [[LYON, TOKYO], [TOKYO, LYON], [SUVA, LYON]], given_p, [0, np.nan, 0.1]
    )
    assert changed.tolist() == [True, False, True]
    assert cities[1, :2].tolist() == [TOKYO, LYON]
    assert p[1, :2].tolist() == given_p[1]


@pytest.mark.parametrize("hours", [[np.nan, np.nan], [1.0, np.nan]])
def test_a_photo_alone_is_left_as_it_is(hours: list[float]) -> None:
    _, p, changed = one([[LYON, TOKYO], [TOKYO, LYON]], [[0.6, 0.3], [0.5, 0.4]], hours)
    assert not changed.any()
    assert p[:, :2].tolist() == [[0.6, 0.3], [0.5, 0.4]]


def test_a_photo_years_away_says_next_to_nothing() -> None:
    _, p, _ = one([[LYON, TOKYO], [NEW_YORK, PARIS]], [[0.6, 0.3], [0.5, 0.4]], [0, 1e5])
    assert p[0, :2] == pytest.approx([0.6, 0.3], abs=0.02)


def test_the_order_in_which_photos_are_given_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    cities = np.array([rng.permutation(8)[:4] for _ in range(12)])
    p = rng.dirichlet(np.ones(5), 12)[:, :4]
    hours = rng.uniform(0, 100, 12)
    shuffle = rng.permutation(12)
    plain = smooth_trip(cities, p, hours, LAT, LON)
    mixed = smooth_trip(cities[shuffle], p[shuffle], hours[shuffle], LAT, LON)
    assert np.allclose(plain.probabilities[shuffle], mixed.probabilities)


def test_a_long_chain_neither_overflows_nor_vanishes() -> None:
    n = 3000
    cities = np.tile([[LYON, PARIS]], (n, 1))
    p = np.tile([[1 - 1e-12, 1e-300]], (n, 1))
    found = smooth_trip(cities, p, np.arange(n) / 60, LAT, LON)
    assert np.isfinite(found.probabilities).all()
    assert (found.cities[:, 0] == LYON).all()


def test_hours_are_of_one_clock() -> None:
    noon = datetime(2024, 5, 1, 12)
    times = [noon + timedelta(hours=3), None, noon, noon]
    assert np.array_equal(hours_of(times), [3, np.nan, 0, 0], equal_nan=True)
    east = timedelta(hours=9)
    assert hours_of([noon, noon - east, noon], [east, timedelta(0), east]).tolist() == [0, 0, 0]
    # A camera that does not state its offset is taken to be in the album's usual zone.
    assert hours_of([noon, noon, noon], [None, east, east]).tolist() == [0, 0, 0]
    assert np.isnan(hours_of([None])).all()
    assert hours_of([]).shape == (0,)


@pytest.mark.parametrize(
    "bad",
    [
        {"local_km": 0.0},
        {"shares": (0.5, 0.5)},
        {"shares": (0.5, 0.5, 0.5)},
        {"lost": 0.0},
        {"neighbour_exponent": 2.0},
        {"window": -1},
    ],
)
def test_impossible_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(GeoclipError):
        TripSettings(**bad)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GeoclipError, match="differ in length"):
        one([[LYON]], [[1.0]], [0, 1])
    with pytest.raises(GeoclipError, match="no place of probability above 0"):
        one([[LYON], [PARIS]], [[0.0], [1.0]], [0, 1])
