from dataclasses import replace

import numpy as np
import pytest

from pipelines.planet.climate import Climate, generator
from pipelines.planet.facts import CountryFacts
from pipelines.planet.scene import draw_scene, look
from pipelines.planet.traits import NAMES, SceneTraits

MILD = Climate(temperature=16.0, aridity=0.2, hilliness=0.3, sun=0.7)
PLAIN = SceneTraits(CountryFacts("XX"), MILD, dict.fromkeys(NAMES, 0.0))


def scenes(traits: SceneTraits, n: int = 24) -> np.ndarray:
    """Scenes (n, 64, 64, 3) as whole numbers, the same chance for whatever traits."""
    pictures = [np.asarray(draw_scene(traits, generator("test", i))) for i in range(n)]
    return np.stack(pictures).astype(int)


def with_facts(**changes) -> SceneTraits:
    return replace(PLAIN, facts=replace(PLAIN.facts, **changes))


def with_style(**changes) -> SceneTraits:
    return replace(PLAIN, style={**PLAIN.style, **changes})


def mean_column(mask: np.ndarray) -> float:
    return float(np.nonzero(mask)[-1].mean())


def test_the_same_chance_gives_the_same_bytes():
    first, again = (draw_scene(PLAIN, generator(1, "a", 0)).tobytes() for _ in range(2))
    assert first == again
    assert draw_scene(PLAIN, generator(1, "a", 1)).tobytes() != first
    assert draw_scene(PLAIN, generator(2, "a", 0)).tobytes() != first


@pytest.mark.parametrize("size", [32, 64, 96])
def test_image_size(size):
    image = draw_scene(PLAIN, generator(0), size)
    assert image.size == (size, size) and image.mode == "RGB"


def test_the_centre_line_lies_on_the_side_away_from_the_kerb():
    columns = {}
    for side in ("left", "right"):
        near = scenes(with_facts(drives_on=side, centre_line="yellow", edge_line="none"))[:, 54:]
        red, green, blue = np.moveaxis(near, -1, 0)
        columns[side] = mean_column((red > 150) & (green > 110) & (blue < 80))
    assert columns["right"] < 28 and columns["left"] > 36


def test_oncoming_cars_pass_on_the_proper_side():
    for side, sign in (("left", -1), ("right", 1)):
        pictures = scenes(with_facts(drives_on=side), 60)[:, 32:]
        red, green, blue = np.moveaxis(pictures, -1, 0)
        tail_lights = (red > 170) & (green < 70) & (blue < 70)
        head_lights = (red > 225) & (green > 225) & (blue < 222) & (blue > 150)
        assert sign * (mean_column(tail_lights) - mean_column(head_lights)) > 4


def test_signs_stand_by_the_drivers_own_side():
    left, right = (scenes(with_facts(drives_on=side))[:, 14:24] for side in ("left", "right"))
    change = np.abs(left - right).mean(axis=(0, 1, 3))
    assert change[2:18].mean() > 2 * change[26:38].mean()
    assert change[46:62].mean() > 2 * change[26:38].mean()


def test_plates_and_bands_show_on_the_car_ahead():
    def blue_pixels(**facts):
        red, green, blue = np.moveaxis(scenes(with_facts(**facts))[:, 32:], -1, 0)
        return int(((blue > 110) & (blue > red + 60) & (blue > green + 40)).sum())

    assert blue_pixels(plate="blue") > blue_pixels(blue_band=True) > 2 * blue_pixels() + 5


@pytest.mark.parametrize("part", ["wall", "roof", "sign", "leaf", "soil", "verge", "fence"])
def test_a_warm_trait_makes_the_scene_redder(part):
    warm, cold = (scenes(with_style(**{f"{part}_warm": value})) for value in (1.5, -1.5))
    redness = [(picture[..., 0] - picture[..., 2]).mean() for picture in (warm, cold)]
    assert redness[0] > redness[1] + 1


@pytest.mark.parametrize("name", NAMES)
def test_every_trait_can_be_seen(name):
    low, high = (scenes(with_style(**{name: value}), 8) for value in (-1.5, 1.5))
    assert np.abs(low.mean(axis=0) - high.mean(axis=0)).max() > 15


def test_climate_can_be_seen():
    desert = scenes(replace(PLAIN, climate=replace(MILD, aridity=1.0)))
    arctic = scenes(replace(PLAIN, climate=replace(MILD, temperature=-20.0)))
    mild, corner = scenes(PLAIN), np.s_[:, 54:, :4]
    assert desert[corner].mean() > mild[corner].mean() + 10  # sand is lighter than grass
    assert arctic[corner].mean() > desert[corner].mean()  # and snow is lighter than sand


def test_a_view_deviates_from_its_place_by_little():
    views = [look(PLAIN, generator("look", i)) for i in range(200)]
    styles = np.array([[view.style(name) for name in NAMES] for view in views])
    assert styles.mean() == pytest.approx(0, abs=0.01)
    assert styles.std() == pytest.approx(0.2, abs=0.01)
    assert all(48 <= view.horizon <= 60 and 57 <= view.vanishing_x <= 71 for view in views)
    assert sum(view.snow for view in views) < 3


def test_the_drawing_has_not_changed():
    """Roughly: the last bit may depend on Pillow's version, the scene may not."""
    image = draw_scene(PLAIN, generator("golden"))
    assert np.asarray(image.reduce(16).convert("L")).astype(int) == pytest.approx(
        np.array(
            [[136, 148, 144, 125], [124, 131, 133, 113], [106, 96, 108, 109], [107, 99, 113, 96]]
        ),
        abs=3,
    )
