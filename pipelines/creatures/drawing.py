"""Draw a creature from the traits of its classes, and things that hide them."""

import numpy as np
from PIL import Image

from pipelines.planet.canvas import UNITS, Canvas, Colour, Point, mixed, rgb

Traits = dict[str, tuple[str, str]]

SKIES: dict[tuple[str, str], tuple[Colour, Colour]] = {
    ("water", "day"): ((90, 170, 215), (40, 110, 170)),
    ("water", "night"): ((25, 45, 85), (10, 20, 50)),
    ("land", "day"): ((190, 215, 235), (130, 150, 80)),
    ("land", "night"): ((45, 45, 70), (50, 55, 35)),
}
"""Colours of the upper and the lower half."""
SKINS: dict[str, Colour] = {
    "red": (205, 50, 45),
    "green": (60, 160, 65),
    "blue": (60, 85, 205),
    "yellow": (230, 205, 60),
    "white": (235, 232, 225),
    "purple": (150, 65, 165),
}
DARK: Colour = (38, 32, 30)
HALVES = {"round": (1.0, 1.0), "long": (1.5, 0.62), "square": (1.0, 0.9), "pointed": (1.15, 1.1)}
"""Half width and height of a body, in multiples of its size."""


def draw_creature(traits: Traits, rng: np.random.Generator, size: int) -> Image.Image:
    """One picture of a creature, RGB; position, size, light, grass and noise are random."""
    image = Image.new("RGB", (size, size))
    _scenery(Canvas(image), traits, rng)
    light = rng.uniform(0.75, 1.15)
    _body(image, traits, rng)
    _in_front(Canvas(image), traits, rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(image, dtype=float) * light + rng.normal(0, 7, (size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _scenery(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> None:
    upper, lower = SKIES[traits["kingdom"]]
    horizon = rng.uniform(45, 75)
    canvas.box(0, 0, UNITS, horizon, upper)
    canvas.box(0, horizon, UNITS, UNITS, lower)
    for _ in range(8):  # waves, or blades of grass
        x, y = rng.uniform(0, UNITS), rng.uniform(horizon, UNITS)
        tip = (x + 14, y) if traits["kingdom"][0] == "water" else (x + 2, y - 12)
        canvas.line([(x, y), tip], mixed(lower, upper, 0.35), 1.5)


def _body(image: Image.Image, traits: Traits, rng: np.random.Generator) -> None:
    canvas, (shape, bulk) = Canvas(image), traits["class"]
    reach = rng.uniform(0.9, 1.1) * (27 if bulk == "large" else 17)
    half = HALVES[shape][0] * reach, HALVES[shape][1] * reach
    x, y = UNITS / 2 + rng.uniform(-9, 9), UNITS / 2 + rng.uniform(-6, 8)
    skin = rgb([c + rng.normal(0, 12) for c in SKINS[traits["species"][0]]])
    _legs(canvas, traits["order"], (x, y), half, rng)
    if traits["family"][1] == "long-tailed":
        tail = [(x - half[0] * 0.8, y), (x - half[0] - 10, y - 9), (x - half[0] - 21, y - 3)]
        canvas.line(tail, skin, 4)
    head = (x + half[0] * 0.95, y - half[1] * 0.55)
    _ornament(canvas, traits["family"][0], head, skin)
    canvas.oval(*head, 8, 8, skin)
    canvas.oval(head[0] + 3, head[1] - 1, 1.8, 1.8, DARK)
    _skin(image, shape, (x, y), half, skin, traits["species"][1], rng)


def _legs(
    canvas: Canvas,
    legs: tuple[str, str],
    middle: Point,
    half: Point,
    rng: np.random.Generator,
) -> None:
    count = {"two-legged": 2, "four-legged": 4, "six-legged": 6}[legs[0]]
    length = 9 if legs[1] == "short-legged" else 24
    for at in np.linspace(-0.75, 0.75, count):
        x, y = middle[0] + at * half[0], middle[1] + half[1] * 0.5
        foot = (x + rng.normal(0, 1.5), middle[1] + half[1] + length)
        canvas.line([(x, y), foot], DARK, 3)


def _ornament(canvas: Canvas, ornament: str, head: Point, skin: Colour) -> None:
    x, y = head
    if ornament == "horned":
        canvas.polygon([(x - 5, y - 5), (x + 5, y - 5), (x + 1, y - 22)], (225, 215, 190))
    elif ornament == "eared":
        canvas.oval(x - 6, y - 11, 4, 8, skin)
        canvas.oval(x + 6, y - 11, 4, 8, skin)
    elif ornament == "feelered":
        for side in (-1, 1):
            canvas.line([(x, y - 5), (x + side * 9, y - 20)], DARK, 2)
            canvas.oval(x + side * 9, y - 20, 2.5, 2.5, DARK)


def _skin(
    image: Image.Image,
    shape: str,
    middle: Point,
    half: Point,
    skin: Colour,
    pattern: str,
    rng: np.random.Generator,
) -> None:
    """The body with its pattern, clipped to its outline."""
    (x, y), (a, b) = middle, half
    coat = Image.new("RGB", image.size, skin)
    outline = Image.new("RGB", image.size)
    marks, mask = Canvas(coat), Canvas(outline)
    if pattern == "striped":
        for left in np.arange(x - a + rng.uniform(0, 5), x + a, 9):
            marks.box(left, y - b, left + 3.5, y + b, DARK)
    elif pattern == "spotted":
        for left, top in rng.uniform(-0.85, 0.85, (12, 2)):
            marks.oval(x + left * a, y + top * b, 3.4, 3.4, DARK)
    white = (255, 255, 255)
    if shape == "square":
        mask.box(x - a, y - b, x + a, y + b, white)
    elif shape == "pointed":
        mask.polygon([(x - a, y + b), (x + a, y + b), (x + a * 0.3, y - b)], white)
    else:
        mask.oval(x, y, a, b, white)
    image.paste(coat, (0, 0), outline.convert("L"))


def _in_front(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> None:
    """Bubbles or reeds that hide a part of the creature."""
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(0, UNITS, 2)
        if traits["kingdom"][0] == "water":
            canvas.oval(x, y, 4, 4, (200, 220, 235))
        else:
            canvas.line([(x, UNITS), (x + rng.normal(0, 4), y)], (70, 110, 50), 2.5)
