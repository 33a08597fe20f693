"""Guesses → one HTML file with a map, which needs no network and no other file."""

import math
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses.basemap import basemap
from geoclip.guesses.map_marks import folder_marks
from geoclip.guesses.page_files import write_page
from geoclip.guesses.phrases import guess_phrase, place_phrase, shown_probability
from geoclip.guesses.schema import GPS
from geoclip.places.sphere import great_circle_km
from geoclip.support.paths import decode_path

if TYPE_CHECKING:
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.places.outlines import Outlines

ATTRIBUTION = (
    "Places: GeoNames, geonames.org, licensed CC BY 4.0. Outlines: Natural Earth, public domain."
)
THUMBNAIL_SIDE = 200
"""Pixels of a picture's longer side."""


def write_map(
    guesses: pd.DataFrame,
    path: str | os.PathLike[str],
    truth: pd.DataFrame | None = None,
    title: str = "Where the photos were taken",
    *,
    show_paths: bool = False,
    thumbnails: bool = False,
    way: bool = False,
    outlines: "Outlines | None" = None,
    gazetteer: "Gazetteer | None" = None,
) -> None:
    """Write a map of guesses (the columns of `geoclip.guesses.schema`) as one HTML file.

    `truth` has the columns path, lat, lon (degrees), joined on `path`. Photos are shown by file
    name and the folder below the one that holds all, unless `show_paths`. With `thumbnails` the
    page holds a small picture of each photo, without its metadata, and the time when it was taken.
    With `way` a line joins the answers in the table's order, as for the moments of a clip.
    `outlines` and `gazetteer` are what the map shows below the photos. The file is put in place
    when it is complete. Raises GeoclipError when a column is missing or the file cannot be written.

    >>> guesses = pd.DataFrame({"path": ["holiday/grey.jpg"], "rank": [1], "lat": [45.8],
    ...                         "lon": [4.8], "city": ["Lyon"], "probability": [0.6]})
    >>> write_map(guesses, "map.html", thumbnails=True)
    >>> Path("map.html").stat().st_size < 1_000_000
    True
    """
    check_columns(guesses, path, ("path", "rank", "lat", "lon"))
    if truth is not None:
        check_columns(truth, path, ("path", "lat", "lon"))
    photos = photo_entries(guesses, _true_places(truth), show_paths)
    paths = guesses["path"].map(str).unique()
    if thumbnails:
        add_pictures(photos, paths, THUMBNAIL_SIDE)
    data = {"photos": photos, "way": way, **basemap(outlines, gazetteer)}
    marks = " ".join(sorted(folder_marks(map(decode_path, paths))))
    texts = {"title": title, "attribution": ATTRIBUTION, "folders": marks}
    write_page(Path(path), "map", texts, data)


def check_columns(
    table: pd.DataFrame, path: str | os.PathLike[str], columns: Iterable[str]
) -> None:
    """Raise GeoclipError where the table for a page lacks a column."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise GeoclipError(f"The table for the map {path} has no column {', '.join(missing)}.")


def add_pictures(photos: list[dict[str, Any]], paths: Iterable[str], side: int) -> None:
    """Add pictures and times to the entries of the photos `paths`, in the same order."""
    from geoclip.photos.thumbnails import thumbnail  # noqa: PLC0415  (decoders)

    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda path: thumbnail(path, side, quality=72), paths)
        for photo, (picture, taken) in zip(photos, found, strict=True):
            photo |= {"thumb": picture, "taken": taken}


def _true_places(truth: pd.DataFrame | None) -> dict[str, list[float]]:
    if truth is None:
        return {}
    known = truth.dropna(subset=["lat", "lon"])
    places = zip(known["path"].map(str), known["lat"], known["lon"], strict=True)
    return {path: [float(lat), float(lon)] for path, lat, lon in places}


def photo_entries(
    guesses: pd.DataFrame,
    truth: dict[str, list[float]],
    show_paths: bool = False,
    more: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """One entry for each photo, in the table's order; `more` are text columns that guesses keep."""
    paths = list(dict.fromkeys(guesses["path"].map(str)))
    names = _shown_names(paths, show_paths)
    photos: dict[str, dict[str, Any]] = {}
    columns = [name for name in guesses.columns if name != "geometry"]
    for row in pd.DataFrame(guesses[columns]).sort_values("rank", kind="stable").to_dict("records"):
        path = str(row["path"])
        photo = photos.setdefault(path, _photo(row, truth.get(path), names[path]))
        if _number(row["lat"]) is not None and _number(row["lon"]) is not None:
            texts = {name: _text(row.get(name)) for name in more}
            photo["guesses"].append(_guess(row) | texts)
    for path, photo in photos.items():
        if photo["guesses"] and path in truth:
            best = photo["guesses"][0]
            photo["error_km"] = float(great_circle_km(best["lat"], best["lon"], *truth[path]))
    return [photos[path] for path in paths]


def _shown_names(paths: list[str], show_paths: bool) -> dict[str, tuple[str, str]]:
    """Name and folder of each photo; a name that two share has the folder before it."""
    if show_paths:
        return {path: (path, "") for path in paths}
    files = {path: decode_path(path) for path in paths}
    folders = {path: _parts_below(file) for path, file in files.items()}
    shared = _common(list(folders.values()))
    below = {path: "/".join(parts[shared:]) for path, parts in folders.items()}
    called = Counter(file.name for file in files.values())
    shown = {}
    for path, file in files.items():
        told = f"{below[path]}/{file.name}" if called[file.name] > 1 and below[path] else file.name
        shown[path] = (told.encode("utf-8", "replace").decode() or path, below[path])
    return shown


def _parts_below(file: Path) -> tuple[str, ...]:
    """The folders of a path, by name."""
    return tuple(part.encode("utf-8", "replace").decode() for part in file.parent.parts)


def _common(folders: list[tuple[str, ...]]) -> int:
    """How many folders all paths share at their beginning."""
    levels = zip(*folders, strict=False)
    return next(
        (n for n, names in enumerate(levels) if len(set(names)) > 1),
        min(map(len, folders), default=0),
    )


def _photo(
    row: dict[Any, Any], truth: list[float] | None, called: tuple[str, str]
) -> dict[str, Any]:
    return {
        "name": called[0],
        "folder": called[1],
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
        "level": _text(row.get("level")),
        "continent": _text(row.get("continent")),
        "country": _text(row.get("country")),
        "country_code": _text(row.get("country_code")),
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
