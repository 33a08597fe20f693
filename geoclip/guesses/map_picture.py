"""A still map of guesses for a paper or a slide: PNG, PDF or SVG."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses.maps import check_columns
from geoclip.guesses.phrases import shown_probability
from geoclip.guesses.schema import ALBUM, GALLERY, GPS, guess_table
from geoclip.support.files import write_for_user

if TYPE_CHECKING:
    from geoclip.places.outlines import Outlines

ENDINGS = (".png", ".pdf", ".svg")
SHAPES = {GPS: "s", ALBUM: "^", GALLERY: "D"}
MARGIN = 0.08
"""Of the width and height of what is shown."""
LEAST_DEGREES = 4.0


def write_map_picture(
    guesses: pd.DataFrame,
    path: str | os.PathLike[str],
    truth: pd.DataFrame | None = None,
    *,
    width: float = 7.0,
    dpi: int = 200,
    outlines: "Outlines | None" = None,
) -> None:
    """Draw the first guess of each photo over country outlines, `width` inches wide.

    Colour is the probability of the named place; squares are GPS positions, triangles guesses by
    album, diamonds by gallery. `truth` (path, lat, lon) adds crosses with a line from each guess.
    Longitudes and latitudes are drawn as x and y. The ending of `path` is .png, .pdf or .svg.
    Raises GeoclipError for another, where nothing is located, where matplotlib is not installed
    (it comes with `geoclip-gzsl[notebooks]`), and where the file cannot be written.

    >>> guesses = pd.DataFrame({"path": ["a.jpg"], "rank": [1], "lat": [45.8], "lon": [4.8]})
    >>> write_map_picture(guesses, "map.png")
    >>> Path("map.png").is_file()
    True
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise GeoclipError(f"{path} ends in none of {', '.join(ENDINGS)}: give it one of these.")
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise GeoclipError(
            "A picture of a map needs matplotlib: pip install 'geoclip-gzsl[notebooks]'."
        ) from None
    check_columns(guesses, path, ("path", "rank", "lat", "lon"))
    best = _located(guesses, truth)
    if best.empty:
        raise GeoclipError(f"No photo of the table for {path} is located: there is nothing to map.")
    box = _box(best)
    height = width * min((box[3] - box[1]) / (box[2] - box[0]), 1.4) + 0.4
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    _draw_land(axes, box, outlines)
    _draw_truth(axes, best)
    coloured = _draw_photos(axes, best)
    if coloured is not None:
        bar = figure.colorbar(coloured, ax=axes, shrink=0.6, pad=0.01)
        bar.set_label("probability", size=7)
        bar.ax.tick_params(labelsize=6, length=2)
    kind: Any = path.suffix.lower().removeprefix(".")
    write_for_user(
        path, lambda file: figure.savefig(file, format=kind, dpi=dpi, bbox_inches="tight")
    )


def _located(guesses: pd.DataFrame, truth: pd.DataFrame | None) -> pd.DataFrame:
    """First guesses with a point, their shown probability and the true point (NaN without one)."""
    table = guess_table(guesses)
    best = table[(table["rank"] == 1) & table["lat"].notna() & table["lon"].notna()]
    shown = [shown_probability(row) for row in best.to_dict("records")]
    best = best.assign(shown=np.array(shown, dtype=np.float64), true_lat=np.nan, true_lon=np.nan)
    if truth is not None:
        known = truth.drop_duplicates("path").set_index("path")
        best["true_lat"] = best["path"].map(known["lat"])
        best["true_lon"] = best["path"].map(known["lon"])
    return best


def _box(best: pd.DataFrame) -> tuple[float, float, float, float]:
    """West, south, east, north of what is shown."""
    sides = []
    for name, limit in (("lon", 180.0), ("lat", 90.0)):
        values = best[[name, f"true_{name}"]].to_numpy(np.float64)
        low, high = np.nanmin(values), np.nanmax(values)
        margin = max((high - low) * MARGIN, (LEAST_DEGREES - (high - low)) / 2)
        sides.append((max(low - margin, -limit), min(high + margin, limit)))
    (west, east), (south, north) = sides
    return west, south, east, north


def _draw_land(
    axes: Any, box: tuple[float, float, float, float], outlines: "Outlines | None"
) -> None:
    from geoclip.places.outlines import Outlines  # noqa: PLC0415  (geopandas)

    frame = (outlines or Outlines.default()).frame
    frame.plot(ax=axes, facecolor="#f3efe4", edgecolor="#a39c8b", linewidth=0.4, zorder=0)
    axes.set(xlim=(box[0], box[2]), ylim=(box[1], box[3]), xlabel="", ylabel="", aspect="equal")
    axes.set_facecolor("#dbe8f1")
    axes.tick_params(labelsize=6, length=2)


def _draw_truth(axes: Any, best: pd.DataFrame) -> None:
    known = best[best["true_lat"].notna()]
    for row in known.itertuples():
        ends = [row.lon, row.true_lon], [row.lat, row.true_lat]
        axes.plot(*ends, color="#0b6b40", linewidth=0.5, alpha=0.6, zorder=1)
    axes.plot(known["true_lon"], known["true_lat"], "+", color="#0b6b40", markersize=5, zorder=3)


def _draw_photos(axes: Any, best: pd.DataFrame) -> Any:
    """The marks; what a colour bar needs, or None where there is no probability."""
    unsure = (best["level"] == "none") & (best["source"] != GPS)
    stated = best["source"] == GPS
    outline = {"edgecolors": "#1d2733", "linewidths": 0.6, "s": 22, "zorder": 2}
    axes.scatter(best["lon"][unsure], best["lat"][unsure], facecolors="none", **outline)
    axes.scatter(best["lon"][stated], best["lat"][stated], marker="s", color="#1769c2", **outline)
    rest = best[~unsure & ~stated & best["shown"].notna()]
    scale = {"vmin": rest["shown"].min(), "vmax": rest["shown"].max(), "cmap": "plasma_r"}
    drawn = None
    for source, some in rest.groupby("source"):
        marker = SHAPES.get(str(source), "o")
        drawn = axes.scatter(
            some["lon"], some["lat"], c=some["shown"], marker=marker, **scale, **outline
        )
    return drawn
