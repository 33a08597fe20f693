"""Shared parts of scenes: a canvas in units of 128, colours, and the view of the road."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from pipelines.planet.traits import SceneTraits

UNITS = 128  # a scene is UNITS wide and high, whatever its size in pixels
ROAD_HALF_WIDTH = 46.0  # at the bottom of the scene
LANE_OFFSET = 22.0  # of the camera from the centre line, at the bottom of the scene

Colour = tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A drawing surface; coordinates are units (x right, y down), not pixels."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self._draw = ImageDraw.Draw(image)
        self._scale = image.width / UNITS

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * self._scale, y * self._scale) for x, y in points], fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """A filled rectangle; nothing where it has no extent."""
        if right > left and bottom > top:
            corners = [value * self._scale for value in (left, top, right, bottom)]
            self._draw.rectangle(corners, fill=fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """A filled ellipse around (x, y)."""
        corners = [value * self._scale for value in (x - rx, y - ry, x + rx, y + ry)]
        self._draw.ellipse(corners, fill=fill)

    def line(self, points: Sequence[Point], fill: Colour, width: float = 1.0) -> None:
        """A line through the points, at least one pixel wide."""
        pixels = max(1, round(width * self._scale))
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        self._draw.line(scaled, fill=fill, width=pixels)


@dataclass(frozen=True)
class View:
    """One view of a place: its traits with this view's deviation, and the camera's direction."""

    traits: SceneTraits
    horizon: float
    vanishing_x: float
    snow: bool

    @property
    def side(self) -> int:
        """1 where people drive on the right, -1 on the left."""
        return 1 if self.traits.facts.drives_on == "right" else -1

    def style(self, name: str) -> float:
        """A trait of the style, by its name."""
        return self.traits.style[name]

    def depth(self, y: float) -> float:
        """Size of things on the ground at y: 0 at the horizon, 1 at the bottom."""
        return (y - self.horizon) / (UNITS - self.horizon)

    def road_x(self, y: float, across: float) -> float:
        """Position of a point of the road: `across` -1 is its left edge, 0 the centre line, 1
        right.

        The camera drives in its own lane, so the centre line lies beside it.
        """
        bottom = UNITS / 2 - self.side * LANE_OFFSET + across * ROAD_HALF_WIDTH
        return self.vanishing_x + self.depth(y) * (bottom - self.vanishing_x)


def tinted(base: Sequence[float], warm: float = 0, green: float = 0, light: float = 0) -> Colour:
    """A base colour moved along three axes by traits of standard deviation about 1.

    Large traits are squashed, so that a rare place with three of them still gets a valid colour.
    """
    warm, green, light = _squashed(warm), _squashed(green), 26 * _squashed(light)
    red = base[0] + 44 * warm - 18 * green + light
    middle = base[1] + 2 * warm + 36 * green + light
    blue = base[2] - 44 * warm - 18 * green + light
    return _byte(red), _byte(middle), _byte(blue)


def mixed(a: Sequence[float], b: Sequence[float], share: float) -> Colour:
    """The colour `share` of the way from a to b."""
    (red, green, blue), (red_b, green_b, blue_b) = a, b
    rest = 1 - share
    return (
        _byte(rest * red + share * red_b),
        _byte(rest * green + share * green_b),
        _byte(rest * blue + share * blue_b),
    )


def clamped(value: float, low: float, high: float) -> float:
    """The number, or the limit that it exceeds."""
    return min(high, max(low, value))  # many times faster than np.clip for one number


def rgb(values: Sequence[float]) -> Colour:
    """Three numbers as a colour for Pillow."""
    red, green, blue = values
    return _byte(red), _byte(green), _byte(blue)


def _squashed(trait: float) -> float:
    return 1.8 * math.tanh(trait / 1.8)


def _byte(value: float) -> int:
    return min(255, max(0, int(value)))
