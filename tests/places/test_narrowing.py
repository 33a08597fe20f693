"""Priors over places against loops written from their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.narrowing import country_code, prior
from geoclip.places.sphere import great_circle_km


@pytest.fixture(scope="module")
def world() -> Gazetteer:
    return Gazetteer.default()


def names(world, weights, level):
    rows = world.level_rows(level)
    return set(world.ids[rows[weights[rows] > 0]])


def test_nothing_asked_for_is_everything(world):
    assert np.array_equal(prior(world), np.ones(len(world)))


def test_countries_leave_territories_out_unless_asked(world):
    assert names(world, prior(world, countries=["FR", "de"]), "country") == {"FR", "DE"}
    with_them = names(world, prior(world, countries=["FR"], territories=True), "country")
    assert {"FR", "RE", "GP", "PF"} <= with_them and "DE" not in with_them
    assert names(world, prior(world, countries="Réunion"), "country") == {"RE"}


def test_a_country_without_cities_can_be_named(world):
    assert prior(world, countries=["AQ"]).sum() == 1


def test_codes_and_names_of_countries(world):
    assert country_code(world, " fr ") == country_code(world, "FRANCE") == "FR"
    assert country_code(world, "reunion") == "RE"
    with pytest.raises(GeoclipError, match="did you mean DE"):
        country_code(world, "Germny")
    with pytest.raises(GeoclipError, match="no country 'QQQQ'"):
        prior(world, countries=["QQQQ"])


def test_box_across_the_date_line(world):
    weights = prior(world, bbox=(177, -20, -178, -15))
    assert names(world, weights, "country") == {"FJ"}
    everything_but = prior(world, bbox=(-178, -20, 177, -15))
    assert "FJ" not in names(world, everything_but, "country")
    whole_band = prior(world, bbox=(-180, -20, 180, -15))
    assert np.array_equal(np.maximum(weights, everything_but), whole_band)


@settings(max_examples=30)
@given(
    st.floats(-180, 180), st.floats(0, 359), st.floats(-60, 30), st.floats(0, 50)
)  # fmt: skip
def test_box_equals_stepping_round(world, west, width, south, height):
    east = (west + width + 180) % 360 - 180
    cities = world.level_rows("city")
    lat, lon = world.lat[cities], world.lon[cities]
    across = (lon >= west) | (lon <= east) if east < west else (lon >= west) & (lon <= east)
    expected = across & (lat >= south) & (lat <= south + height)
    if not expected.any():
        return
    weights = prior(world, bbox=(west, south, east, south + height))
    assert np.array_equal(weights[cities] > 0, expected)


def test_circle_keeps_cities_within_and_their_ancestors(world):
    weights = prior(world, near=(45.75, 4.85, 60))
    cities = world.level_rows("city")
    km = great_circle_km(45.75, 4.85, world.lat[cities], world.lon[cities])
    assert np.array_equal(weights[cities] > 0, km <= 60)
    assert names(world, weights, "country") == {"FR"}
    assert "FR.84" in names(world, weights, "region")


def test_conditions_are_joined_by_and(world):
    weights = prior(world, countries=["CH"], near=(46.2, 6.15, 50))
    assert names(world, weights, "country") == {"CH"}
    assert len(names(world, weights, "city")) < 50


@pytest.mark.parametrize(
    "narrowing",
    [
        {"near": (0, -30, 10)}, {"near": (91, 0, 10)}, {"near": (0, 0, -1)},
        {"bbox": (0, 50, 10, 40)}, {"bbox": (0, float("nan"), 1, 1)},
        {"countries": []}, {"countries": ["FR"], "near": (0, 0, 5)},
    ],
)  # fmt: skip
def test_impossible_narrowing_is_refused(world, narrowing):
    with pytest.raises(GeoclipError):
        prior(world, **narrowing)
