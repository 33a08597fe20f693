"""Country of a point by the outlines, against a slow loop and known places."""

import numpy as np
import pytest

gpd = pytest.importorskip("geopandas")
import shapely  # noqa: E402

from geoclip.errors import GeoclipError  # noqa: E402
from geoclip.places.gazetteer import Gazetteer  # noqa: E402
from geoclip.places.outlines import CITY_KM, COAST_DEGREES, Outlines  # noqa: E402
from geoclip.places.sphere import great_circle_km  # noqa: E402

KNOWN = {
    "Lyon": (45.76, 4.84, "FR"),
    "Hong Kong": (22.28, 114.16, "HK"),
    "Macau": (22.19, 113.54, "MO"),
    "San Juan": (18.46, -66.10, "PR"),
    "Saint-Denis": (-20.88, 55.45, "RE"),
    "Pointe-à-Pitre": (16.24, -61.53, "GP"),
    "Fort-de-France": (14.60, -61.07, "MQ"),
    "Cayenne": (4.92, -52.31, "GF"),
    "Dzaoudzi": (-12.79, 45.27, "YT"),
    "Kralendijk": (12.15, -68.27, "BQ"),
    "Longyearbyen": (78.22, 15.65, "SJ"),
    "Jan Mayen": (71.0, -8.4, "SJ"),
    "Bouvet Island": (-54.42, 3.36, "BV"),
    "Atafu": (-8.56, -172.50, "TK"),
    "Christmas Island": (-10.42, 105.68, "CX"),
    "Cocos": (-12.15, 96.83, "CC"),
    "Nuuk": (64.18, -51.72, "GL"),
    "Suva": (-18.14, 178.44, "FJ"),
    "Taveuni, east of the date line": (-16.85, -179.97, "FJ"),
    "Taveuni, on it": (-16.85, 180.0, "FJ"),
    "Chukotka": (66.5, -175.0, "RU"),
    "McMurdo": (-77.846, 166.676, "AQ"),
    "the south pole": (-90.0, 0.0, "AQ"),
    "Pristina": (42.66, 21.17, "XK"),
    "Hargeisa": (9.56, 44.06, "SO"),
    "Vatican": (41.903, 12.453, "VA"),
    "mid-Atlantic": (0.0, -30.0, ""),
    "the north pole": (90.0, 0.0, ""),
}


@pytest.fixture(scope="module")
def world() -> Gazetteer:
    return Gazetteer.default()


@pytest.fixture(scope="module")
def outlines() -> Outlines:
    return Outlines.default()


@pytest.mark.parametrize("name", KNOWN)
def test_known_places(world, outlines, name):
    lat, lon, code = KNOWN[name]
    assert outlines.country_of(lat, lon, world.country_points()) == code
    assert outlines.country_of(lat, lon + 360, world.country_points()) == code


def test_every_country_has_a_valid_outline(world, outlines):
    codes = world.ids[world.level_rows("country")]
    assert sorted(outlines.frame["country_code"]) == sorted(codes)
    assert outlines.frame.geometry.is_valid.all()
    assert repr(outlines).startswith("Outlines(250 countries, ")


def test_cities_lie_in_their_countries(world, outlines):
    cities = world.level_rows("city")
    found = outlines.country_of(world.lat[cities], world.lon[cities], world.country_points())
    assert np.array_equal(found, world.country_codes[cities])


def slow_country_of(world, outlines, lat, lon, max_km):
    """One point at a time, over whole countries and all cities."""
    cities = world.level_rows("city")
    km = great_circle_km(lat, lon, world.lat[cities], world.lon[cities])
    if km.min() <= CITY_KM:
        return {world.country_codes[cities[km.argmin()]]}
    point = shapely.Point(lon, lat)
    away = outlines.frame.geometry.distance(point).to_numpy()
    if away.min() <= COAST_DEGREES:
        return {
            code
            for code, d in zip(outlines.frame.country_code, away, strict=True)
            if d <= away.min()
        }
    return {world.country_codes[cities[km.argmin()]] if km.min() <= max_km else ""}


@pytest.mark.filterwarnings("ignore:Geometry is in a geographic CRS")
def test_equals_the_slow_loop(world, outlines):
    rng = np.random.default_rng(3)
    rows = rng.choice(world.level_rows("city"), 60)
    near_cities = world.lat[rows] + rng.normal(0, 0.3, 60), world.lon[rows] + rng.normal(0, 0.3, 60)
    anywhere = np.degrees(np.arcsin(rng.uniform(-1, 1, 60))), rng.uniform(-180, 180, 60)
    lat = np.clip(np.concatenate([near_cities[0], anywhere[0]]), -90, 90)
    lon = (np.concatenate([near_cities[1], anywhere[1]]) + 180) % 360 - 180
    found = outlines.country_of(lat, lon, world.country_points(), max_km=300)
    for code, phi, lam in zip(found, lat, lon, strict=True):
        assert code in slow_country_of(world, outlines, phi, lam, 300)


def test_shapes_nan_and_nothing(world, outlines):
    assert isinstance(outlines.country_of(45.76, 4.84, world.country_points()), str)
    codes = outlines.country_of([[45.76, np.nan]], [[4.84, 4.84]], world.country_points())
    assert codes.tolist() == [["FR", ""]]
    assert outlines.country_of([], [], world.country_points()).shape == (0,)


@pytest.fixture
def squares(tmp_path) -> Outlines:
    """Two unit squares that share a border."""
    frame = gpd.GeoDataFrame(
        {"country_code": ["FR", "DE"]},
        geometry=[shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)],
        crs="EPSG:4326",
    )
    frame.to_parquet(tmp_path / "squares.parquet")
    return Outlines.read(tmp_path / "squares.parquet")


def test_coast_then_city_then_sea(world, squares):
    assert squares.country_of(0.5, 0.5, world.country_points()) == "FR"
    assert squares.country_of(0.5, 1.0, world.country_points()) == "FR"  # on the border: the first
    assert squares.country_of(1.04, 1.5, world.country_points()) == "DE"  # off the coast
    assert squares.country_of(51.5, -0.12, world.country_points()) == "GB"  # a city's
    assert squares.country_of(0.5, 2.5, world.country_points(), max_km=1) == ""


def test_bad_files_are_named(tmp_path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"not parquet")
    with pytest.raises(GeoclipError, match=r"broken\.parquet: the outlines cannot be read"):
        Outlines.read(broken)
    frame = gpd.GeoDataFrame({"iso": ["FR"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    frame.to_parquet(tmp_path / "other.parquet")
    with pytest.raises(GeoclipError, match="'country_code' is missing"):
        Outlines.read(tmp_path / "other.parquet")
    with pytest.raises(GeoclipError, match="cannot be read"):
        Outlines.read(tmp_path / "absent.parquet")


def test_without_cities_only_outlines_count(squares):
    found = squares.country_of([0.5, 1.04, 51.5], [0.5, 1.5, -0.12])
    assert found.tolist() == ["FR", "DE", ""]
