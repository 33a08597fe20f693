"""The failures: one line a file, whatever its name."""

import csv
from pathlib import Path

import pytest

from geoclip.errors import GeoclipError
from geoclip.guesses.failures import Failure, failures_path, left_out, write_failures
from geoclip.photos.listing import LeftOut


def test_failures(tmp_path: Path) -> None:
    entries = [
        Failure('a "b",\nc\r.jpg', "truncated", "cut\noff."),
        *left_out([LeftOut(tmp_path / "caf\udce9.txt")]),
    ]
    path = failures_path(tmp_path / "guesses.parquet")
    assert path.name == "guesses.parquet-ledger.csv"
    write_failures(entries, path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"path": 'a "b",\nc\r.jpg', "status": "truncated", "reason": "cut off."}
    assert rows[1]["path"].endswith("caf%E9.txt")
    assert rows[1]["status"] == "left out"
    assert [p.name for p in tmp_path.iterdir()] == ["guesses.parquet-ledger.csv"]


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(GeoclipError, match="cannot be written"):
        write_failures([], tmp_path / "no" / "ledger.csv")
