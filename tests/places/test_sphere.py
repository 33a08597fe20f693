"""Geometry on the sphere against slow independent formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.places.sphere import (
    EARTH_RADIUS_KM,
    chord_to_km,
    great_circle_km,
    spherical_mean,
    to_lat_lon,
    unit_vectors,
    wrap_longitude,
)

lats = st.floats(-90, 90)
lons = st.floats(-180, 180)
HALF_ROUND = math.pi * EARTH_RADIUS_KM


def slow_km(lat1, lon1, lat2, lon2):
    """Angle between two vectors from their cross and dot products, in plain Python."""

    def vector(lat, lon):
        phi, lam = math.radians(lat), math.radians(lon)
        return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)

    (a, b, c), (x, y, z) = vector(lat1, lon1), vector(lat2, lon2)
    cross = math.hypot(b * z - c * y, c * x - a * z, a * y - b * x)
    return EARTH_RADIUS_KM * math.atan2(cross, a * x + b * y + c * z)


@given(lats, lons, lats, lons)
def test_distance_equals_the_angle_between_vectors(lat1, lon1, lat2, lon2):
    expected = slow_km(lat1, lon1, lat2, lon2)
    # The haversine loses digits towards antipodes: 1e-8 of the half circumference.
    assert great_circle_km(lat1, lon1, lat2, lon2) == pytest.approx(expected, abs=5e-4)


@given(lats, lons, lats, lons)
def test_distance_is_symmetric_and_periodic(lat1, lon1, lat2, lon2):
    km = great_circle_km(lat1, lon1, lat2, lon2)
    assert 0 <= km <= HALF_ROUND + 1e-9
    assert great_circle_km(lat2, lon2, lat1, lon1) == pytest.approx(km, abs=1e-6)
    assert great_circle_km(lat1, lon1 + 360, lat2, lon2) == pytest.approx(km, abs=5e-4)


def test_known_distances():
    assert great_circle_km(0, 0, 0, 1) == pytest.approx(111.19493, abs=1e-5)
    assert great_circle_km(0, 179.5, 0, -179.5) == pytest.approx(111.19493, abs=1e-5)
    assert great_circle_km(90, 17, -90, -120) == pytest.approx(HALF_ROUND)
    assert great_circle_km(48.8566, 2.3522, 51.5074, -0.1278) == pytest.approx(343.56, abs=0.1)


def test_inputs_broadcast():
    assert great_circle_km(np.zeros((3, 1)), 0, np.zeros(4), np.arange(4)).shape == (3, 4)
    assert unit_vectors(np.zeros((2, 3)), 1.0).shape == (2, 3, 3)
    assert unit_vectors(0, 0).shape == (3,)


def test_axes():
    axes = unit_vectors([0, 0, 90], [0, 90, 0])
    np.testing.assert_allclose(axes, np.eye(3), atol=1e-15)


@given(lats, lons)
def test_vectors_there_and_back(lat, lon):
    back_lat, back_lon = to_lat_lon(3.5 * unit_vectors(lat, lon))
    assert -180 <= back_lon < 180
    assert great_circle_km(lat, lon, back_lat, back_lon) < 1e-6


@given(st.floats(-1e6, 1e6))
def test_wrapped_longitude_is_the_same_meridian(lon):
    wrapped = wrap_longitude(lon)
    assert -180 <= wrapped < 180
    assert math.cos(math.radians(wrapped - lon)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("lon", "wrapped"), [(180, -180), (-180, -180), (190, -170), (-190, 170), (540, -180), (7, 7)]
)
def test_wrap_at_the_date_line(lon, wrapped):
    assert wrap_longitude(lon) == wrapped
    assert np.array_equal(wrap_longitude([lon, 0]), [wrapped, 0])


def test_wrap_keeps_below_180_for_tiny_negative_sums():
    assert wrap_longitude(np.nextafter(-180, -181)) < 180


@given(lats, lons, st.floats(0.1, 1000))
def test_mean_of_one_point_is_the_point(lat, lon, weight):
    assert great_circle_km(*spherical_mean(lat, lon, [weight]), lat, lon) < 1e-5


def test_mean_crosses_the_date_line_and_the_pole():
    assert spherical_mean([10, 10], [170, -170])[1] == pytest.approx(-180)
    assert spherical_mean([80, 80, 80, 80], [0, 90, 180, -90])[0] == pytest.approx(90)


def test_mean_follows_the_weights():
    _, lon = spherical_mean([0, 0], [0, 90], [3, 1])
    assert lon == pytest.approx(math.degrees(math.atan2(1, 3)))


def test_mean_without_a_direction_is_the_first_point():
    assert spherical_mean([0, 0], [30, -150]) == pytest.approx((0, 30))
    assert spherical_mean([5, 6], [7, 8], [0, 0]) == pytest.approx((5, 7))
    with pytest.raises(ValueError, match="no points"):
        spherical_mean([], [])


@given(lats, lons, lats, lons)
def test_chord_is_the_straight_line(lat1, lon1, lat2, lon2):
    chord = np.linalg.norm(unit_vectors(lat1, lon1) - unit_vectors(lat2, lon2))
    assert chord_to_km(chord) == pytest.approx(great_circle_km(lat1, lon1, lat2, lon2), abs=5e-3)


def test_chords_stay_within_the_sphere():
    assert chord_to_km(2.0000001) == pytest.approx(HALF_ROUND)
