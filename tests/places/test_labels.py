"""The place of a geotagged photo."""

import numpy as np
import pandas as pd
import pytest

from geoclip.errors import GeoclipError
from geoclip.places.labels import place_rows, places_and_abroad

NAN = float("nan")


def photos(*rows: tuple[float, float, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["lat", "lon", "country_code"])
    return frame.assign(photo_id=[f"{i}.jpg" for i in range(len(rows))])


def places(gazetteer, *rows: tuple[float, float, str]) -> list[str]:
    return gazetteer.ids[place_rows(photos(*rows), gazetteer)].tolist()


def test_the_nearest_city_of_the_given_country(small_gazetteer):
    # On the border of Hong Kong and Shenzhen each point is nearest to the other side's city.
    border = (22.5, 114.1)
    assert places(small_gazetteer, (*border, "HK"), (*border, "CN")) == ["kowloon", "shenzhen"]
    assert places(small_gazetteer, (45.76, 4.84, "FR"), (45.76, 4.84, "NL")) == [
        "lyon",
        "amsterdam",
    ]


def test_without_a_code_the_outlines_say_the_country(small_gazetteer):
    # The second is nearer to Shenzhen.
    assert places(small_gazetteer, (22.60, 114.10, ""), (22.50, 114.05, "")) == [
        "shenzhen",
        "kowloon",
    ]
    # Belgium is not in this gazetteer, and the open sea in no country: the nearest city of all.
    assert places(small_gazetteer, (50.85, 4.35, ""), (-30.0, 60.0, "")) == ["amsterdam", "denis3"]


def test_territories(small_gazetteer):
    reunion = (-21.1, 55.5)
    assert (
        places(small_gazetteer, (*reunion, "RE"), (*reunion, "FR"), (*reunion, ""))
        == ["denis3"] * 3
    )  # its photos are given as French too
    assert places(small_gazetteer, (22.32, 114.18, "CN"), (48.85, 2.35, "RE")) == [
        "kowloon",
        "denis3",
    ]
    # On the mainland, though the nearest city is Hong Kong's.
    assert places(small_gazetteer, (22.55, 114.5, "CN")) == ["shenzhen"]


def test_country_only(small_gazetteer):
    rows = [(NAN, NAN, "FR"), (45.76, 4.84, "FR"), (NAN, NAN, "BV")]
    assert places(small_gazetteer, *rows) == ["FR", "lyon", "BV"]


def test_a_country_without_a_city_has_its_own_row(small_gazetteer):
    assert places(small_gazetteer, (-54.4, 3.4, "BV")) == ["BV"]


@pytest.mark.parametrize("where", [(45.0, 5.0), (NAN, NAN)])
@pytest.mark.parametrize("code", ["XX", "FR.84", "lyon"])
def test_an_unknown_code_is_refused(small_gazetteer, where, code):
    table = photos((45.0, 5.0, "FR"), (*where, code), (*where, code))
    with pytest.raises(GeoclipError, match=r"photo 1\.jpg has the country_code") as caught:
        place_rows(table, small_gazetteer)
    assert repr(code) in str(caught.value)
    assert ": 2)" in str(caught.value)


def test_neither_coordinates_nor_code_is_refused(small_gazetteer):
    with pytest.raises(GeoclipError, match=r"photo 0\.jpg"):
        place_rows(photos((NAN, NAN, "")), small_gazetteer)


def test_no_photos_and_the_table_stays_as_it_was(small_gazetteer):
    assert place_rows(photos(), small_gazetteer).tolist() == []
    table = photos((45.76, 4.84, ""), (NAN, NAN, "FR")).set_index(pd.Index([7, 3]))
    before = table.copy()
    assert small_gazetteer.ids[place_rows(table, small_gazetteer)].tolist() == ["lyon", "FR"]
    pd.testing.assert_frame_equal(table, before)


def test_the_packaged_world(world):
    table = photos(
        (49.60, 6.13, ""),  # Luxembourg
        (43.7384, 7.4246, ""),  # Monaco, with France all round
        (43.7384, 7.4246, "FR"),
        (-21.1, 55.5, ""),
        (42.444, 1.49, "ES"),
        (-77.85, 166.67, "AQ"),  # McMurdo: no city is listed there
        (-16.85, 179.99, ""),  # at the date line
    )
    rows = place_rows(table, world)
    assert world.country_codes[rows].tolist() == ["LU", "MC", "FR", "RE", "ES", "AQ", "FJ"]
    assert world.levels[rows].tolist() == [2, 2, 2, 2, 2, 0, 2]


BORDER = {
    "El Paso": (31.75872, -106.48693, "US"),
    "Konstanz": (47.66033, 9.17582, "DE"),
    "Goma": (-1.67409, 29.22845, "CD"),
    "Gibraltar": (36.14474, -5.35257, "GI"),
    "Narva": (59.37722, 28.19028, "EE"),
    "Słubice": (52.35013, 14.56195, "PL"),
}


@pytest.mark.parametrize("city", BORDER)
def test_a_city_at_a_border_is_in_its_own_country(world, city):
    lat, lon, code = BORDER[city]
    near = [(lat, lon, ""), (lat + 0.002, lon, ""), (lat, lon - 0.003, "")]
    rows, abroad = places_and_abroad(photos(*near), world)
    assert world.country_codes[rows].tolist() == [code] * 3
    assert world.names[rows[0]] == city
    assert not abroad.any()


def test_a_point_at_sea_is_in_no_country(world):
    atlantic, azores, pacific, given = (
        (30, -40, ""),
        (37.5, -25.2, ""),
        (0, -140, ""),
        (30, -40, "PT"),
    )
    _, abroad = places_and_abroad(photos(atlantic, azores, pacific, given), world)
    assert abroad.tolist() == [True, False, True, False]


def test_a_place_is_the_nearest_of_its_country_by_brute_force(world):
    rng = np.random.default_rng(5)
    cities = rng.choice(world.level_rows("city"), 40)
    lat = np.clip(world.lat[cities] + rng.normal(0, 0.4, 40), -89, 89)
    lon = world.lon[cities] + rng.normal(0, 0.4, 40)
    table = pd.DataFrame(
        {"lat": lat, "lon": lon, "country_code": world.country_codes[cities], "photo_id": "p"}
    )
    from geoclip.places.sphere import great_circle_km

    for row, (a, b, code) in zip(
        place_rows(table, world), table[["lat", "lon", "country_code"]].to_numpy(), strict=True
    ):
        own = [r for r in world.level_rows("city") if world.country_codes[r] == code]
        km = great_circle_km(a, b, world.lat[own], world.lon[own])
        assert great_circle_km(a, b, world.lat[row], world.lon[row]) == pytest.approx(km.min())


def test_a_stated_place_is_the_place(small_gazetteer):
    rows = [(45.76, 4.84, ""), (NAN, NAN, ""), (45.76, 4.84, "FR"), (NAN, NAN, "CN")]
    stated = photos(*rows).assign(place_id=["paris", "FR.84", "", ""])
    found = small_gazetteer.ids[place_rows(stated, small_gazetteer)].tolist()
    assert found == ["paris", "FR.84", "lyon", "CN"]
    with pytest.raises(GeoclipError, match="no place with the id 'Lyon'"):
        place_rows(stated.assign(place_id="Lyon"), small_gazetteer)
