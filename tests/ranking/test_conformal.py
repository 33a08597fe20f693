"""Radii that a calibration states."""

from dataclasses import replace

import numpy as np
import pytest
from test_credible_radius import posterior_of_case
from test_ranking import example

from geoclip.errors import GeoclipError
from geoclip.places.sphere import FARTHEST_KM
from geoclip.ranking.conformal import SMALLEST_KM, Calibration, ConformalRadii
from geoclip.ranking.point_estimate import credible_radius_km, stated_radii_km
from geoclip.ranking.settings import RankingSettings, Temperatures

CALIBRATED = RankingSettings(
    calibration=Calibration(9, ConformalRadii((300.0,), (3.0, 0.5)), ConformalRadii((), (1.25,)))
)


def test_each_credible_radius_has_the_factor_of_its_width():
    radii = ConformalRadii((100.0, 1000.0), (3.0, 2.0, 1.1))
    credible = np.array([np.nan, 1.0, 80.0, 100.0, 101.0, 1000.0, 5000.0, 20000.0])
    expected = [3 * SMALLEST_KM, 3 * SMALLEST_KM, 240, 300, 202, 2000, 5500, FARTHEST_KM]
    np.testing.assert_allclose(radii.of(credible), expected)


def test_a_calibration_states_multiples_of_the_credible_radii():
    posterior = posterior_of_case(example(3))
    points = np.zeros(len(posterior.groups), dtype=int)
    half, most = credible_radius_km(posterior, points, 0.5, 0.9)
    radius, radius_90 = stated_radii_km(posterior, points, CALIBRATED)
    for i in range(len(points)):
        narrow, wide = (max(0.0 if np.isnan(r[i]) else r[i], SMALLEST_KM) for r in (half, most))
        expected = min(narrow * (0.5 if narrow > 300 else 3), FARTHEST_KM)
        assert radius[i] == pytest.approx(expected)
        assert radius_90[i] == pytest.approx(max(min(1.25 * wide, FARTHEST_KM), expected))


def test_the_radius_of_90_percent_is_no_smaller():
    posterior = posterior_of_case(example(3))
    points = np.zeros(len(posterior.groups), dtype=int)
    narrow = ConformalRadii((), (1e-6,))
    settings = RankingSettings(calibration=Calibration(9, ConformalRadii(), narrow))
    radius, radius_90 = stated_radii_km(posterior, points, settings)
    np.testing.assert_array_equal(radius_90, radius)


def test_without_a_calibration_no_radius_is_stated():
    posterior = posterior_of_case(example(3))
    points = np.zeros(len(posterior.groups), dtype=int)
    for none in stated_radii_km(posterior, points, RankingSettings()):
        assert np.isnan(none).all()


@pytest.mark.parametrize(
    ("bounds", "factors"),
    [((), ()), ((5.0,), (1.0,)), ((9.0, 5.0), (1.0, 1.0, 1.0)), ((), (0.0,)), ((), (np.nan,))],
)
def test_impossible_radii_are_refused(bounds, factors):
    with pytest.raises(GeoclipError, match=r"rising bounds|no number above 0"):
        ConformalRadii(bounds, factors)


def test_a_calibration_is_of_some_photos_and_of_a_joint_ranking():
    with pytest.raises(GeoclipError, match="not on 0"):
        Calibration(0)
    with pytest.raises(GeoclipError, match="greedy ranking has no calibration"):
        replace(CALIBRATED, method="greedy")
    with pytest.raises(GeoclipError, match="radius_share beside its calibration"):
        replace(CALIBRATED, radius_share=0.5)
    with pytest.raises(GeoclipError, match="give a Calibration"):
        RankingSettings(calibration=70)  # type: ignore[arg-type]


def test_another_method_or_posterior_states_no_radius():
    assert CALIBRATED.calibrated
    for other in (CALIBRATED.without_radius(), CALIBRATED.overridden("greedy")):
        assert not other.calibrated
    warm = replace(CALIBRATED, temperatures=Temperatures(2.0))
    assert warm.without_radius().temperatures == Temperatures(2.0)
