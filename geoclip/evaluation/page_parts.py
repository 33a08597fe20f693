"""Parts of a page: tables, line charts, a world map, and the page that holds them.

A page is one HTML file without scripts. It loads nothing. All texts are escaped.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.evaluation.metrics import Report
from geoclip.support.files import write_whole

ATTRIBUTION = (
    "Places: GeoNames, geonames.org, licensed CC BY 4.0. Outlines: Natural Earth, public domain."
)
STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1rem; color: #1d2733; background: #fff;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
p, ul { margin: .3rem 0 .6rem; }
.table { overflow-x: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e1e7ed; text-align: right;
  white-space: nowrap; }
th { color: #52606f; font-weight: 600; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
td:first-child { min-width: 7rem; white-space: normal; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
  gap: 1rem; }
figure { margin: 0; }
.charts figure { max-width: 30rem; }
figcaption { font-size: .85rem; color: #52606f; }
svg { display: block; width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none;
  font-size: .85rem; }
.legend svg { display: inline-block; width: .8rem; height: .8rem; }
@media (max-width: 600px) {
  table { font-size: .8rem; }
  th, td { padding: .2rem .35rem; }
  ul { padding-left: 1.1rem; }
}
footer { margin-top: 2rem; border-top: 1px solid #d5dce4; font-size: .75rem; color: #52606f; }
"""
COLOURS = ("#1769c2", "#c2410c", "#0f7a4a", "#7c3aed", "#0891b2")
MOST_DOTS = 3000
TOLERANCE_DEGREES = 0.3
SMALLEST_ISLAND = 0.1  # square degrees
WIDTH, HEIGHT, MARGIN = 360, 260, 40


@dataclass(frozen=True)
class Dots:
    """Points of a map that share a colour and a line of the legend; `titles` say what they are."""

    legend: str
    colour: str
    lat: Sequence[float]
    lon: Sequence[float]
    titles: Sequence[str]


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page; its policy lets nothing but its own style in."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>"
    )
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts, f"<footer>{ATTRIBUTION}</footer>"])
    whole = f"<head>\n{head}\n</head>\n<body>\n{body}\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n{whole}\n</html>\n'


def check_page(path: Path) -> None:
    """Raise GeoclipError for a page whose name does not end in .html."""
    if path.suffix.lower() != ".html":
        raise GeoclipError(f"{path} does not end in .html: name a page, such as report.html.")


def write_with_json(path: Path, text: str, report: Report) -> None:
    """Write a page and, beside it, its figures as a .json file."""
    _write(path, text)
    _write(path.with_suffix(".json"), json.dumps(report, indent=2, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    """Put a file in place whole; GeoclipError where it cannot be written."""
    content = text.encode("utf-8", "xmlcharrefreplace")
    try:
        write_whole(path, lambda file: file.write(content))
    except OSError as problem:
        raise GeoclipError(
            f"The page {path} cannot be written ({problem.strerror}): name another file."
        ) from None


def heading(text: str) -> str:
    """A heading."""
    return f"<h2>{escape(text)}</h2>"


def sentences(lines: Iterable[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its header; "" without rows."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:]
    )
    head = f"<thead><tr>{head}</tr></thead>"
    return f'<div class="table" tabindex="0"><table>{head}<tbody>{body}</tbody></table></div>'


def line_chart(
    lines: Mapping[str, Sequence[Sequence[float]]],
    caption: str,
    axes: tuple[str, str],
    diagonal: bool = False,
) -> str:
    """A chart of lines by name, each a list of (x, y) in percent; `axes` name x and y."""
    marks = [_axes(*axes)]
    if diagonal:
        marks.append(
            f'<path d="{_path([(0, 0), (100, 100)])}" stroke="#9aa6b2" stroke-dasharray="4"/>'
        )
    for points, colour in zip(lines.values(), COLOURS, strict=False):
        marks.append(f'<path d="{_path(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        dots = (_at(x, y) for x, y in points)
        marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in dots]
    drawn = "".join(marks)
    label = escape(caption, quote=True)
    legend = _legend(zip(lines, COLOURS, strict=False))
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{drawn}</svg>'
        f"<figcaption>{escape(caption)}</figcaption>{legend}</figure>"
    )


def world_map(layers: Sequence[Dots], caption: str) -> str:
    """A map of the world with dots, at most `MOST_DOTS`: beyond that every k-th one is drawn."""
    total = sum(len(layer.lat) for layer in layers)
    step = max(1, -(-total // MOST_DOTS))
    if step > 1:
        caption += f" One photo in {step} is drawn."
    marks = [f'<path d="{_land()}" fill="#f4f0e6" stroke="#b9b3a4" stroke-width=".3"/>']
    for layer in layers:
        shown = zip(layer.lat[::step], layer.lon[::step], layer.titles[::step], strict=True)
        marks += [
            f'<circle cx="{lon + 180:.2f}" cy="{90 - lat:.2f}" r="1.3" fill="{layer.colour}" '
            f'stroke="#fff" stroke-width=".2"><title>{escape(title)}</title></circle>'
            for lat, lon, title in shown
        ]
    legend = _legend((f"{one.legend}: {len(one.lat):,}", one.colour) for one in layers)
    return (
        f'<figure><svg viewBox="0 0 360 150" role="img" aria-label="{escape(caption, quote=True)}">'
        f'<rect width="360" height="180" fill="#dbe8f1"/>{"".join(marks)}</svg>'
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


def _axes(x_name: str, y_name: str) -> str:
    marks = []
    for tick in (0, 25, 50, 75, 100):
        (x, bottom), (left, y) = _at(tick, 0), _at(0, tick)
        grid = f"M{left:.1f} {y:.1f}H{WIDTH - 10}M{x:.1f} {bottom:.1f}V10"
        marks.append(f'<path d="{grid}" stroke="#e1e7ed"/>')
        marks.append(_text(x, bottom + 14, str(tick), "middle"))
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
    """The packaged outlines as one SVG path, thinned to what a page's width can show."""
    from geoclip.places.outlines import Outlines  # noqa: PLC0415  (geopandas, only for a page)

    rings = []
    for geometry in Outlines.default().frame.geometry.simplify(TOLERANCE_DEGREES):
        for part in getattr(geometry, "geoms", [geometry]):
            if part.area >= SMALLEST_ISLAND:
                places = np.asarray(part.exterior.coords)
                corners = (f"{lon + 180:.1f} {90 - lat:.1f}" for lon, lat in places)
                rings.append("M" + "L".join(corners) + "Z")
    return "".join(rings)


def file_names(photos: pd.DataFrame) -> list[str]:
    """What a page calls photos: their file names, without folders."""
    return [Path(name).name for name in photos["photo_id"]]
