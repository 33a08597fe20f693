"""Sky, hills, ground and road of a scene."""

import numpy as np
from PIL import Image

from pipelines.planet.canvas import UNITS, Canvas, Colour, Point, View, clamped, mixed, rgb, tinted

PAINT: dict[str, Colour] = {"white": (238, 238, 232), "yellow": (246, 190, 10)}
SNOW: Colour = (232, 236, 242)
AXES = ("warm", "green", "light")


def sky_colours(view: View) -> tuple[Colour, Colour]:
    """Colours at the top of the sky and at the horizon.

    A high sun and dry air make a deep blue, a low sun a pale yellowish one, damp air a grey one.
    """
    climate = view.traits.climate
    top = mixed((150, 165, 190), (52, 112, 206), climate.sun)
    top = mixed(top, (178, 186, 192), 0.55 * (1 - climate.aridity) * climate.sun**2)
    low = mixed((236, 214, 176), (196, 220, 240), climate.sun)
    return top, mixed(low, (228, 206, 160), 0.5 * climate.aridity)


def soil_colour(view: View) -> Colour:
    """Bare ground: greyish brown where it is damp, sandy where it is dry."""
    base = mixed((112, 96, 74), (204, 170, 116), view.traits.climate.aridity)
    return tinted(base, 0.7 * view.style("soil_warm"), 0, 0.8 * view.style("soil_light"))


def leaf_colour(view: View) -> Colour:
    """Leaves and grass: dark bluish green in the cold, yellowish where it is dry."""
    climate = view.traits.climate
    warmth = clamped((climate.temperature + 2) / 28, 0, 1)
    base = mixed((44, 86, 70), (66, 128, 40), warmth)
    base = mixed(base, (150, 142, 70), 0.7 * climate.aridity)
    return tinted(base, 0.8 * view.style("leaf_warm"), 0, 0.8 * view.style("leaf_light"))


def ground_colour(view: View) -> Colour:
    """The land beside the road: grass, soil or snow."""
    if view.snow:
        return mixed(SNOW, soil_colour(view), 0.15)
    return mixed(leaf_colour(view), soil_colour(view), 0.2 + 0.8 * view.traits.climate.aridity)


def verge_colour(view: View) -> Colour:
    """What lies along the road."""
    return tinted((150, 146, 140), *(view.style(f"verge_{axis}") for axis in AXES))


def tar_colour(view: View, rng: np.random.Generator) -> Colour:
    """The road, lighter under snow."""
    tar = tinted((96, 96, 98), 0.35 * view.style("road_warm"), 0, 0.9 * view.style("road_light"))
    tar = rgb([value + rng.normal(0, 5) for value in tar])
    return mixed(tar, SNOW, 0.25) if view.snow else tar


def backdrop(view: View, rng: np.random.Generator, pixels: int) -> Image.Image:
    """An image (pixels, pixels) of the sky above the horizon and rough ground below it."""
    horizon = round(view.horizon * pixels / UNITS)
    top, low = (np.array(colour, dtype=np.float32) for colour in sky_colours(view))
    share = np.linspace(0, 1, horizon, dtype=np.float32)[:, None, None]
    sky = np.repeat(top + (low - top) * share, pixels, axis=1)
    near = np.array(ground_colour(view), dtype=np.float32)
    share = np.linspace(0.25, 0, pixels - horizon, dtype=np.float32)[:, None, None]
    ground = np.repeat(near + (low - near) * share, pixels, axis=1)
    clods = rng.integers(-14, 15, (-(-ground.shape[0] // 4), -(-pixels // 8), 1))
    ground += clods.repeat(4, axis=0).repeat(8, axis=1)[: ground.shape[0], :pixels]
    both = np.concatenate([sky, ground])
    return Image.fromarray(np.clip(both, 0, 255).astype(np.uint8))


def draw_clouds(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """Some clouds, more of them where it is damp."""
    damp = 1 - view.traits.climate.aridity
    for _ in range(rng.poisson(2.5 * damp)):
        x, y = rng.uniform(0, UNITS), rng.uniform(2, 0.6 * view.horizon)
        shade = int(rng.integers(205, 250))
        for dx, size in ((-7, 0.7), (0, 1.0), (8, 0.8)):
            width = size * rng.uniform(6, 13)
            canvas.oval(x + dx, y, width, 0.35 * width, (shade, shade, shade))


def draw_hills(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """Two ridges whose height follows the hilliness, with snow on high ones in the cold."""
    climate = view.traits.climate
    height = 30 * climate.hilliness
    haze = sky_colours(view)[1]
    land = mixed(ground_colour(view), leaf_colour(view), 0.4)
    for share, back in ((1.0, 0.55), (0.55, 0.25)):
        ridge = _ridge(view.horizon, share * height + 1.5, rng)
        canvas.polygon(ridge, mixed(land, haze, back))
        snow_line = view.horizon - max(10.0, 14 + 0.8 * (climate.temperature - 5))
        if share == 1.0 and climate.temperature < 20:
            caps = [(x, min(y, snow_line)) for x, y in ridge[1:-1]]
            canvas.polygon([*caps, (UNITS, snow_line), (0, snow_line)], mixed(SNOW, haze, 0.2))


def draw_road(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """The road with verges, edge lines and a dashed centre line in the country's colours."""
    y = view.horizon
    _strip(canvas, view, (y, UNITS), (-1.3, 1.3), verge_colour(view))
    _strip(canvas, view, (y, UNITS), (-1.0, 1.0), tar_colour(view, rng))
    facts = view.traits.facts
    if facts.edge_line != "none":
        for edge in (-0.93, 0.93):
            _strip(canvas, view, (y, UNITS), (edge - 0.035, edge + 0.035), PAINT[facts.edge_line])
    start = rng.uniform(0, 0.09)
    for depth in np.arange(start, 1.0, 0.18):
        near, far = depth + 0.11, depth
        top = view.horizon + far**1.4 * (UNITS - view.horizon)
        bottom = min(UNITS, view.horizon + near**1.4 * (UNITS - view.horizon))
        _strip(canvas, view, (top, bottom), (-0.045, 0.045), PAINT[facts.centre_line])


def _strip(
    canvas: Canvas, view: View, rows: tuple[float, float], across: tuple[float, float], fill: Colour
) -> None:
    """A strip along the road: rows (top, bottom) of the scene, (left, right) across the road."""
    (top, bottom), (left, right) = rows, across
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    canvas.polygon([(view.road_x(y, x), y) for y, x in corners], fill)


def _ridge(horizon: float, height: float, rng: np.random.Generator) -> list[Point]:
    """Outline of a ridge: from the horizon's left end over the tops to its right end."""
    xs = np.linspace(0, UNITS, 9)
    tops = horizon - height * rng.uniform(0.35, 1.0, 9)
    return [(0, horizon), *zip(xs.tolist(), tops.tolist(), strict=True), (UNITS, horizon)]
