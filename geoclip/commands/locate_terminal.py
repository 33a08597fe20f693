"""What `geoclip locate` says on the terminal while it goes on and at its end."""

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from geoclip.commands.progress import progress
from geoclip.commands.terminal import print_table, printable, told_left_out, told_reasons
from geoclip.guesses.failures import failures_path
from geoclip.guesses.phrases import class_phrase, guess_phrase
from geoclip.photos.refusals import READ
from geoclip.runs.run_report import RunReport, RunWatch
from geoclip.support.user_folders import first_time

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.guesses.sidecars import SidecarReport
    from geoclip.locator import Locator

INTERRUPTED = 130
COLUMNS = ("photo", "rank", "guess", "lat", "lon", "source")
CLASS_COLUMNS = ("photo", "rank", "guess", "level")


def say(text: str) -> None:
    """A line on stderr."""
    typer.echo(text, err=True)


class Terminal(RunWatch):
    """Tells on stderr how a run goes; guesses without a file go to stdout as a table.

    `advice` are sentences that stand behind the warnings of the model, once a machine. A `quiet`
    one says nothing but what goes to stdout.
    """

    def __init__(self, advice: Iterable[str] = (), quiet: bool = False) -> None:
        self.advice = list(advice)
        self.quiet = quiet

    def say(self, text: str) -> None:
        """A line on stderr, unless it is quiet."""
        if not self.quiet:
            say(text)

    def progress(
        self, what: str, total: int, done: int = 0
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A bar, or a line at the beginning and now and then another."""
        return self._begun(f"{what} {total - done:,} photos", what, total, done)

    def indexing(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """The same for an index of places that must be made first."""
        return self._begun(f"{what}: {total:,} texts, once for this model", what, total, 0)

    def _begun(
        self, line: str, what: str, total: int, done: int
    ) -> AbstractContextManager[Callable[[int], None]]:
        if self.quiet:
            return nullcontext(lambda _: None)
        if not sys.stderr.isatty():
            say(line)
        return progress(what, total, done)

    def read_before(self, done: int, total: int) -> None:
        """Say how much is left to do."""
        self.say(f"{done:,} of {total:,} photos were read before.")

    def photos_read(self, locator: "Locator") -> None:
        """Give the warnings of the model once."""
        if self.quiet:
            return
        advice = self.advice if self.advice and first_time("advice") else []
        for warning in dict.fromkeys([*locator.warnings, *advice]):
            say(f"geoclip: {printable(warning)}")

    def located(self, table: "pd.DataFrame") -> None:
        """Print the guesses."""
        rows = table.to_dict("records")
        if "lat" not in table:
            print_table(CLASS_COLUMNS, [_class_row(row) for row in rows])
            return
        print_table(COLUMNS, [_table_row(row) for row in rows], right=("lat", "lon"))

    def wrote(self, path: Path, failures: int | None = None) -> None:
        """Name the file; `print_report` says what a list of failures holds."""
        self.say(f"Wrote {path}")

    def sidecars(self, report: "SidecarReport", journal: Path | None) -> None:
        """Say what sidecars there are, and how to take them back."""
        from geoclip.guesses.sidecars import PRIVACY_WARNING  # noqa: PLC0415

        if report.dry_run:
            for path in report.written:
                typer.echo(f"Would write {printable(str(path))}")
        self.say(report.summary())
        if report.written and not report.dry_run:
            self.say(f"{PRIVACY_WARNING} Take back: geoclip sidecar undo {journal}")

    def stopped(self, resumable: bool) -> None:
        """End the command."""
        rest = "the same command goes on from here" if resumable else "with --out it could go on"
        say(f"geoclip: stopped; {rest}.")
        raise typer.Exit(INTERRUPTED) from None


def print_report(report: RunReport, verbose: bool = False) -> None:
    """Say on stderr what a user should know about the run; with `verbose` why files failed."""
    if verbose:
        for told in (*report.failures, *report.remarks):
            say(f"{printable(told.path)}: {told.status}: {printable(told.reason)}")
    if report.kept:
        say(
            f"{report.kept:,} of {report.photos:,} photos have a GPS position, which is reported "
            "(--gps ignore guesses them too)."
        )
    if report.beside:
        say(f"{report.beside:,} of these positions are from other files (see gps_file).")
    if report.distrusted:
        total = sum(report.distrusted.values())
        say(
            f"{total:,} of {report.photos:,} photos state a GPS position that is not trusted: "
            f"{told_reasons(report.distrusted)} (see gps_note; --gps trust-all keeps them)."
        )
    if report.by_gallery:
        say(
            f"{report.by_gallery:,} of {report.photos:,} points are due to gallery photos "
            "(see evidence_photos)."
        )
    if report.kinds:
        total = sum(report.kinds.values())
        say(
            f"{total:,} of {report.photos:,} photos carry no evidence of a place: "
            f"{_counted(report.kinds)}."
        )
    if report.gps is not None:
        for line in report.gps.lines():
            say(line)
    unread = [failure for failure in report.failures if failure.status not in READ]
    if unread:
        reasons = _counted(Counter(failure.status for failure in unread))
        hint = "" if verbose or report.out else " (--verbose says why)"
        say(f"{len(unread):,} of {report.photos:,} photos could not be read: {reasons}{hint}.")
    if left_out := told_left_out(report.left_out):
        say(left_out)
    if listed := _listed(report, len(unread)):
        say(listed)
    say(_sum(report, len(unread)))


def _listed(report: RunReport, broken: int) -> str:
    """What the list of failures holds, in the numbers of `_sum`; "" for nothing."""
    others = _others(report)
    counts = {
        "broken": broken,
        "not whole": len(report.failures) - broken,
        "that a decoder complained of": len(report.remarks),
        _files(others): others,
        "hidden or excluded": len(report.left_out) - others,
    }
    told = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    return f"{failures_path(report.out).name} says why: {told}." if report.out and told else ""


def _others(report: RunReport) -> int:
    """How many files were left out that are no photos by their names."""
    return sum(1 for entry in report.left_out if not entry.under)


def _files(count: int) -> str:
    return "other file" if count == 1 else "other files"


def _sum(report: RunReport, broken: int) -> str:
    """What became of all photos, in numbers that add up, and of other files."""
    partial, silent = len(report.failures) - broken, report.kinds.total()
    guessed = report.photos - report.untold - report.kept - silent - broken
    shows = "shows" if silent == 1 else "show"
    counts = {
        "cannot be told": report.untold,
        "by GPS": report.kept,
        f"{shows} no place": silent,
        "broken": broken,
    }
    parts = [f"{guessed:,} guessed", *(f"{n:,} {what}" for what, n in counts.items() if n)]
    whole = f"; {partial:,} of them not whole" if partial else ""
    others = _others(report)
    left = f"; {others:,} {_files(others)} left out" if others else ""
    opened = f" Open {report.map_file}." if report.map_file else ""
    noun = "photo" if report.photos == 1 else "photos"
    return f"{report.photos:,} {noun}: {', '.join(parts)}{whole}{left}.{opened}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _table_row(row: dict[Any, Any]) -> tuple[str, ...]:
    if row["status"] not in READ:
        return str(row["path"]), "", str(row["status"]), "", "", ""
    return (
        str(row["path"]) if row["rank"] == 1 else "",
        str(row["rank"]),
        guess_phrase(row),
        _number(row["lat"], 3),
        _number(row["lon"], 3),
        str(row["source"]),
    )


def _class_row(row: dict[Any, Any]) -> tuple[str, ...]:
    if row["status"] not in READ:
        return str(row["path"]), "", str(row["status"]), ""
    return (
        str(row["path"]) if row["rank"] == 1 else "",
        str(row["rank"]),
        class_phrase(row),
        str(row["level"]),
    )


def _number(value: float | None, digits: int) -> str:
    """The number, or nothing where there is none."""
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"
