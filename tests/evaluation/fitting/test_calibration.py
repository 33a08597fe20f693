"""A calibration on photos of known place: its fit, its left-out photos, its messages."""

import json
from dataclasses import replace

import numpy as np
import pytest
from calibration_world import known_world

from geoclip.errors import GeoclipError
from geoclip.evaluation.fitting import calibration
from geoclip.evaluation.fitting.calibration import Given, calibrate
from geoclip.evaluation.fitting.known_answers import answers_of
from geoclip.evaluation.fitting.known_photos import FOLD_KINDS, TruePlaces
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.confidence import Level, LevelRule
from geoclip.ranking.conformal import ConformalRadii
from geoclip.ranking.settings import PointEstimate, Prior, RankingSettings, Temperatures

VAGUE = RankingSettings(temperatures=Temperatures(3.0, 3.0, 3.0))
"""Photos of this world are less informative than a ranking without temperatures believes."""


@pytest.fixture(scope="module")
def fitted():
    ranker, photos = known_world(0, 400, VAGUE)
    return ranker, photos, calibrate(ranker, photos)


def test_an_overconfident_ranking_is_mended(fitted):
    _, _, found = fitted
    assert found.settings.calibrated and found.settings.calibration.photos == 400
    assert found.settings.temperatures.country == pytest.approx(3.0, rel=0.3)
    for kind in FOLD_KINDS:
        before, after = found.figures[kind]["before"], found.figures[kind]["after"]
        for level in ("continent", "country"):
            assert after[level]["ece"] < min(0.1, before[level]["ece"])
        assert before["holds_90"] is None
        assert after["holds_50"]["holds"] == pytest.approx(50, abs=12)
        assert after["holds_90"]["holds"] == pytest.approx(90, abs=8)


def test_the_figures_are_json_and_name_the_sources(fitted):
    _, _, found = fitted
    figures = json.loads(json.dumps(found.figures, allow_nan=False))
    assert (figures["photos"], figures["places"]) == (400, 400)
    assert set(figures["source"]["after"]["sources"]) == {"source 0", "source 1", "source 2"}
    by_source = figures["source"]["after"]["sources"].values()
    assert sum(one["n"] for one in by_source) == figures["source"]["after"]["n"] == 400


def test_answers_equal_those_of_the_ranking_photo_by_photo(fitted):
    ranker, photos, found = fitted
    h, calibrated = ranker.hierarchy, ranker.with_settings(found.settings)
    answers = answers_of(ranker, photos, TruePlaces.of(photos, ranker), found.settings)
    for i in range(0, 400, 9):
        ranking = calibrated.rank_at_level(photos.embeddings[i : i + 1], LevelRule())
        level, point = Level(ranking.level[0]), ranking.points[0]
        km = great_circle_km(h.lat[point], h.lon[point], photos.lat[i], photos.lon[i])
        assert answers.km[i] == pytest.approx(float(km), abs=1e-6)
        assert answers.radius[i] == pytest.approx(ranking.radius[0], rel=1e-4)
        [city] = np.flatnonzero((h.lat == photos.lat[i]) & (h.lon == photos.lon[i]))
        group = h.city_group[city]
        chain = [h.group_continent[group], h.group_country[group], h.group_region[group], city]
        named = level != Level.none and ranking.places[0, 0, level - 1] == chain[level - 1]
        assert answers.named[i] == named
        sums = calibrated.posterior(photos.embeddings[i : i + 1]).countries[0]
        assert answers.probability[i, 1] == pytest.approx(sums.max(), rel=1e-4)
        assert answers.right[i, 1] == (sums.argmax() == chain[1])


@pytest.mark.parametrize("kind", FOLD_KINDS)
def test_what_is_left_out_has_no_say(kind, monkeypatch):
    """A fold's settings stay unchanged when its own photos move to the other side."""
    ranker, photos = known_world(1, 120, VAGUE)
    asked = []
    plain = calibration.answers_of

    def spy(ranker, places, true, settings):
        asked.append((sorted(places.location_ids), settings))
        return plain(ranker, places, true, settings)

    monkeypatch.setattr(calibration, "answers_of", spy)
    calibrate(ranker, photos, folds=[kind])
    judged = [
        (names, own) for names, own in asked[1:] if own.calibration.radius != ConformalRadii()
    ]
    assert len(judged) > 1 and sum(len(names) for names, _ in judged) == 120
    names, settings = judged[0]
    own = np.isin(photos.location_ids, names)
    rest = calibrate(ranker, photos.take(~own), folds=()).settings
    weighed = replace(settings.calibration, photos=rest.calibration.photos)
    assert replace(settings, calibration=weighed) == rest


def test_one_source_alone_is_not_left_out():
    ranker, photos = known_world(2, 60, VAGUE, sources=1)
    assert set(calibrate(ranker, photos).figures) == {"photos", "places", "block", "country"}


def test_views_count_as_photos_and_make_one_place():
    ranker, photos = known_world(3, 60, VAGUE)
    twice = photos.take(np.repeat(np.arange(60), 2))
    figures = calibrate(ranker, twice, folds=()).figures
    assert (figures["photos"], figures["places"]) == (120, 60)


def test_too_few_places_are_refused():
    ranker, photos = known_world(4, 49, VAGUE)
    with pytest.raises(GeoclipError, match=r"at least 50 places, here are 49; give more"):
        calibrate(ranker, photos)


def test_the_posterior_can_be_kept():
    ranker, photos = known_world(6, 60, VAGUE)
    own = RankingSettings(
        temperatures=Temperatures(1.4, 1.3, 1.2, 1.1), prior=Prior(population_exponent=0.2)
    )
    found = calibrate(
        ranker.with_settings(own), photos, Given(keep_posterior=True), folds=()
    ).settings
    assert found.without_radius() == own
    assert found.calibration.photos == 60


def test_photos_of_known_country_alone_state_no_radius():
    ranker, photos = known_world(7, 60, VAGUE)
    photos.lat[:] = photos.lon[:] = np.nan
    found = calibrate(ranker, photos)
    assert found.settings.calibration is None
    assert "median_km" not in found.figures["block"]["after"]


def test_a_greedy_ranking_becomes_a_joint_one():
    ranker, photos = known_world(8, 60, VAGUE)
    greedy = ranker.with_settings(RankingSettings("greedy", point=PointEstimate.city()))
    assert calibrate(greedy, photos, folds=()).settings.method == "joint"
