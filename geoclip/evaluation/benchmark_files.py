"""Outputs of a benchmark: a table, a JSON file and a plot of its rows."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from geoclip.evaluation.benchmark_rows import COLUMNS, FIGURES, KM, Row, published_rows
from geoclip.evaluation.benchmark_sets import PhotoSet
from geoclip.evaluation.intervals import by_country
from geoclip.support.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = 10  # of matplotlib's cycle
PANELS = {"within_km": "photos within, %", "within_km_by_country": "mean over countries, %"}


def differences(photos: PhotoSet) -> list[str]:
    """Differences of these rows from the published ones, one sentence each."""
    said = []
    if photos.missing:
        said.append(
            f"{photos.missing:,} of {len(photos.photos):,} photos of {photos.name} are not in "
            f"{photos.folder}: counted as misses."
        )
    if published_rows(photos.name):
        said.append(
            f"Published rows of {photos.name} are as printed by their authors, on all its "
            f"photos; they were not run here."
        )
    else:
        said.append(f"No published rows of {photos.name} are known here.")
    return said


def write_report(out: Path, sets: Iterable[PhotoSet], rows: list[Row]) -> None:
    """Write `benchmark.json` and `benchmark.csv` into a folder."""
    report = {
        photos.name: {
            "truth": str(photos.truth_file),
            "photos": len(photos.photos),
            "missing_photos": photos.missing,
            "differences": differences(photos),
            "rows": [
                {"system": r.system, "published": bool(r.source), "source": r.source}
                | {"protocol": r.protocol, **r.figures}
                for r in rows
                if r.benchmark == photos.name
            ],
        }
        for photos in sets
    }
    text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_whole(out / "benchmark.json", lambda file: file.write(text.encode()))
    table = pd.DataFrame([row.cells() for row in rows], columns=COLUMNS)
    table = table.join(pd.DataFrame(list(map(_more_figures, rows))))
    table = table.assign(source=[row.source for row in rows])
    write_whole(out / "benchmark.csv", lambda file: file.write(table.to_csv(index=False).encode()))


def _more_figures(row: Row) -> dict[str, float | None]:
    """The means over countries and the ends of all intervals, keyed by table column."""
    cells: dict[str, float | None] = {}
    for title, plain in FIGURES.items():
        for column, name in ((title, plain), (f"{title} by country", by_country(plain))):
            if name != plain:
                cells[column] = row.figure(name)
            cells[f"{column} low"], cells[f"{column} high"] = row.interval(name) or (None, None)
    return cells


def write_plot(path: Path, rows: list[Row]) -> bool:
    """Draw the share of photos within each distance, plain and by country; a column for each set.

    Rows measured here have bands, their 95 % intervals. Returns False, and writes nothing, where
    matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        return False
    names = list(dict.fromkeys(row.benchmark for row in rows))
    systems = dict.fromkeys(row.system for row in sorted(rows, key=lambda row: row.source != ""))
    places = {system: place for place, system in enumerate(systems)}
    figure = Figure(figsize=(7 * len(names), 6 * len(PANELS)), layout="constrained")
    panels = figure.subplots(len(PANELS), len(names), squeeze=False)
    for across, (figures, label) in zip(panels, PANELS.items(), strict=True):
        for name, panel in zip(names, across, strict=True):
            _draw(panel, [row for row in rows if row.benchmark == name], figures, places)
            panel.set(title=name, xscale="log", xlabel="km", ylabel=label, ylim=(0, 100))
            panel.set_xticks(KM, [f"{km:,}" for km in KM])
            panel.minorticks_off()
            if panel.get_legend_handles_labels()[0]:  # else there is no row with such figures
                below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12)}
                panel.legend(fontsize="small", ncols=2, **below)
    write_whole(path, lambda file: figure.savefig(file, format="png"))
    return True


def _draw(panel: "Axes", rows: list[Row], figures: str, places: dict[str, int]) -> None:
    """One line per row: published ones dashed, measured ones with their intervals.

    `places` number the systems; each has its colour, from the eleventh on dotted instead of dashed.
    """
    for row in rows:
        shares: dict[str, Any] = row.figures.get(figures) or {}
        if None in shares.values() or not shares:
            continue
        at = [float(km) for km in shares]
        place = places[row.system]
        style, colour = ("--" if place < COLOURS else ":") if row.source else "-o", f"C{place}"
        panel.plot(at, list(shares.values()), style, color=colour, label=row.system, alpha=0.8)
        ends = row.figures.get("intervals", {}).get(figures)
        if ends:
            low, high = zip(*ends.values(), strict=True)
            panel.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)
