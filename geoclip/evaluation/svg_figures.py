"""Pictures of a page as SVG: line charts and a world map. All texts are escaped."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from geoclip.support.seeds import seeded_generator

COLOURS = ("#1769c2", "#c2410c", "#0f7a4a", "#7c3aed", "#0891b2", "#be185d")
TICKS = (0, 25, 50, 75, 100)
MOST_DOTS = 3000
TOLERANCE_DEGREES = 0.3
SMALLEST_ISLAND = 0.1  # square degrees
LOWEST_SHOWN = -58  # degrees; the map ends below, unless a photo lies there
WIDTH, HEIGHT, MARGIN = 360, 260, 40


@dataclass(frozen=True)
class Dots:
    """Points of a map with one colour and legend entry; `titles` are their labels."""

    legend: str
    colour: str
    lat: Sequence[float]
    lon: Sequence[float]
    titles: Sequence[str]


def line_chart(
    lines: Mapping[str, Sequence[Sequence[float]]],
    caption: str,
    axes: tuple[str, str],
    diagonal: bool = False,
    x_ticks: Sequence[str] = tuple(map(str, TICKS)),
) -> str:
    """A chart of lines by name, at most as many as `COLOURS`, each a list of (x, y) in percent.

    `axes` name x and y, `x_ticks` are the labels at 0, 25, 50, 75 and 100 of x.
    """
    marks = [_axes(*axes, x_ticks)]
    if diagonal:
        marks.append(
            f'<path d="{_path([(0, 0), (100, 100)])}" stroke="#9aa6b2" stroke-dasharray="4"/>'
        )
    coloured = list(zip(lines, COLOURS[: len(lines)], strict=True))
    for name, colour in coloured:
        points = lines[name]
        marks.append(f'<path d="{_path(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        dots = (_at(x, y) for x, y in points)
        marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in dots]
    drawn = "".join(marks)
    label = escape(caption, quote=True)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{drawn}</svg>'
        f"<figcaption>{escape(caption)}</figcaption>{_legend(coloured)}</figure>"
    )


def world_map(layers: Sequence[Dots], caption: str) -> str:
    """A map of the world with dots, at most `MOST_DOTS`: beyond that it draws one in k.

    Dots are drawn in a fixed random order, so that no layer hides another.
    """
    dots = [
        f'<circle cx="{lon + 180:.2f}" cy="{90 - lat:.2f}" r="1.3" fill="{layer.colour}" '
        f'stroke="#fff" stroke-width=".2"><title>{escape(title)}</title></circle>'
        for layer in layers
        for lat, lon, title in zip(layer.lat, layer.lon, layer.titles, strict=True)
    ]
    step = max(1, -(-len(dots) // MOST_DOTS))
    if step > 1:
        caption += f" One photo in {step} is drawn."
    shown = seeded_generator("world map").permutation(len(dots))[::step]
    south = min((lat for layer in layers for lat in layer.lat), default=0)
    height = 150 if south > LOWEST_SHOWN else 180
    legend = _legend((f"{one.legend}: {len(one.lat):,}", one.colour) for one in layers)
    return (
        f'<figure><svg viewBox="0 0 360 {height}" role="img" '
        f'aria-label="{escape(caption, quote=True)}">'
        '<rect width="360" height="180" fill="#dbe8f1"/>'
        f'<path d="{_land()}" fill="#f4f0e6" stroke="#b9b3a4" stroke-width=".3"/>'
        f"{''.join(dots[i] for i in shown)}</svg>"
        f"<figcaption>{escape(caption)}</figcaption>{legend}</figure>"
    )


def _legend(entries: Iterable[tuple[str, str]]) -> str:
    items = (
        f'<li><svg viewBox="0 0 10 10"><circle cx="5" cy="5" r="4" fill="{colour}"/></svg> '
        f"{escape(name)}</li>"
        for name, colour in entries
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _at(x: float, y: float) -> tuple[float, float]:
    """A point in percent on the chart's canvas."""
    return (
        MARGIN + x / 100 * (WIDTH - MARGIN - 10),
        HEIGHT - MARGIN - y / 100 * (HEIGHT - MARGIN - 10),
    )


def _path(points: Sequence[Sequence[float]]) -> str:
    places = (_at(x, y) for x, y in points)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _axes(x_name: str, y_name: str, x_ticks: Sequence[str]) -> str:
    marks = []
    for tick, x_tick in zip(TICKS, x_ticks, strict=True):
        (x, bottom), (left, y) = _at(tick, 0), _at(0, tick)
        grid = f"M{left:.1f} {y:.1f}H{WIDTH - 10}M{x:.1f} {bottom:.1f}V10"
        marks.append(f'<path d="{grid}" stroke="#e1e7ed"/>')
        marks.append(_text(x, bottom + 14, x_tick, "middle"))
        marks.append(_text(left - 5, y + 3, str(tick), "end"))
    marks.append(_text(WIDTH / 2 + 15, HEIGHT - 8, x_name, "middle"))
    turned = f'transform="rotate(-90 10 {HEIGHT / 2 - 15:.0f})"'
    marks.append(_text(10, HEIGHT / 2 - 15, y_name, "middle", turned))
    return "".join(marks)


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" fill="#52606f" text-anchor="{anchor}" '
        f"{more}>{escape(text)}</text>"
    )


def _land() -> str:
    """The packaged outlines as one SVG path, thinned to a page's resolution."""
    from geoclip.places.outlines import Outlines  # noqa: PLC0415  (geopandas, only for a page)

    rings = []
    for geometry in Outlines.default().frame.geometry.simplify(TOLERANCE_DEGREES):
        for part in getattr(geometry, "geoms", [geometry]):
            if part.area >= SMALLEST_ISLAND:
                places = np.asarray(part.exterior.coords)
                corners = (f"{lon + 180:.1f} {90 - lat:.1f}" for lon, lat in places)
                rings.append("M" + "L".join(corners) + "Z")
    return "".join(rings)
