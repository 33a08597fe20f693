"""Cities and regions by name: listed ones, and the errors for others."""

import numpy as np
import pytest

from geoclip.errors import GeoclipError
from geoclip.places.country_names import comparable
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.named_places import circle_about, region_row
from geoclip.places.narrowing import prior
from geoclip.places.sphere import great_circle_km


@pytest.fixture(scope="module")
def world() -> Gazetteer:
    return Gazetteer.default()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Gazetteer:
    """Springfields: two apart in one region, two side by side, one alone in its country."""
    rows = [
        "name,lat,lon,region,country_code,population",
        "Springfield,40,-89,Illinois,US,9", "Springfield,42,-88,Illinois,US,8",
        "Springfield,44,-123,Oregon,US,7", "Springfield,44.1,-123,Oregon,US,6",
        "Springfield,50,-97,Manitoba,CA,5",
    ]  # fmt: skip
    file = tmp_path_factory.mktemp("places") / "few.csv"
    file.write_text("\n".join(rows))
    return Gazetteer.read(file)


@pytest.mark.parametrize(
    ("words", "lat", "lon", "km"),
    [
        ("Zagreb", 45.81, 15.98, 50), ("zagreb,20", 45.81, 15.98, 20), ("Agram", 45.81, 15.98, 50),
        ("Paris, FR", 48.85, 2.35, 50), ("Paris, Frankreich, 7.5", 48.85, 2.35, 7.5),
        ("Paris, Texas", 33.66, -95.56, 50), ("Paris, TX, US", 33.66, -95.56, 50),
        ("Nan", 18.78, 100.78, 50),
    ],
)  # fmt: skip
def test_a_city_by_its_name(
    world: Gazetteer, words: str, lat: float, lon: float, km: float
) -> None:
    assert circle_about(world, words) == (
        pytest.approx(lat, abs=0.01), pytest.approx(lon, abs=0.01), km,
    )  # fmt: skip


def test_near_a_city_is_near_its_point(world: Gazetteer) -> None:
    lat, lon, km = circle_about(world, "Lyon, 60")
    assert np.array_equal(prior(world, near="Lyon, 60"), prior(world, near=(lat, lon, km)))
    cities = world.level_rows("city")
    left = cities[prior(world, near="Zagreb")[cities] > 0]
    away = great_circle_km(45.81444, 15.97798, world.lat[left], world.lon[left])
    assert len(left) > 5 and away.max() <= 50
    assert {"HR"} <= set(world.country_codes[left]) <= {"HR", "SI"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Paris", ["'Paris, FR'", "'Paris, US'"]),
        ("Paris, Spain", ["is not a city there", "'Paris, FR'"]),
        ("Zagrebb", ["no city 'Zagrebb'", "did you mean Zagreb"]),
        ("", ["LAT,LON,KM"]), (",", ["LAT,LON,KM"]), ("5", ["LAT,LON,KM"]),
    ],
)  # fmt: skip
def test_other_names_get_what_to_write(world: Gazetteer, words: str, told: list[str]) -> None:
    with pytest.raises(GeoclipError) as refused:
        prior(world, near=words)
    assert all(part in str(refused.value) for part in told)


def test_each_candidate_that_is_told_is_taken(few: Gazetteer) -> None:
    """One of two neighbours is enough; a place without its own name is given by its point."""
    with pytest.raises(GeoclipError) as refused:
        circle_about(few, "Springfield, 30")
    assert str(refused.value).endswith(
        "write one of 40.000,-89.000,30; 42.000,-88.000,30; 'Springfield, Oregon, US'; "
        "'Springfield, CA', or LAT,LON,KM."
    )
    assert circle_about(few, "Springfield, Oregon, US, 30") == (44, -123, 30)
    assert circle_about(few, "Springfield, CA") == (50, -97, 50)


@pytest.mark.parametrize("words", ["Windsor, CA", "Eldorado", "Pedregal"])
def test_a_told_code_is_not_also_that_of_a_region(world: Gazetteer, words: str) -> None:
    """CA is Canada and California, AR Argentina and Arkansas; Panamá is a region of Panama."""
    with pytest.raises(GeoclipError) as refused:
        circle_about(world, words)
    told = str(refused.value).split("write one of ")[1].removesuffix(", or LAT,LON,KM.").split("; ")
    named = [one.strip("'") for one in told if one.startswith("'")]
    places = [circle_about(world, one) for one in named]
    assert len(set(places)) == len(named) > 0


def test_a_region_narrows_as_a_country_does(world: Gazetteer) -> None:
    cities = world.level_rows("city")
    region = np.array([world.ids[row] for row in world.ancestors[cities, 1]], dtype=object)
    for word, code in (("England", "GB.ENG"), ("bavaria", "DE.02"), ("US.GA", "US.GA")):
        left = prior(world, countries=[word])
        assert set(world.ids[cities[left[cities] > 0]]) == set(world.ids[cities[region == code]])
    both = prior(world, countries=["Scotland", "IE"])
    assert np.array_equal(
        both, np.maximum(*(prior(world, countries=[w]) for w in ("Scotland", "IE")))
    )
    assert (
        prior(world, countries=["Georgia"])[world.rows(["GE"])[0]] == 1
    )  # a country takes precedence


def test_regions_of_one_name(world: Gazetteer) -> None:
    with pytest.raises(GeoclipError, match=r"several regions: .*PK\.04 \(Punjab, PK\), IN\.23"):
        prior(world, countries=["Punjab"])
    regions = world.level_rows("region")
    names = [comparable(world.names[row]) for row in regions]
    alone = [row for row, name in zip(regions, names, strict=True) if names.count(name) == 1]
    for row in alone[::200]:
        assert region_row(world, world.names[row]) == row
    assert region_row(world, "Atlantis") is None
