"""Guesses → one HTML file with a map, which needs no network and no other file."""

import base64
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses.phrases import guess_phrase, place_phrase, shown_probability
from geoclip.guesses.schema import GPS
from geoclip.places.sphere import great_circle_km
from geoclip.support.files import write_whole

if TYPE_CHECKING:
    from geoclip.places.outlines import Outlines

ATTRIBUTION = (
    "Places: GeoNames, geonames.org, licensed CC BY 4.0. Outlines: Natural Earth, public domain."
)
PAGE_FOLDER = Path(__file__).resolve().parent / "map_page"

# Outlines are thinned to what a map of a screen's width can show.
TOLERANCE_DEGREES = 0.12
STEPS_PER_DEGREE = 20
SMALLEST_RING = 0.02
"""Square degrees; of a country whose rings are all smaller, the largest stays."""


def write_map(
    guesses: pd.DataFrame,
    path: str | os.PathLike[str],
    truth: pd.DataFrame | None = None,
    title: str = "Where the photos were taken",
    *,
    show_paths: bool = False,
    outlines: "Outlines | None" = None,
) -> None:
    """Write a map of guesses (the columns of `geoclip.guesses.schema`) as one HTML file.

    `truth` has the columns path, lat, lon (degrees), joined on `path`. Photos are shown by file
    name alone unless `show_paths`. The file is put in place when it is complete.
    Raises GeoclipError when a column is missing or the file cannot be written.
    """
    for table, columns in (
        (guesses, ("path", "rank", "lat", "lon")),
        (truth, ("path", "lat", "lon")),
    ):
        missing = [] if table is None else [name for name in columns if name not in table.columns]
        if missing:
            raise GeoclipError(f"The table for the map {path} has no column {', '.join(missing)}.")
    data = {
        "photos": _photos(guesses, _true_places(truth), show_paths),
        "countries": list(_rings(outlines)),
        "steps": STEPS_PER_DEGREE,
    }
    _replace_file(Path(path), _page(title, data))


def _true_places(truth: pd.DataFrame | None) -> dict[str, list[float]]:
    if truth is None:
        return {}
    known = truth.dropna(subset=["lat", "lon"])
    places = zip(known["path"].map(str), known["lat"], known["lon"], strict=True)
    return {path: [float(lat), float(lon)] for path, lat, lon in places}


def _photos(
    guesses: pd.DataFrame, truth: dict[str, list[float]], show_paths: bool
) -> list[dict[str, Any]]:
    """One entry for each photo, in the table's order."""
    photos: dict[str, dict[str, Any]] = {}
    columns = [name for name in guesses.columns if name != "geometry"]
    for row in pd.DataFrame(guesses[columns]).sort_values("rank", kind="stable").to_dict("records"):
        path = str(row["path"])
        photo = photos.setdefault(path, _photo(row, truth.get(path), show_paths))
        if _number(row["lat"]) is not None and _number(row["lon"]) is not None:
            photo["guesses"].append(_guess(row))
    for path, photo in photos.items():
        if photo["guesses"] and path in truth:
            best = photo["guesses"][0]
            photo["error_km"] = float(great_circle_km(best["lat"], best["lon"], *truth[path]))
    return [photos[path] for path in dict.fromkeys(guesses["path"].map(str))]


def _photo(row: dict[Any, Any], truth: list[float] | None, show_paths: bool) -> dict[str, Any]:
    path = str(row["path"])
    return {
        "name": path if show_paths else Path(path).name or path,
        "status": _text(row.get("status")) or "ok",
        "source": _text(row.get("source")) or "model",
        "truth": truth,
        "error_km": None,
        "guesses": [],
    }


def _guess(row: dict[Any, Any]) -> dict[str, Any]:
    return {
        "rank": int(row["rank"]),
        "told": guess_phrase(row),
        "place": place_phrase(row) or _text(row.get("place_id")),
        "lat": _number(row["lat"]),
        "lon": _number(row["lon"]),
        "probability": _number(shown_probability(row), ".3g"),
        "radius": _number(row.get("radius_km")),
        "radius_90": _number(row.get("radius_90_km")),
        "drawn": _text(row.get("level")) not in ("continent", "none"),
        "sure": _text(row.get("level")) != "none" or _text(row.get("source")) == GPS,
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any, form: str = ".5f") -> float | None:
    """A finite number rounded as by `format`, or None; five decimals of a degree are a metre."""
    if value is None or value is pd.NA or not math.isfinite(value):
        return None
    return float(format(float(value), form))


def _rings(outlines: "Outlines | None") -> Iterator[list[list[int]]]:
    """For each country its rings, thinned, as steps from vertex to vertex: lon, lat, lon, lat…"""
    from geoclip.places.outlines import Outlines  # noqa: PLC0415  (geopandas, only when a map is drawn)

    frame = (outlines or Outlines.default()).frame
    for geometry in frame.geometry.simplify(TOLERANCE_DEGREES):
        parts = sorted(getattr(geometry, "geoms", [geometry]), key=lambda part: -part.area)
        kept = parts[:1] + [part for part in parts[1:] if part.area >= SMALLEST_RING]
        yield [_steps(ring.coords) for part in kept for ring in (part.exterior, *part.interiors)]


def _steps(vertices: Any) -> list[int]:
    steps: list[int] = []
    last = (0, 0)
    for lon, lat in vertices:
        here = (round(lon * STEPS_PER_DEGREE), round(lat * STEPS_PER_DEGREE))
        if not steps or here != last:
            steps += [here[0] - last[0], here[1] - last[1]]
            last = here
    return steps


def _page(title: str, data: dict[str, Any]) -> str:
    """Fill the page; its policy lets only this very script and this very style run."""
    style = (PAGE_FOLDER / "style.css").read_text(encoding="utf-8")
    script = (PAGE_FOLDER / "script.js").read_text(encoding="utf-8")
    parts = {
        "csp": (
            f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        "title": html.escape(title),
        "attribution": html.escape(ATTRIBUTION),
        "style": style,
        "script": script,
        "data": _json_for_html(data),
    }
    page = (PAGE_FOLDER / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page)


def _digest(text: str) -> str:
    """The hash source of a Content-Security-Policy (CSP level 2)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json_for_html(data: dict[str, Any]) -> str:
    """JSON that cannot end its script element, whatever the texts in it are."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _replace_file(path: Path, page: str) -> None:
    # A file name's undecodable bytes become character references.
    content = page.encode("utf-8", "xmlcharrefreplace")
    try:
        write_whole(path, lambda file: file.write(content))
    except OSError as problem:
        raise GeoclipError(f"The map {path} cannot be written: {problem.strerror}.") from None
