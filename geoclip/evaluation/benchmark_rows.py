"""Rows of a benchmark: measured here from guesses, and published ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import ArrowException

from geoclip.errors import GeoclipError
from geoclip.evaluation.benchmark_sets import PhotoSet
from geoclip.evaluation.cells import Rows, number, span_after
from geoclip.evaluation.intervals import by_country
from geoclip.evaluation.matching import evaluate_tables, read_answers
from geoclip.evaluation.metrics import THRESHOLDS_KM
from geoclip.evaluation.truth_tables import TRUTH_EXTRAS
from geoclip.guesses.guess_files import parse_guesses
from geoclip.guesses.schema import COLUMNS as GUESS_COLUMNS
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.paths import decode_path

PUBLISHED = Path(__file__).with_name("published_rows.csv")
KM = tuple(THRESHOLDS_KM.values())
FIGURES = {f"{km} km": f"within_km {km}" for km in KM}
FIGURES |= {"median km": "median_km", "GeoScore": "geoscore"}
"""Titles of a row's figures, and their names in a report."""
COLUMNS = ("benchmark", "system", *FIGURES, "photos")


@dataclass(frozen=True)
class Row:
    """One system on one set.

    `figures` are those of `Evaluation.report`; a published row has only the published ones, and
    `source` names the publication.
    """

    benchmark: str
    system: str
    figures: dict[str, Any]
    protocol: str
    source: str = ""

    def figure(self, name: str) -> float | None:
        """A figure by its name, such as "geoscore" or "within_km 25"; None if absent."""
        value: float | None = _found(self.figures, name)
        return value

    def interval(self, name: str) -> list[float | None] | None:
        """The 95 % interval of a figure."""
        ends: list[float | None] | None = _found(self.figures.get("intervals", {}), name)
        return ends

    def cells(self) -> list[str]:
        """The row's cells for `COLUMNS`."""
        figures = [number(self.figure(name), _decimals(name)) for name in FIGURES.values()]
        return [self.benchmark, self.system, *figures, number(self.figure("n"))]


def measured_table(rows: list[Row]) -> Rows:
    """The figures of rows measured here, over photos and over countries, with 95 % intervals."""
    table = [["benchmark", "system", "figure", "photos (95 %)", "mean over countries (95 %)"]]
    for row in rows:
        for title, plain in FIGURES.items() if not row.source else ():
            decimals = _decimals(plain)
            both = (
                number(row.figure(name), decimals) + span_after(row.interval(name), decimals)
                for name in (plain, by_country(plain))
            )
            table.append([row.benchmark, row.system, title, *both])
    return table if len(table) > 1 else []


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


def evaluated_rows(
    photos: PhotoSet,
    guesses: pd.DataFrame,
    system: str,
    protocol: str,
    gazetteer: Gazetteer | None = None,
) -> list[Row]:
    """The row of a system with its `guesses` on a photo set; a photo without a guess is a miss.

    Photos refused as "no evidence" are not misses: the row leaves them out, and a second row counts
    them as misses. Guesses match by file; those with files elsewhere, as from a cluster, by file
    name.
    """
    extras = [name for name in TRUTH_EXTRAS if name in photos.photos]
    truth = photos.photos[["path", "lat", "lon", *extras]]
    if not guesses["path"].isin(truth["path"]).any():
        names = photos.photos[["name", "lat", "lon", *extras]]
        truth = names.rename(columns={"name": "IMG_ID"})
    whole = evaluate_tables(guesses, truth, gazetteer=gazetteer)
    refused = whole.abstained
    count = f"{refused.sum():,} refused as no evidence"
    found = {f"{system}, with {count} as misses" if refused.any() else system: whole}
    if refused.any() and whole.answered:
        apart = evaluate_tables(guesses, truth[~refused], gazetteer=gazetteer)
        found = {f"{system}, without {count}": apart, **found}
    if whole.missing:
        protocol += f"; {whole.missing:,} photos without a guess are misses"
    return [Row(photos.name, name, one.report(), protocol) for name, one in found.items()]


def has_guesses(photos: PhotoSet, guesses: pd.DataFrame) -> bool:
    """Whether a table has a guess for any photo of a set, by file name."""
    names = {decode_path(path).name for path in guesses["path"]}
    return not names.isdisjoint(photos.photos["name"])


def read_guess_parts(path: Path) -> pd.DataFrame:
    """Guesses of a file (see `read_answers`), or of the folder of `pipelines.locate_photos`.

    Raises GeoclipError for a file that is no table of guesses.
    """
    if not path.is_dir():
        return read_answers(path)
    try:
        parts = pq.ParquetDataset(path)
        columns = [name for name in GUESS_COLUMNS if name in parts.schema.names]
        frame = parts.read(columns).to_pandas()
    except (ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise GeoclipError(
            f"{path} holds no Parquet parts of one table ({reason}): name the --out of "
            "pipelines.locate_photos."
        ) from None
    return parse_guesses(frame.set_axis(pd.RangeIndex(1, len(frame) + 1)), path)


def _found(figures: dict[str, Any], name: str) -> Any:
    """A figure in a report, whose thresholds are nested."""
    first, _, threshold = name.partition(" ")
    found = figures.get(first)
    return found.get(threshold) if threshold and found else found


def _decimals(name: str) -> int:
    return 1 if name.startswith("within") else 0
