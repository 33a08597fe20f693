"""Rows of a benchmark: of guesses that are evaluated here, and the published ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from geoclip.evaluation.benchmark_sets import PhotoSet
from geoclip.evaluation.matching import evaluate_tables, read_answers
from geoclip.evaluation.metrics import THRESHOLDS_KM
from geoclip.guesses.guess_files import parse_guesses

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


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
