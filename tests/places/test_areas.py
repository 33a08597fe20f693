"""Polygons of many kinds are one area; points in it are those of a loop."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.places.areas import in_area, read_area
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.narrowing import prior

TRIANGLE = shapely.Polygon([(0, 40), (10, 40), (5, 52)])


@pytest.fixture(scope="module")
def world() -> Gazetteer:
    return Gazetteer.default()


def test_every_form_of_a_polygon_is_the_same_area(tmp_path):
    frame = gpd.GeoDataFrame({"name": ["a"]}, geometry=[TRIANGLE], crs="EPSG:4326")
    for name in ("area.geojson", "area.gpkg", "area.shp"):
        frame.to_file(tmp_path / name)
    frame.to_parquet(tmp_path / "area.parquet")
    geojson = json.loads(frame.to_json())
    forms = [
        *(TRIANGLE, frame, frame.geometry, frame.to_crs("EPSG:3857"), geojson),
        *(geojson["features"][0], geojson["features"][0]["geometry"]),
        *(tmp_path / name for name in ("area.geojson", "area.gpkg", "area.shp")),
        str(tmp_path / "area.parquet"),
    ]
    for form in forms:
        assert read_area(form).symmetric_difference(TRIANGLE).area < 1e-6


def test_several_polygons_are_one_area_and_a_bow_tie_is_mended():
    both = gpd.GeoSeries([shapely.box(0, 0, 1, 1), None, shapely.box(5, 5, 6, 6)])
    assert read_area(both).area == 2
    assert read_area(shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])).area == 2


@pytest.mark.parametrize(
    ("area", "why"),
    [
        (7, "is no polygon"), ({"type": "Nonsense"}, "is no polygon"), ([1, 2], "is no polygon"),
        (shapely.Point(1, 2), "no area"), (gpd.GeoSeries([]), "no area"),
        (shapely.Polygon(), "no area"), ("gone.geojson", "does not exist"),
        (shapely.box(500_000, 5_000_000, 600_000, 5_100_000), "EPSG:4326"),
    ],
)  # fmt: skip
def test_what_is_no_area_is_refused(area, why):
    with pytest.raises(GeoclipError, match=why):
        read_area(area)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.geojson").write_text("no polygon")
    with pytest.raises(GeoclipError, match=r"notes\.geojson holds no readable polygons"):
        read_area(tmp_path / "notes.geojson")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(GeoclipError, match=r"plain\.parquet holds no readable polygons"):
        read_area(tmp_path / "plain.parquet")


@settings(max_examples=25)
@given(
    st.floats(-180, 180), st.floats(0.1, 179), st.floats(-60, 30), st.floats(0.1, 50)
)  # fmt: skip
def test_a_box_is_a_polygon(world, west, width, south, height):
    """Also across the date line, where the polygon's longitudes pass 180."""
    box = (west, south, west + width, south + height)
    asked = {"bbox": (west, south, west + width, south + height)}
    try:
        expected = prior(world, **asked)
    except GeoclipError:
        with pytest.raises(GeoclipError, match="polygon given"):
            prior(world, polygon=shapely.box(*box))
        return
    assert np.array_equal(prior(world, polygon=shapely.box(*box)), expected)


def test_points_inside_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(38, 54, 500), rng.uniform(-2, 12, 500)
    slow = [TRIANGLE.contains(shapely.Point(x, y)) for x, y in zip(lon, lat, strict=True)]
    assert in_area(TRIANGLE, lat, lon).tolist() == slow
    assert 0 < sum(slow) < 500
