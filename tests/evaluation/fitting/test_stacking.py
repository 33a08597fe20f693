"""The fitted stacking factor against a slow search that ranks anew for every factor."""

import math

import numpy as np
import pytest
from small_world import place_table

from geoclip.evaluation.fitting.known_photos import KnownPhotos
from geoclip.evaluation.fitting.stacking import calibrate_stacked, fit_stacking
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import Prior, RankingSettings, Temperatures

WIDTH = 6
CODES = [f"{letter}X" for letter in "ABCDEFGHIJ"]
SEEN = tuple(CODES[:6])


def biased_world(seed: int, photos: int = 80, bias: float = 1.2) -> tuple[PlaceRanker, KnownPhotos]:
    """Photos near the embedding of their country; `bias` is added to the logits of seen ones."""
    rng = np.random.default_rng(seed)
    cities = [
        (f"{code}{number}", "name", code, rng.uniform(-60, 60), rng.uniform(-180, 180), 1000)
        for code in CODES
        for number in range(rng.integers(1, 4))
    ]
    gazetteer = Gazetteer(place_table([(c, c, "EU", c) for c in CODES], [], cities))
    country = np.array([CODES.index(code) for code in gazetteer.country_codes])
    centres = rng.normal(size=(len(CODES), WIDTH))
    places = np.hstack([centres[country], np.isin(country, range(len(SEEN)))[:, None]])
    places = places.astype(np.float32)
    settings = RankingSettings(temperatures=Temperatures(country=0.8))
    ranker = PlaceRanker(PlaceIndex(places, "key"), gazetteer, 1.0, settings)
    true = rng.integers(0, len(CODES), photos)
    shift = np.full((photos, 1), bias)
    values = np.hstack([centres[true] + rng.normal(0, 1.0, (photos, WIDTH)), shift])
    rows = gazetteer.level_rows("city")
    of_country = [rows[gazetteer.country_codes[rows] == CODES[i]] for i in true]
    city = np.array([own[rng.integers(len(own))] for own in of_country])
    known = KnownPhotos(
        values.astype(np.float32),
        gazetteer.lat[city],
        gazetteer.lon[city],
        np.array(CODES, dtype=object)[true],
        np.full(photos, ""),
        np.arange(photos).astype(str),
    )
    return ranker, known


def slow_harmonic_mean(ranker: PlaceRanker, photos: KnownPhotos, factor: float) -> float:
    """H of a ranker that is made anew with the factor, class by class."""
    prior = Prior(SEEN, factor) if factor else Prior()
    settings = RankingSettings(temperatures=ranker.settings.temperatures, prior=prior)
    anew = PlaceRanker(ranker.index, ranker.gazetteer, ranker.logit_scale, settings)
    first = anew.hierarchy.country_codes[anew.rank(photos.embeddings).countries[:, 0]]
    means: dict[bool, list[float]] = {True: [], False: []}
    for code in sorted(set(photos.country_codes)):
        right = [g == code for g, t in zip(first, photos.country_codes, strict=True) if t == code]
        means[code in SEEN].append(sum(right) / len(right))
    seen, unseen = (sum(means[kind]) / len(means[kind]) for kind in (True, False))
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def slow_fit(ranker: PlaceRanker, photos: KnownPhotos) -> float:
    curve = [slow_harmonic_mean(ranker, photos, i / 10) for i in range(41)]
    smooth = []
    for i in range(41):
        total = weights = 0.0
        for j in range(i - 20, i + 21):  # four standard deviations of 0.5
            weight = math.exp(-(((i - j) / 10) ** 2) / 2 / 0.5**2)
            total += weight * curve[min(max(j, 0), 40)]
            weights += weight
        smooth.append(total / weights)
    return max(range(41), key=smooth.__getitem__) / 10


@pytest.mark.parametrize("seed", range(6))
def test_factor_is_that_of_a_slow_search(seed: int) -> None:
    ranker, photos = biased_world(seed)
    assert fit_stacking(ranker, photos, SEEN) == slow_fit(ranker, photos)


def test_factor_makes_up_for_a_bias() -> None:
    """A bias of one more in the logits takes a factor of one more in log-odds."""
    temperature = 0.8
    factors = []
    for bias in (0.8, 1.6):
        ranker, photos = biased_world(0, photos=1000, bias=bias)
        factors.append(fit_stacking(ranker, photos, SEEN))
        better, before = (slow_harmonic_mean(ranker, photos, f) for f in (factors[-1], 0.0))
        assert better > before
    assert factors[1] - factors[0] == pytest.approx(0.8 / temperature, abs=0.1)


def test_own_stacking_plays_no_part() -> None:
    ranker, photos = biased_world(1)
    stacked = RankingSettings(
        temperatures=ranker.settings.temperatures, prior=Prior(("AX", "JX"), 3.0)
    )
    with_own = ranker.with_settings(stacked)
    assert fit_stacking(with_own, photos, SEEN) == fit_stacking(ranker, photos, SEEN)


@pytest.mark.parametrize("kept", [SEEN, CODES[6:], ()])
def test_nothing_is_fitted_on_one_kind_of_countries(kept: tuple[str, ...]) -> None:
    ranker, photos = biased_world(2)
    chosen = np.isin(photos.country_codes, kept)
    assert fit_stacking(ranker, photos.take(chosen), SEEN) == 0.0


def test_calibration_has_the_factor_that_fits_its_temperatures() -> None:
    ranker, photos = biased_world(3, photos=120)
    own = RankingSettings(prior=Prior(country_size_exponent=0.2, population_exponent=0.1))
    fitted = calibrate_stacked(ranker.with_settings(own), photos, SEEN)
    prior = fitted.settings.prior
    assert (prior.country_size_exponent, prior.population_exponent) == (0.2, 0.1)
    assert prior.seen_countries == SEEN
    again = fit_stacking(ranker.with_settings(fitted.settings), photos.by_location(), SEEN)
    assert prior.stacking_factor == again > 0
    assert fitted.settings.temperatures.country != 1.0
    assert fitted.settings.calibrated
    assert fitted.figures["places"] == 120
    assert {"before", "after"} == set(fitted.figures["country"])


def test_calibration_of_seen_countries_alone_has_no_factor() -> None:
    ranker, photos = biased_world(4, photos=200)
    seen = photos.take(np.isin(photos.country_codes, SEEN))
    assert calibrate_stacked(ranker, seen, SEEN).settings.prior == Prior()
