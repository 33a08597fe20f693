"""What `geoclip locate` says about a run: the table on the terminal and counts."""

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from geoclip.commands.terminal import print_table

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.guesses.failures import Failure
    from geoclip.runs.answers import Block
    from geoclip.runs.gps_summary import GpsSummary

COLUMNS = ("photo", "rank", "place", "lat", "lon", "probability", "radius km", "source")


class Tally:
    """Counts over the blocks of a run, and the photos that could not be read."""

    def __init__(self, comparison: "GpsSummary | None" = None) -> None:
        self.photos = 0
        self.unread: list[Failure] = []
        self.kinds: Counter[str] = Counter()
        self.kept = 0
        self.comparison = comparison

    def add(self, block: "Block") -> None:
        """Count a block."""
        self.photos += block.photos
        self.unread += block.unread
        self.kinds += block.kinds
        self.kept += int((block.table["source"] == "gps").sum())
        if self.comparison is not None:
            self.comparison.add(block.table)

    def report(self) -> None:
        """Say on stderr what a user should know about the run."""
        if self.kept:
            typer.echo(
                f"{self.kept:,} of {self.photos:,} photos have a GPS position, which is reported "
                "(--gps ignore guesses them too).",
                err=True,
            )
        if self.kinds:
            total = sum(self.kinds.values())
            typer.echo(
                f"{total:,} of {self.photos:,} photos carry no evidence of a place: "
                f"{_counted(self.kinds)}.",
                err=True,
            )
        if self.comparison is not None:
            for line in self.comparison.lines():
                typer.echo(line, err=True)
        if self.unread:
            reasons = _counted(Counter(entry.status for entry in self.unread))
            typer.echo(
                f"{len(self.unread)} of {self.photos} photos could not be read: {reasons}.",
                err=True,
            )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def print_guesses(guesses: "pd.DataFrame") -> None:
    """The guesses as a table on stdout."""
    rows = [_table_row(row) for row in guesses.to_dict("records")]
    print_table(COLUMNS, rows, right=COLUMNS[3:7])


def _table_row(row: dict[Any, Any]) -> tuple[str, ...]:
    if row["status"] != "ok":
        return str(row["path"]), "", str(row["status"]), "", "", "", "", ""
    named = [row[level] for level in ("city", "region", "country")]
    return (
        str(row["path"]) if row["rank"] == 1 else "",
        str(row["rank"]),
        ", ".join(name for name in named if isinstance(name, str) and name),
        _number(row["lat"], 3),
        _number(row["lon"], 3),
        _number(row["probability"], 3),
        _number(row["radius_km"], 0),
        str(row["source"]),
    )


def _number(value: float | None, digits: int) -> str:
    """The number, or nothing where there is none."""
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"
