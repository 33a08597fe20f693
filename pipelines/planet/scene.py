"""One small street scene, drawn from a place's traits and chance."""

from dataclasses import replace

import numpy as np
from PIL import Image

from pipelines.planet.canvas import UNITS, Canvas, View, clamped
from pipelines.planet.landscape import backdrop, draw_clouds, draw_hills, draw_road
from pipelines.planet.street import draw_fence, draw_house, draw_pole, draw_tree, tree_count
from pipelines.planet.traffic import draw_car_ahead, draw_occluder, draw_oncoming_car, draw_sign
from pipelines.planet.traits import NAMES, SceneTraits

VIEW_NOISE = 0.2  # standard deviation of a view's traits around those of its place
PIXEL_NOISE = 5.0  # standard deviation, of 255


def draw_scene(traits: SceneTraits, rng: np.random.Generator, image_size: int = 64) -> Image.Image:
    """An RGB image (image_size, image_size) of a street with these traits.

    It is drawn twice as large and averaged down. Then it gets the light of a time of day (a gain
    and a tint) and pixel noise. The same traits and the same state of `rng` give the same bytes.
    """
    view = look(traits, rng)
    canvas = Canvas(backdrop(view, rng, 2 * image_size))
    draw_clouds(canvas, view, rng)
    draw_hills(canvas, view, rng)
    draw_road(canvas, view, rng)
    _draw_roadside(canvas, view, rng)
    _draw_traffic(canvas, view, rng)
    return exposed(canvas.image.reduce(2), rng)


def look(traits: SceneTraits, rng: np.random.Generator) -> View:
    """A view of the place: its style with this view's deviation, the camera's jitter, snow."""
    noise = rng.normal(0, VIEW_NOISE, len(NAMES))
    style = {name: traits.style[name] + noise[i] for i, name in enumerate(NAMES)}
    # Half of the views have snow where the mean of the year is -2 °C, next to none above 12 °C.
    snow_chance = 1 / (1 + np.exp(0.45 * (traits.climate.temperature + 2)))
    return View(
        traits=replace(traits, style=style),
        horizon=54 + clamped(rng.normal(0, 2.5), -6, 6),
        vanishing_x=UNITS / 2 + clamped(rng.normal(0, 3), -7, 7),
        snow=bool(rng.random() < snow_chance),
    )


def exposed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The image under this moment's light, with the sensor's noise."""
    pixels = np.asarray(image, dtype=np.float32)
    light = rng.normal(1.0, 0.05) + rng.normal(0, 0.015, 3)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(PIXEL_NOISE)
    lit = pixels * light.astype(np.float32) + noise
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _draw_roadside(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """Houses, fences, trees and poles of both sides, from far to near."""
    trees = np.sort(rng.uniform(60, 96, tree_count(view, rng)))
    houses = (64 + rng.uniform(-2, 2), 84 + rng.uniform(-3, 3))
    for nearest, farthest in zip((*houses, UNITS), (0.0, *houses), strict=True):
        for y in trees[(trees >= farthest) & (trees < nearest)].tolist():
            draw_tree(canvas, view, rng, y, _beside(view, rng, y))
        for hand in (-1, 1):
            if nearest < UNITS and rng.random() < 0.92:
                draw_house(canvas, view, rng, nearest, hand)
    for hand in (-1, 1):
        draw_fence(canvas, view, 92 + rng.uniform(-2, 2), hand)
    hand = -view.side
    for y in (66.0, 76.0, 96 + rng.uniform(-3, 3)):
        draw_pole(canvas, view, rng, y, hand)


def _beside(view: View, rng: np.random.Generator, y: float) -> float:
    """A place for a tree on either side, between the verge and some way from the road."""
    hand = int(rng.choice((-1, 1)))
    return view.road_x(y, hand * 1.4) + hand * rng.uniform(2, 46) * view.depth(y)


def _draw_traffic(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    if rng.random() < 0.7:
        draw_oncoming_car(canvas, view, rng, rng.uniform(72, 96))
    if rng.random() < 0.85:
        draw_car_ahead(canvas, view, rng, rng.uniform(88, 106))
    if rng.random() < 0.9:
        draw_sign(canvas, view, rng)
    if rng.random() < 0.15:
        draw_occluder(canvas, rng)
