"""What stands along the road: buildings, fences, trees, poles."""

import numpy as np

from pipelines.planet.canvas import UNITS, Canvas, Colour, View, clamped, mixed, rgb, tinted
from pipelines.planet.landscape import AXES, SNOW, leaf_colour

HOUSE_NOISE = 0.2  # standard deviation of one house's traits around those of the view


def draw_house(canvas: Canvas, view: View, rng: np.random.Generator, y: float, hand: int) -> None:
    """A house whose foot is at y, on the left (hand -1) or right (1) of the road."""
    depth = view.depth(y)
    edge = view.road_x(y, hand * 1.3) + hand * 4 * depth
    width = depth * rng.uniform(105, 135)
    storeys = 1.6 + 0.5 * view.style("storeys") + rng.normal(0, 0.25)
    height = depth * clamped(30 + 24 * storeys, 38, 110)
    left, right = sorted((edge, edge + hand * width))
    top = y - height
    shade = float(rng.normal(0, 0.15))
    wall = surface(view, rng, "wall", (176, 164, 150), shade)
    canvas.box(left, top, right, y, wall)
    _draw_roof(canvas, view, rng, (left, right, top), depth)
    _draw_windows(canvas, view, rng, (left, top, right, y), depth)
    trim = tinted((150, 130, 112), view.style("trim_warm"), view.style("trim_green"))
    door = (left + right) / 2 + rng.uniform(-0.3, 0.3) * width
    canvas.box(left, y - 9 * depth, right, y, trim)
    canvas.box(door, y - 26 * depth, door + 11 * depth, y, mixed(trim, (20, 20, 20), 0.45))


def surface(
    view: View, rng: np.random.Generator, part: str, base: Colour, shade: float = 0.0
) -> Colour:
    """Colour of a house's wall or roof: the view's trait and this house's own deviation."""
    values = [view.style(f"{part}_{axis}") + rng.normal(0, HOUSE_NOISE) for axis in AXES]
    return tinted(base, values[0], values[1], values[2] + shade)


def roof_colour(view: View, rng: np.random.Generator) -> Colour:
    """Colour of one house's roof, which may lie under snow."""
    colour = surface(view, rng, "roof", (140, 112, 100))
    return mixed(colour, SNOW, 0.5) if view.snow else colour


def fence_colour(view: View) -> Colour:
    """Colour of the walls and fences between houses."""
    return tinted((140, 134, 124), *(view.style(f"fence_{axis}") for axis in AXES))


def draw_fence(canvas: Canvas, view: View, y: float, hand: int) -> None:
    """A wall or fence from the roadside outwards, its foot at y."""
    depth = view.depth(y)
    colour = fence_colour(view)
    edge = view.road_x(y, hand * 1.3) + hand * 3 * depth
    left, right = sorted((edge, UNITS * (hand > 0)))
    canvas.box(left, y - 13 * depth, right, y, colour)
    canvas.box(left, y - 15 * depth, right, y - 13 * depth, mixed(colour, (0, 0, 0), 0.35))


def draw_tree(canvas: Canvas, view: View, rng: np.random.Generator, y: float, x: float) -> None:
    """A tree of the place's kind: conifer, broad-leaved tree, palm or umbrella-shaped acacia."""
    size = view.depth(y) * rng.uniform(34, 60)
    leaf = rgb([value + rng.normal(0, 7) for value in leaf_colour(view)])
    if view.snow:
        leaf = mixed(leaf, SNOW, 0.45)
    canvas.line([(x, y), (x, y - 0.8 * size)], (84, 62, 44), 0.07 * size + 0.5)
    _KINDS[tree_kind(view, rng)](canvas, x, y, size, leaf)


def tree_kind(view: View, rng: np.random.Generator) -> str:
    """Kind of one tree; its chances change smoothly with temperature and aridity."""
    climate = view.traits.climate
    warmth = climate.temperature + rng.normal(0, 3)
    if warmth < 6:
        return "conifer"
    if climate.aridity + rng.normal(0, 0.12) > 0.5:
        return "palm" if rng.random() < 0.5 else "acacia"
    return "palm" if warmth > 25 else "broad"


def tree_count(view: View, rng: np.random.Generator) -> int:
    """How many trees this view has: fewer where it is dry."""
    return int(rng.poisson(0.6 + 4.5 * (1 - view.traits.climate.aridity) ** 1.5))


def draw_pole(canvas: Canvas, view: View, rng: np.random.Generator, y: float, hand: int) -> None:
    """A utility pole with its cross-arms and two wires that run to the vanishing point."""
    depth = view.depth(y)
    x = view.road_x(y, hand * 1.2)
    top = max(2.0, y - depth * (118 + 18 * view.style("pole_height")))
    colour = tinted((118, 104, 92), view.style("pole_warm"), 0, view.style("pole_light"))
    canvas.line([(x, y), (x, top)], colour, 5 * depth + 0.8)
    arms = int(clamped(round(2 + 1.1 * view.style("pole_arms") + rng.normal(0, 0.2)), 0, 4))
    for arm in range(arms):
        height = top + (4 + 9 * arm) * depth
        canvas.line([(x - 14 * depth, height), (x + 14 * depth, height)], colour, 3.5 * depth)
    for offset in (-12 * depth, 12 * depth):
        ends = [(x + offset, top + 4 * depth), (view.vanishing_x, view.horizon - 2)]
        canvas.line(ends, (70, 70, 72), 0.6)


def _draw_roof(
    canvas: Canvas,
    view: View,
    rng: np.random.Generator,
    span: tuple[float, float, float],
    depth: float,
) -> None:
    left, right, top = span
    colour = roof_colour(view, rng)
    pitch = clamped(22 + 14 * view.style("roof_pitch"), 8, 46) * depth
    inset = 0.28 * (right - left) * min(1.0, pitch / (22 * depth))
    eave = 4 * depth
    ridge = [(left + inset, top - pitch), (right - inset, top - pitch)]
    canvas.polygon([(left - eave, top + eave), *ridge, (right + eave, top + eave)], colour)


def _draw_windows(
    canvas: Canvas,
    view: View,
    rng: np.random.Generator,
    box: tuple[float, float, float, float],
    depth: float,
) -> None:
    """Rows of windows; a trait gives the windows a row, the height gives the rows."""
    left, top, right, bottom = box
    columns = int(clamped(round(3 + 1.1 * view.style("windows") + rng.normal(0, 0.3)), 1, 6))
    glass = mixed((46, 56, 70), (250, 226, 150), 0.8 * (rng.random() < 0.12))
    pitch = (right - left) / columns
    for y in np.arange(top + 10 * depth, bottom - 22 * depth, 22 * depth):
        for column in range(columns):
            x = left + (column + 0.5) * pitch
            canvas.box(x - 0.2 * pitch, y, x + 0.2 * pitch, y + 11 * depth, glass)


def _conifer(canvas: Canvas, x: float, y: float, size: float, leaf: Colour) -> None:
    for low, high, width in ((0.2, 0.75, 0.26), (0.5, 1.1, 0.18)):
        foot = y - low * size
        tip = (x, y - high * size)
        canvas.polygon([(x - width * size, foot), tip, (x + width * size, foot)], leaf)


def _broad(canvas: Canvas, x: float, y: float, size: float, leaf: Colour) -> None:
    for dx, dy, radius in ((-0.16, 0.62, 0.24), (0.18, 0.66, 0.22), (0.0, 0.85, 0.22)):
        canvas.oval(x + dx * size, y - dy * size, radius * size, radius * size, leaf)


def _palm(canvas: Canvas, x: float, y: float, size: float, leaf: Colour) -> None:
    top = y - 0.85 * size
    for dx, dy in ((-0.38, 0.1), (-0.28, -0.2), (0.0, -0.28), (0.28, -0.2), (0.38, 0.1)):
        tip = (x + dx * size, top + dy * size)
        canvas.line([(x, top), tip], leaf, 0.11 * size)


def _acacia(canvas: Canvas, x: float, y: float, size: float, leaf: Colour) -> None:
    canvas.oval(x, y - 0.75 * size, 0.45 * size, 0.13 * size, leaf)


_KINDS = {"conifer": _conifer, "broad": _broad, "palm": _palm, "acacia": _acacia}
