import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.planet.canvas import LANE_OFFSET, UNITS, Canvas, View, mixed, rgb, tinted
from pipelines.planet.climate import Climate
from pipelines.planet.facts import CountryFacts
from pipelines.planet.traits import SceneTraits

NUMBERS = st.floats(-50, 50)


def view(drives_on: str) -> View:
    traits = SceneTraits(
        CountryFacts("XX", drives_on), Climate(20.0, 0.2, 0.3, 1.0), {"walls": 1.5}
    )
    return View(traits, horizon=54, vanishing_x=60, snow=False)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_any_trait_gives_a_colour(warm, green, light):
    assert all(0 <= value <= 255 for value in tinted((120, 120, 120), warm, green, light))


def test_traits_move_colours_their_way():
    grey = (120, 120, 120)
    assert tinted(grey) == grey
    assert tinted(grey, warm=1)[0] > 120 > tinted(grey, warm=1)[2]
    assert tinted(grey, green=1)[1] > 120 > tinted(grey, green=1)[0]
    assert min(tinted(grey, light=1)) > 120


def test_mixing_and_clipping():
    assert mixed((0, 0, 0), (100, 50, 10), 0.5) == (50, 25, 5)
    assert rgb((-5, 300, 7.9)) == (0, 255, 7)


def test_the_canvas_scales_units_to_pixels():
    for pixels in (64, 128):
        canvas = Canvas(Image.new("RGB", (pixels, pixels)))
        canvas.box(0, 0, UNITS / 2 - 2, UNITS, (255, 255, 255))
        white = np.asarray(canvas.image)[..., 0] == 255
        assert white[:, : pixels // 2 - 2].all() and not white[:, pixels // 2 :].any()


def test_a_box_without_extent_draws_nothing():
    canvas = Canvas(Image.new("RGB", (32, 32)))
    canvas.box(50, 50, 40, 90, (255, 255, 255))
    assert not np.asarray(canvas.image).any()


@pytest.mark.parametrize(("drives_on", "side"), [("right", 1), ("left", -1)])
def test_the_camera_is_in_its_own_lane(drives_on, side):
    seen = view(drives_on)
    assert seen.side == side
    assert seen.road_x(UNITS, 0) == pytest.approx(UNITS / 2 - side * LANE_OFFSET)
    assert seen.road_x(seen.horizon, -1) == seen.road_x(seen.horizon, 1) == 60
    assert seen.road_x(90, -1) < seen.road_x(90, 0) < seen.road_x(90, 1)


def test_depth_grows_from_the_horizon_to_the_bottom():
    assert view("left").depth(54) == 0 and view("left").depth(UNITS) == 1
    assert view("left").style("walls") == 1.5
