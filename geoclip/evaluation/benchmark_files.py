"""What a benchmark leaves behind: a table, a JSON file and a plot of its rows."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from geoclip.evaluation.benchmark_rows import COLUMNS, KM, Row, published_rows
from geoclip.evaluation.benchmark_sets import PhotoSet
from geoclip.support.files import write_whole


def differences(photos: PhotoSet) -> list[str]:
    """What sets these rows apart from the published ones, one sentence each."""
    said = []
    if photos.missing:
        said.append(
            f"{photos.missing:,} of {len(photos.photos):,} photos of {photos.name} are not in "
            f"{photos.folder}: counted as misses."
        )
    if published_rows(photos.name):
        said.append(
            f"Published rows of {photos.name} are as printed by their authors, on all its photos; "
            "they were not run here."
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
    table = table.assign(source=[row.source for row in rows])
    write_whole(out / "benchmark.csv", lambda file: file.write(table.to_csv(index=False).encode()))


def write_plot(path: Path, rows: list[Row]) -> bool:
    """Draw the share of photos within each distance, a panel for each set.

    Returns False, and writes nothing, where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        return False
    names = list(dict.fromkeys(row.benchmark for row in rows))
    figure = Figure(figsize=(7 * len(names), 5), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for name, panel in zip(names, panels, strict=True):
        for row in rows:
            shares = row.figures["within_km"]
            if row.benchmark != name or not shares:
                continue
            at = [float(km) for km in shares]
            style = "--" if row.source else "-o"
            panel.plot(at, list(shares.values()), style, label=row.system, alpha=0.8)
        panel.set(title=name, xscale="log", xlabel="km", ylabel="photos within, %", ylim=(0, 100))
        panel.set_xticks(KM, [f"{km:,}" for km in KM])
        panel.minorticks_off()
        panel.legend(fontsize="small")
    write_whole(path, lambda file: figure.savefig(file, format="png"))
    return True
