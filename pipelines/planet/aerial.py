"""One small aerial tile, drawn from the same traits as the streets of its place.

It shows the fields and the plan of a town, which a street does not, and lacks walls, boards, poles
and plates. Colours of roofs, roads, verges, fences, leaves and soil, the paint on the road and the
side of driving are those of the streets.
"""

import numpy as np
from PIL import Image

from pipelines.planet.canvas import UNITS, Canvas, View, clamped, mixed
from pipelines.planet.landscape import (
    PAINT,
    SNOW,
    ground_colour,
    leaf_colour,
    soil_colour,
    tar_colour,
    verge_colour,
)
from pipelines.planet.scene import exposed, look
from pipelines.planet.street import fence_colour, roof_colour, tree_count
from pipelines.planet.traits import SceneTraits

ROAD = 9.0  # half the width of the road
LANE = 4.5


def draw_aerial(traits: SceneTraits, rng: np.random.Generator, image_size: int = 64) -> Image.Image:
    """An RGB image (image_size, image_size) of a town and its fields, seen from above.

    It is drawn, averaged down and exposed like a street (`draw_scene`).
    """
    view = look(traits, rng)
    canvas = Canvas(_ground(view, rng, 2 * image_size))
    middle = UNITS / 2 + rng.uniform(-16, 16)
    _draw_fields(canvas, view, rng, middle)
    _draw_road(canvas, view, rng, middle)
    for hand in (-1, 1):
        _draw_houses(canvas, view, rng, middle, hand)
    for _ in range(4 * tree_count(view, rng)):
        size = rng.uniform(2.5, 5)
        x = middle + rng.choice((-1, 1)) * rng.uniform(ROAD + 4, 60)
        leaf = mixed(leaf_colour(view), SNOW, 0.45) if view.snow else leaf_colour(view)
        y = rng.uniform(0, UNITS)
        canvas.oval(x + 1.5, y + 1.5, size, size, mixed(leaf, (0, 0, 0), 0.5))
        canvas.oval(x, y, size, size, leaf)
    return exposed(canvas.image.reduce(2), rng)


def _ground(view: View, rng: np.random.Generator, pixels: int) -> Image.Image:
    clods = rng.integers(-12, 13, (-(-pixels // 4), -(-pixels // 4), 1))
    rough = clods.repeat(4, axis=0).repeat(4, axis=1)[:pixels, :pixels]
    plain = np.array(ground_colour(view)) + rough
    return Image.fromarray(np.clip(plain, 0, 255).astype(np.uint8))


def _draw_fields(canvas: Canvas, view: View, rng: np.random.Generator, middle: float) -> None:
    """Parcels behind the gardens, some of bare soil; where it is dry there are fewer."""
    for left in (middle - 92, middle + 46):
        for top in np.arange(rng.uniform(-20, 0), UNITS, 24):
            if rng.random() < 0.9 - 0.6 * view.traits.climate.aridity:
                share = rng.uniform(0, 1)
                colour = mixed(leaf_colour(view), soil_colour(view), share)
                colour = mixed(colour, SNOW, 0.8) if view.snow else colour
                canvas.box(left, top, left + 46, top + 22, colour)


def _draw_road(canvas: Canvas, view: View, rng: np.random.Generator, middle: float) -> None:
    canvas.box(middle - 1.3 * ROAD, 0, middle + 1.3 * ROAD, UNITS, verge_colour(view))
    canvas.box(middle - ROAD, 0, middle + ROAD, UNITS, tar_colour(view, rng))
    facts = view.traits.facts
    if facts.edge_line != "none":
        for edge in (-0.9 * ROAD, 0.9 * ROAD):
            canvas.box(middle + edge - 0.5, 0, middle + edge + 0.5, UNITS, PAINT[facts.edge_line])
    for top in np.arange(rng.uniform(-12, 0), UNITS, 14):
        canvas.box(middle - 0.7, top, middle + 0.7, top + 8, PAINT[facts.centre_line])
    for _ in range(int(rng.integers(1, 4))):
        # The nose of a car is bright: it tells which way the cars of a lane go.
        lane, y, grey = int(rng.choice((-1, 1))), rng.uniform(4, UNITS - 4), int(rng.integers(256))
        x = middle + lane * LANE
        canvas.box(x - 2, y - 4, x + 2, y + 4, (grey, grey, grey))
        nose = -lane * view.side * 3
        canvas.box(x - 2, y + nose - 1, x + 2, y + nose + 1, (255, 250, 214))


def _draw_houses(
    canvas: Canvas, view: View, rng: np.random.Generator, middle: float, hand: int
) -> None:
    """A row of houses with their gardens' fences and their shadows on one side of the road."""
    shadow = clamped(3 + 1.5 * view.style("storeys"), 1, 7)
    for top in np.arange(rng.uniform(-10, 4), UNITS, 21):
        near, far = sorted((middle + hand * (1.5 * ROAD), middle + hand * 44))
        fence = fence_colour(view)
        canvas.box(near, top, far, top + 1.2, fence)
        canvas.box(
            *((far - 1.2, top, far) if hand > 0 else (near, top, near + 1.2)), top + 20, fence
        )
        if rng.random() < 0.9:
            x, y = middle + hand * rng.uniform(23, 28), top + 11 + rng.uniform(-2, 2)
            wide, deep = rng.uniform(7, 10), rng.uniform(5, 8)
            roof = roof_colour(view, rng)
            dark = mixed(ground_colour(view), (0, 0, 0), 0.5)
            canvas.box(x - wide + shadow, y - deep + shadow, x + wide + shadow, y + deep, dark)
            canvas.box(x - wide, y - deep, x + wide, y + deep, roof)
            canvas.box(x - wide, y, x + wide, y + deep, mixed(roof, (0, 0, 0), 0.2))
