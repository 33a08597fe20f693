"""Texture of writing: a few strokes a script, so that a sign looks Greek or Thai from afar.

These are not letters. Each script has two "glyphs" of strokes in a cell one unit wide and one
high. At three pixels, bars, blocks, loops, waves and hanging lines tell scripts apart.
"""

from pipelines.planet.canvas import Canvas, Colour

Stroke = tuple[float, float, float, float]  # x0, y0, x1, y1 in the cell, y downwards

SCRIPTS: dict[str, tuple[tuple[Stroke, ...], tuple[Stroke, ...]]] = {
    "latin": (((0.3, 0, 0.3, 1), (0.3, 1, 0.8, 1)), ((0.5, 0.3, 0.5, 1),)),
    "cyrillic": (
        ((0.1, 0, 0.1, 1), (0.8, 0, 0.8, 1), (0.1, 0.5, 0.8, 0.5)),
        ((0.1, 1, 0.1, 0), (0.1, 0, 0.8, 0), (0.8, 0, 0.8, 1)),
    ),
    "arabic": (((0, 0.7, 1, 0.7), (0.8, 0.1, 0.8, 0.7)), ((0, 0.7, 1, 0.7), (0.4, 1, 0.6, 1))),
    "han": (
        ((0, 0.1, 0.9, 0.1), (0, 0.5, 0.9, 0.5), (0, 0.9, 0.9, 0.9), (0.45, 0, 0.45, 1)),
        ((0, 0, 0, 1), (0.9, 0, 0.9, 1), (0, 0, 0.9, 0), (0, 0.5, 0.9, 0.5), (0, 1, 0.9, 1)),
    ),
    "kana": (((0, 0.2, 0.8, 0.2), (0.6, 0.2, 0.1, 1)), ((0.1, 0, 0.7, 0.9), (0.1, 0.6, 0.5, 0.2))),
    "hangul": (
        ((0, 0.3, 0.4, 0), (0.4, 0, 0.5, 0.5), (0, 0.3, 0.5, 0.5), (0.8, 0, 0.8, 1)),
        ((0, 0.5, 0.9, 0.5), (0.2, 1, 0.7, 1), (0.2, 0.7, 0.2, 1), (0.7, 0.7, 0.7, 1)),
    ),
    "devanagari": (
        ((0, 0, 1, 0), (0.7, 0, 0.7, 1), (0.2, 0.5, 0.7, 0.5)),
        ((0, 0, 1, 0), (0.4, 0, 0.4, 1)),
    ),
    "bengali": (
        ((0, 0, 1, 0), (0.8, 0, 0.8, 1), (0.1, 0.5, 0.8, 1), (0.1, 0.5, 0.8, 0.2)),
        ((0, 0, 1, 0), (0.2, 0.4, 0.7, 0.8)),
    ),
    "brahmic": (
        ((0.1, 0.4, 0.4, 0.1), (0.4, 0.1, 0.8, 0.5), (0.8, 0.5, 0.4, 0.9), (0.4, 0.9, 0.1, 0.4)),
        ((0.1, 1, 0.1, 0.3), (0.1, 0.3, 0.8, 0.3), (0.8, 0.3, 0.8, 1)),
    ),
    "greek": (
        ((0, 1, 0.45, 0), (0.45, 0, 0.9, 1), (0, 1, 0.9, 1)),
        ((0.1, 0, 0.9, 0), (0.5, 0, 0.5, 1)),
    ),
    "hebrew": (((0, 0.1, 0.8, 0.1), (0.8, 0.1, 0.8, 1), (0, 1, 0.8, 1)), ((0.5, 0.1, 0.5, 0.6),)),
    "caucasian": (
        ((0.1, 1, 0.1, 0.3), (0.1, 0.3, 0.6, 0), (0.6, 0, 0.9, 0.5)),
        ((0.1, 0.4, 0.5, 1), (0.5, 1, 0.9, 0.4)),
    ),
    "ethiopic": (
        ((0.1, 0, 0.1, 1), (0.6, 0, 0.6, 1), (0.1, 0.3, 0.6, 0.3)),
        ((0.4, 0, 0.4, 1), (0.1, 0.1, 0.8, 0.1), (0.2, 1, 0.6, 1)),
    ),
}


def draw_writing(
    canvas: Canvas, script: str, box: tuple[float, float, float, float], ink: Colour, order: int
) -> None:
    """Fill a box (left, top, right, bottom) with one line of a script; `order` picks the glyphs."""
    left, top, right, bottom = box
    height = bottom - top
    width = 0.85 * height
    glyphs = SCRIPTS.get(script, SCRIPTS["latin"])
    for number in range(int((right - left) / width)):
        x = left + number * width
        for x0, y0, x1, y1 in glyphs[(order >> number) & 1]:
            ends = [(x + 0.8 * width * a, top + height * b) for a, b in ((x0, y0), (x1, y1))]
            canvas.line(ends, ink, 0.17 * height)
