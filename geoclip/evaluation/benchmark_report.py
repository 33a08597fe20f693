"""Rows of a benchmark beside the published ones: table, JSON and plot."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from geoclip.evaluation.benchmark_sets import PhotoSet
from geoclip.evaluation.matching import evaluate_tables, read_answers
from geoclip.evaluation.metrics import THRESHOLDS_KM
from geoclip.guesses.guess_files import parse_guesses
from geoclip.support.files import write_whole

PUBLISHED = Path(__file__).with_name("published_rows.csv")
KM = tuple(THRESHOLDS_KM.values())


@dataclass(frozen=True)
class Row:
    """One system on one set.

    `figures` are those of `Evaluation.report`; of a published row, those that were published.
    """

    benchmark: str
    system: str
    figures: dict[str, Any]
    protocol: str
    source: str = ""

    def cells(self) -> list[str]:
        """Set, system, the five shares, median km, GeoScore and number of photos."""
        within = [_number(self.figures["within_km"].get(str(km)), 1) for km in KM]
        rest = [_number(self.figures.get(key), 0) for key in ("median_km", "geoscore", "n")]
        return [self.benchmark, self.system, *within, *rest]


COLUMNS = ("benchmark", "system", *(f"{km} km" for km in KM), "median km", "GeoScore", "photos")


def published_rows(benchmark: str) -> list[Row]:
    """The published rows of a benchmark; none for a user's own."""
    table = pd.read_csv(PUBLISHED, keep_default_na=False)
    rows = []
    for one in table[table["benchmark"] == benchmark].to_dict("records"):
        within = {str(km): float(one[f"km{km}"]) for km in KM if one[f"km{km}"] != ""}
        figures: dict[str, Any] = {"within_km": within}
        if one["geoscore"] != "":
            figures["geoscore"] = float(one["geoscore"])
        rows.append(Row(benchmark, one["system"], figures, one["protocol"], one["source"]))
    return rows


def evaluated_row(photos: PhotoSet, guesses: pd.DataFrame, system: str, protocol: str) -> Row:
    """The row of a system that made `guesses` on a photo set; a photo without one is a miss.

    Guesses match by file; those whose files lie elsewhere, as of a cluster, by file name.
    """
    truth = photos.photos[["path", "lat", "lon"]]
    if not guesses["path"].isin(truth["path"]).any():
        truth = photos.photos[["name", "lat", "lon"]].rename(columns={"name": "IMG_ID"})
    return Row(photos.name, system, evaluate_tables(guesses, truth).report(), protocol)


def read_guess_parts(path: Path) -> pd.DataFrame:
    """Guesses of a file (see `read_answers`), or of the folder of `pipelines.locate_photos`.

    Raises GeoclipError for what is no table of guesses.
    """
    if not path.is_dir():
        return read_answers(path)
    columns = ["path", "rank", "source", "lat", "lon", "radius_km", "status"]
    frame = pd.read_parquet(path, columns=columns)
    return parse_guesses(frame.set_axis(pd.RangeIndex(1, len(frame) + 1)), path)


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


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
