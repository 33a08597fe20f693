"""The failures of a run: files that were not located, each with the reason, in `OUT-ledger.csv`."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from geoclip.errors import GeoclipError
from geoclip.support.files import write_whole
from geoclip.support.paths import encode_path

COLUMNS = ("path", "status", "reason")
LEFT_OUT = "left out"


@dataclass(frozen=True)
class Failure:
    """A file that was not located; `status` as in the table of guesses, or "left out"."""

    path: str
    status: str
    reason: str


def left_out(paths: Iterable[Path]) -> list[Failure]:
    """Failures for files in folders that are neither photos nor videos by their names."""
    reason = "the name is not that of a photo or video."
    return [Failure(encode_path(path), LEFT_OUT, reason) for path in paths]


def failures_path(out: Path) -> Path:
    """Where the failures of a table stand: `guesses-ledger.csv` beside `guesses.parquet`.

    >>> failures_path(Path("guesses.parquet")).name
    'guesses-ledger.csv'
    """
    return out.with_name(f"{out.stem}-ledger.csv")


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

    try:
        write_whole(path, write)
    except OSError as problem:
        raise GeoclipError(
            f"The ledger {path} cannot be written ({problem.strerror or problem}): make room or "
            "name another --out."
        ) from None


def _one_line(text: str) -> str:
    return " ".join(text.split())
