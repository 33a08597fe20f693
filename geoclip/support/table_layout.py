"""The layout of a text table: its encoding, its separator, its decimal mark.

Spreadsheets follow the language of their user: semicolons and decimal commas over most of Europe,
UTF-16 with tabs as "Unicode text", Windows-1252 where UTF-8 is not chosen.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError

log = logging.getLogger(__name__)

UTF8 = "utf-8-sig"
WINDOWS = "cp1252"
SEPARATORS = ",;\t|"
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_HEAD = 1 << 16
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_DECIMAL_COMMA = r"^\s*([-+]?\d+),(\d+(?:[eE][-+]?\d+)?)\s*$"


@dataclass(frozen=True)
class TableLayout:
    """How the rows of a file are written; `lines_above` stand over its header."""

    encoding: str = UTF8
    separator: str = ","
    lines_above: int = 0

    def with_decimal_points(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The cells, with decimal points for decimal commas.

        Where commas separate cells, a comma inside a cell is no decimal mark.
        """
        if self.separator == ",":
            return frame
        return frame.apply(lambda cells: cells.str.replace(_DECIMAL_COMMA, r"\1.\2", regex=True))


def layout_of(path: Path) -> TableLayout:
    """The layout of a file, detected from its bytes and its first line.

    Raises OSError where the file cannot be read and GeoclipError where it is no text.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    encoding = _encoding(path, head)
    lines = head.decode(encoding, errors="ignore").splitlines()
    first = lines[0] if lines else ""
    stated = _SEPARATOR_LINE.fullmatch(first)
    if stated:
        return TableLayout(encoding, stated[1], lines_above=1)
    return TableLayout(encoding, _separator(first))


def _encoding(path: Path, head: bytes) -> str:
    if head.startswith(_BYTE_ORDER_MARKS):
        return "utf-16"
    zeros = head[:1] == b"\0", head[1:2] == b"\0"
    if any(zeros) and not all(zeros):  # a header begins with a letter, half of whose bytes are 0
        return "utf-16-be" if zeros[0] else "utf-16-le"
    if b"\0" in head:
        raise GeoclipError(
            f"{path} is not UTF-8 text, nor in any other known encoding: save it as CSV in UTF-8."
        )
    fault = _first_fault(path, UTF8)
    if fault is None:
        return UTF8
    where = f"{path} is not UTF-8 text (byte {fault})"
    if _first_fault(path, WINDOWS) is not None:
        raise GeoclipError(f"{where}, UTF-16 or Windows-1252: save it as CSV in UTF-8.")
    log.warning("%s; it is read as Windows-1252: save it as CSV in UTF-8 if names are odd.", where)
    return WINDOWS


def _first_fault(path: Path, encoding: str) -> int | None:
    """The byte at which a file stops being text of an encoding; None if it never does."""
    start = 0
    with path.open("rb") as file:
        for line in file:
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return start + error.start
            start += len(line)
    return None


def _separator(header: str) -> str:
    """The most frequent separator of a header; a comma if it has none.

    >>> _separator("path;lat;lon"), _separator('path,"lat;lon;x"'), _separator("path")
    (';', ',', ',')
    """
    bare = re.sub('"[^"]*"', "", header)
    return max(SEPARATORS, key=bare.count)
