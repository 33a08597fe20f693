"""The failures of a run: files that were not located, each with the reason, in `OUT-ledger.csv`."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING

from geoclip.errors import GeoclipError
from geoclip.photos.folder_rules import HIDDEN, is_excluded
from geoclip.photos.listing import LeftOut
from geoclip.support.files import write_for_user
from geoclip.support.paths import encode_path

if TYPE_CHECKING:
    from geoclip.guesses.fates import Fates
    from geoclip.photos.records import PhotoRecord

COLUMNS = ("path", "status", "reason")
LEFT_OUT = "left out"


@dataclass(frozen=True)
class Failure:
    """A file that was not located; `status` as in the table of guesses, or "left out"."""

    path: str
    status: str
    reason: str


def told_of(
    names: Sequence[str], records: "Sequence[PhotoRecord]", fates: "Fates"
) -> tuple[list[Failure], list[Failure]]:
    """The failures among some photos, and remarks about those whose decoders complained."""
    seen = [i for i in (*fates.abstained, *fates.guessed) if records[i].message]
    told = [
        Failure(names[i], records[i].status, records[i].message)
        for i in sorted([*fates.unread, *seen])
    ]
    return [f for f in told if f.status != "ok"], [f for f in told if f.status == "ok"]


def left_out(entries: Iterable[LeftOut]) -> list[Failure]:
    """Failures for files and folders that were left out of the folders named."""
    return [Failure(encode_path(entry.path), LEFT_OUT, _why(entry)) for entry in entries]


def _why(entry: LeftOut) -> str:
    if not entry.under:
        return "the name is not that of a photo or video."
    if is_excluded(entry.under):
        return f"{entry.under} leaves it out (photos: {entry.photos:,})."
    if entry.under == HIDDEN:
        return "the name begins with a dot; --include-hidden reads it."
    return (
        f"systems and photo programs make such folders (photos: {entry.photos:,}); "
        "--include-hidden reads them."
    )


def failures_path(out: Path) -> Path:
    """Where the failures of a table stand, each table's in a file of its own.

    >>> failures_path(Path("guesses.parquet")).name
    'guesses.parquet-ledger.csv'
    """
    return out.with_name(f"{out.name}-ledger.csv")


def refuse_other_file(path: Path) -> None:
    """Raise GeoclipError where a file of another kind would be replaced by the failures."""
    header = ",".join(f'"{name}"' for name in COLUMNS)
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = file.readline().rstrip("\n")
    except OSError:  # absent, or to be reported when it is written
        return
    if found and found != header:
        raise GeoclipError(
            f"{path} is no ledger of an earlier run and would be replaced by one: move it, or name "
            "another --out."
        )


def write_failures(failures: Iterable[Failure], path: Path) -> None:
    """Write failures as CSV (UTF-8), whole or not at all; GeoclipError where that fails."""

    def write(binary: IO[bytes]) -> None:
        file = TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="")
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        writer.writerows((f.path, f.status, _one_line(f.reason)) for f in failures)
        file.detach()  # flushes, and leaves the file itself open

    write_for_user(path, write)


def _one_line(text: str) -> str:
    return " ".join(text.split())
