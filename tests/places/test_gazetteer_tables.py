import pandas as pd
import pytest

from geoclip.places.gazetteer_tables import representative_points


def test_point_is_the_city_nearest_to_the_weighted_mean():
    cities = pd.DataFrame(
        {
            "code": ["A", "A", "A", "B", "B"],
            "lat": [0.0, 0.0, 0.0, 10.0, 10.0],
            "lon": [0.0, 4.0, 10.0, 179.0, -179.0],
            "population": [10, 0, 10, 0, 0],
        }
    )
    points = representative_points(cities, "code")
    assert tuple(points.loc["A"]) == (0.0, 4.0, 20)  # the mean is at lon 5
    assert abs(points.loc["B", "lon"]) == pytest.approx(179)  # not at lon 0
