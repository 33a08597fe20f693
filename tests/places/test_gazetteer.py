"""The gazetteer object, and the packaged data."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.place import LEVELS
from geoclip.places.sphere import great_circle_km


@pytest.fixture(scope="module")
def world() -> Gazetteer:
    return Gazetteer.default()


def test_packaged_counts(world):
    assert [len(world.level_rows(level)) for level in LEVELS] == [250, 2763, 34006]
    assert repr(world).startswith("Gazetteer(250 countries, 2,763 regions, 34,006 cities; ")
    assert len(world) == len(world.ids) == len(set(world.ids))


def test_rows_are_ordered_by_level(world):
    assert (np.diff(world.levels) >= 0).all()
    joined = np.concatenate([world.level_rows(level) for level in LEVELS])
    assert np.array_equal(joined, np.arange(len(world)))


def test_no_orphans_and_parents_stand_above(world):
    has_parent = world.parents >= 0
    assert np.array_equal(has_parent, world.levels > 0)
    assert (world.levels[world.parents[has_parent]] < world.levels[has_parent]).all()
    same = world.country_codes[world.parents[has_parent]] == world.country_codes[has_parent]
    assert same.all()


def test_ancestors_agree_with_walking_up(world):
    rng = np.random.default_rng(0)
    for row in rng.choice(len(world), 300, replace=False):
        chain = [row, *world.rows(world.parents_of(world.ids[row]))]
        expected = [-1, -1, -1]
        for step in chain:
            expected[world.levels[step]] = step
        assert world.ancestors[row].tolist() == expected


def test_children_are_the_inverse_of_parents(world):
    france = world.children("FR")
    assert "FR.84" in france
    assert all(world[child].parent_id == "FR" for child in france)
    assert "2996944" in world.children("FR.84")
    assert world.children("2996944") == []
    singapore = world.children("SG")
    assert {world[child].level for child in singapore} == {"city"}  # its districts have no names
    total = sum(len(world.children(place_id)) for place_id in world.ids[:3013])
    assert total == 2763 + 34006


def test_place_of_an_id(world):
    lyon = world["2996944"]
    assert (lyon.name, lyon.level, lyon.country_code, lyon.parent_id) == (
        "Lyon", "city", "FR", "FR.84",
    )  # fmt: skip
    assert world.parents_of("2996944") == ["FR.84", "FR"]
    assert world["FR"].parent_id is None
    assert "2996944" in world and "0" not in world and None not in world


def test_iteration_gives_places(world):
    places = list(itertools.islice(world, 3))
    assert [place.place_id for place in places] == world.ids[:3].tolist()


def test_unknown_id_is_named(world):
    with pytest.raises(GeoclipError, match="'nowhere'"):
        world.rows(["FR", "nowhere"])
    assert world.rows([]).shape == (0,)


@pytest.mark.parametrize(
    ("code", "name", "sovereign"),
    [
        ("HK", "Hong Kong", "CN"), ("MO", "Macau", "CN"), ("PR", "Puerto Rico", "US"),
        ("GL", "Greenland", "DK"), ("RE", "Réunion", "FR"), ("SJ", "Svalbard and Jan Mayen", "NO"),
        ("TR", "Turkey", "TR"), ("US", "United States", "US"), ("NA", "Namibia", "NA"),
        ("CZ", "Czechia", "CZ"), ("KR", "South Korea", "KR"), ("NL", "Netherlands", "NL"),
        ("XK", "Kosovo", "XK"), ("TW", "Taiwan", "TW"),
    ],
)  # fmt: skip
def test_countries_and_territories(world, code, name, sovereign):
    row = world.rows([code])[0]
    assert (world.names[row], world.sovereigns[row], world.levels[row]) == (name, sovereign, 0)


def test_ascii_names_are_ascii_and_filled(world):
    assert all(name.isascii() and name for name in world.ascii_names)
    assert world.ascii_names[world.rows(["RE"])[0]] == "Reunion"
    assert world.ascii_names[world.rows(["3093133"])[0]] == "Lodz"


def test_parents_points_are_points_of_their_cities(world):
    for row in world.rows(["FR", "FR.84", "FJ", "RU", "RU.44", "KI"]):
        cities = np.flatnonzero((world.ancestors[:, :2] == row).any(axis=1) & (world.levels == 2))
        km = great_circle_km(world.lat[row], world.lon[row], world.lat[cities], world.lon[cities])
        assert km.min() == 0


def test_nearest_known_places(world):
    ids, km = world.nearest([45.76, -18.14, 22.28], [4.84, 178.44, 114.16])
    assert world["2198148"].name == "Suva"
    assert ids[1] == "2198148"
    assert [world[place_id].country_code for place_id in ids] == ["FR", "FJ", "HK"]
    assert (km < 5).all()


def test_nearest_takes_scalars_and_any_shape(world):
    place_id, km = world.nearest(45.75, 4.85)
    assert isinstance(place_id, str) and km < 5
    ids, km = world.nearest(np.zeros((2, 3)), 10.0)
    assert ids.shape == km.shape == (2, 3)
    ids, km = world.nearest([], [])
    assert ids.shape == km.shape == (0,)
    assert world.nearest(45.75, 4.85, level="country")[0] in {"FR", "CH", "MC", "LU"}


@pytest.mark.parametrize(("lat", "lon"), [(91, 0), (np.nan, 0), (0, np.inf), ([0, -90.5], [0, 0])])
def test_nearest_refuses_impossible_points(world, lat, lon):
    with pytest.raises(GeoclipError, match="latitudes from -90 to 90"):
        world.nearest(lat, lon)


@settings(max_examples=100)
@given(
    st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 89.99, -17.0])),
    st.one_of(st.floats(-540, 540), st.sampled_from([-180.0, 180.0, 179.999, -179.999])),
    st.sampled_from(LEVELS),
)
def test_nearest_equals_brute_force(world, lat, lon, level):
    rows = world.level_rows(level)
    brute = great_circle_km(lat, lon, world.lat[rows], world.lon[rows])
    row, km = world.nearest_rows(lat, lon, level)
    assert km == pytest.approx(brute.min(), abs=1e-3)
    assert brute[row - rows[0]] == pytest.approx(brute.min(), abs=1e-3)


def test_fingerprint_changes_with_the_data(world):
    from geoclip.places.gazetteer_tables import default_folder, read_folder

    places, _ = read_folder(default_folder())
    assert Gazetteer(places).fingerprint == world.fingerprint
    seen = {world.fingerprint}
    for column, value in (("name", "X"), ("lat", 1.0), ("place_id", "X"), ("parent_id", "GB")):
        changed = places.copy()
        changed.loc[len(places) - 1, column] = value
        seen.add(Gazetteer(changed).fingerprint)
    assert len(seen) == 5


def test_alternate_names(world):
    names = world.alternate_names()
    assert list(names.columns) == ["place_id", "name"]
    assert len(names) > 50_000
    assert set(names["place_id"]) <= set(world.ids)
    assert names.groupby("place_id").size().max() <= 20
    folded = names.assign(name=names["name"].str.casefold())
    assert not folded.duplicated().any()
    assert not names["name"].str.fullmatch(r"[A-Z]{3}").any()
    by_name = set(zip(names["place_id"], names["name"], strict=True))
    assert {("2761369", "Wien"), ("3067696", "Praha")} <= by_name
