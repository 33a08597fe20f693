"""The nearest point against a search through all of them."""

import numpy as np
import pytest

from geoclip.errors import GeoclipError
from geoclip.places.nearest import CountryPoints, PointTree
from geoclip.places.sphere import great_circle_km


def test_nearest_equals_a_search_through_all_points():
    rng = np.random.default_rng(0)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, (2, 40)))), rng.uniform(-400, 400, (2, 40))
    positions, km = PointTree(lat[0], lon[0]).nearest(lat[1], lon[1])
    every = great_circle_km(lat[1][:, None], lon[1][:, None], lat[0], lon[0])
    assert positions.tolist() == every.argmin(axis=1).tolist()
    assert km == pytest.approx(every.min(axis=1), abs=1e-3)


def test_shapes_and_impossible_points():
    tree = PointTree([0.0, 10.0], [0.0, 179.9])
    position, km = tree.nearest(10.0, -179.9)  # across the date line
    assert (position, km) == (1, pytest.approx(21.9, abs=0.1))
    assert tree.nearest(np.zeros((2, 3)), 5.0)[0].shape == (2, 3)
    with pytest.raises(GeoclipError, match="latitudes from -90 to 90"):
        tree.nearest(90.1, 0.0)


def test_the_country_of_the_nearest_point_within_a_distance():
    points = CountryPoints(PointTree([0.0, 10.0], [0.0, 0.0]), np.array(["AX", "BX"], object))
    lat, lon = np.array([1.0, 9.0, 60.0]), np.zeros(3)
    assert points.country_of(lat, lon, 200).tolist() == ["AX", "BX", ""]
    assert points.country_of(lat, lon, np.inf).tolist() == ["AX", "BX", "BX"]
