"""Signs, cars and things in front of the camera."""

import numpy as np

from pipelines.planet.canvas import UNITS, Canvas, Colour, View, mixed, tinted
from pipelines.planet.scripts import draw_writing

# A board's colour goes with its script; the smooth fields tint it.
BOARDS: dict[str, Colour] = {
    "latin": (60, 104, 140),
    "cyrillic": (150, 66, 66),
    "arabic": (40, 124, 84),
    "han": (176, 44, 40),
    "kana": (228, 226, 220),
    "hangul": (44, 108, 60),
    "devanagari": (214, 130, 40),
    "bengali": (30, 110, 96),
    "brahmic": (196, 160, 40),
    "greek": (40, 80, 170),
    "hebrew": (90, 140, 200),
    "caucasian": (120, 60, 110),
    "ethiopic": (130, 120, 40),
}
PLATES: dict[str, Colour] = {
    "white": (244, 244, 240),
    "yellow": (250, 200, 20),
    "black": (18, 18, 20),
    "blue": (30, 70, 190),
    "red": (190, 30, 36),
}
TAIL_LIGHT: Colour = (235, 16, 16)
HEAD_LIGHT: Colour = (255, 250, 214)
_PAINTS = ((210, 210, 212), (40, 42, 46), (120, 124, 130), (36, 60, 110), (70, 88, 74))


def draw_sign(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """A large board by the driver's own side of the road with two lines of writing."""
    axes = [view.style(f"sign_{axis}") for axis in ("warm", "green", "light")]
    script = view.traits.facts.script
    board = tinted(BOARDS.get(script, BOARDS["latin"]), *(0.9 * value for value in axes))
    ink = (250, 250, 246) if sum(board) < 420 else (24, 24, 28)
    x = UNITS / 2 + view.side * rng.uniform(42, 48)
    y = rng.uniform(34, 42)
    canvas.line([(x, y), (x, 108)], (110, 110, 114), 2.5)
    canvas.box(x - 20, y - 14, x + 20, y + 14, ink)
    canvas.box(x - 19, y - 13, x + 19, y + 13, board)
    order = int(rng.integers(0, 1 << 12))
    draw_writing(canvas, script, (x - 16, y - 10, x + 17, y - 1), ink, order)
    draw_writing(canvas, script, (x - 16, y + 2, x + 17, y + 11), ink, order >> 6)


def draw_car_ahead(canvas: Canvas, view: View, rng: np.random.Generator, y: float) -> None:
    """The back of a car in the camera's own lane: red lights and the country's plate."""
    x, width = _draw_body(canvas, view, rng, y, 0.5 * view.side)
    for hand in (-1, 1):
        light = x + hand * 0.4 * width
        canvas.box(
            light - 0.1 * width, y - 0.42 * width, light + 0.1 * width, y - 0.26 * width, TAIL_LIGHT
        )
    left, right = x - 0.24 * width, x + 0.24 * width
    canvas.box(left, y - 0.27 * width, right, y - 0.11 * width, PLATES[view.traits.facts.plate])
    if view.traits.facts.blue_band:
        canvas.box(left, y - 0.27 * width, left + 0.12 * width, y - 0.11 * width, (20, 50, 200))


def draw_oncoming_car(canvas: Canvas, view: View, rng: np.random.Generator, y: float) -> None:
    """The front of a car in the other lane, with its head lights on."""
    x, width = _draw_body(canvas, view, rng, y, -0.5 * view.side)
    for hand in (-1, 1):
        canvas.oval(
            x + hand * 0.34 * width, y - 0.32 * width, 0.11 * width, 0.09 * width, HEAD_LIGHT
        )


def draw_occluder(canvas: Canvas, rng: np.random.Generator) -> None:
    """Something dark and near at one edge: a van, a wall, a passer-by."""
    grey = int(rng.integers(30, 110))
    left = rng.choice((0.0, UNITS - 22.0)) + rng.uniform(-8, 8)
    top = rng.uniform(30, 70)
    canvas.box(left, top, left + rng.uniform(12, 28), UNITS, (grey, grey, grey + 6))


def _draw_body(
    canvas: Canvas, view: View, rng: np.random.Generator, y: float, across: float
) -> tuple[float, float]:
    """Draw wheels, body and window of a car in a lane; return its middle and its width."""
    width = 40 * view.depth(y)
    x = view.road_x(y, across + rng.normal(0, 0.04))
    paint = mixed(_PAINTS[int(rng.integers(len(_PAINTS)))], (128, 128, 128), rng.uniform(0, 0.4))
    canvas.box(x - 0.48 * width, y - 0.2 * width, x + 0.48 * width, y, (20, 20, 22))
    canvas.box(x - 0.5 * width, y - 0.5 * width, x + 0.5 * width, y - 0.06 * width, paint)
    cabin = [(-0.44, -0.48), (-0.34, -0.8), (0.34, -0.8), (0.44, -0.48)]
    canvas.polygon([(x + a * width, y + b * width) for a, b in cabin], paint)
    glass = [(-0.36, -0.5), (-0.29, -0.74), (0.29, -0.74), (0.36, -0.5)]
    canvas.polygon([(x + a * width, y + b * width) for a, b in glass], (44, 54, 64))
    return x, width
