"""Tables of guesses as Excel workbooks (.xlsx), which open correctly in any language.

Texts are stored as text: a place id keeps its digits, and a file name that begins with "=" is no
formula.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.support.files import write_for_user

ENDING = ".xlsx"
SHEET_ROWS = 1 << 20
"""Most rows of a sheet, including its header."""
# XML lacks these characters; ISO/IEC 29500 writes them as _xHHHH_, and escapes "_" before such
# text.
_ESCAPED = re.compile("[\0-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def check_spreadsheets() -> None:
    """Raise GeoclipError if the library for workbooks is missing."""
    if find_spec("openpyxl") is None:
        raise GeoclipError(
            f"Tables ending in {ENDING} need the library openpyxl: pip install "
            "'geoclip-gzsl[excel]', or name a .csv file."
        )


class Workbook:
    """A workbook that grows by blocks of rows; `close` writes it to `file`.

    Rows beyond a sheet's limit go to the next.
    """

    def __init__(self, file: Path | IO[bytes], sheet_rows: int = SHEET_ROWS) -> None:
        import openpyxl  # noqa: PLC0415 - an extra, and slow to import

        self.file = file
        self.sheet_rows = sheet_rows
        self._book = openpyxl.Workbook(write_only=True)
        self._rows_left = 0

    def append(self, table: pd.DataFrame) -> None:
        """Add rows of numbers and texts; all tables have the same columns."""
        if not self._book.worksheets:
            self._begin_sheet(table)
        for row in table.itertuples(index=False):
            if not self._rows_left:
                self._begin_sheet(table)
            self._add(row)

    def close(self) -> None:
        """Write the file."""
        self._book.save(self.file)

    def _begin_sheet(self, table: pd.DataFrame) -> None:
        self._sheet = self._book.create_sheet()
        self._sheet.freeze_panes = "A2"
        self._rows_left = self.sheet_rows
        self._add(table.columns)

    def _add(self, values: Any) -> None:
        self._sheet.append([self._cell(value) for value in values])
        self._rows_left -= 1

    def _cell(self, value: Any) -> Any:
        from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415

        if pd.api.types.is_scalar(value) and not isinstance(value, str | bytes):
            return None if pd.isna(value) else value
        cell = WriteOnlyCell(self._sheet, _ESCAPED.sub(_escape, str(value)))
        cell.data_type, cell.number_format = "s", "@"
        return cell


def write_workbook(table: pd.DataFrame, path: Path) -> None:
    """Write a table as a workbook, whole or not at all; anything but numbers and times is text.

    Raises GeoclipError for another ending, if openpyxl is missing, and if the file cannot be
    written.
    """
    if path.suffix.lower() != ENDING:
        raise GeoclipError(
            f"{path} does not end in {ENDING}: name a workbook, such as guesses.xlsx."
        )
    check_spreadsheets()

    def write(file: IO[bytes]) -> None:
        book = Workbook(file)
        book.append(table)
        book.close()

    write_for_user(path, write)


def read_workbook(path: Path) -> pd.DataFrame:
    """The rows of all sheets of a workbook as text; "" for empty cells."""
    from openpyxl.utils.escape import unescape  # noqa: PLC0415

    sheets = pd.read_excel(
        path, sheet_name=None, dtype=str, keep_default_na=False, na_filter=False, engine="openpyxl"
    )
    return pd.concat(sheets.values(), ignore_index=True).map(unescape)


def _escape(found: re.Match[str]) -> str:
    return f"_x{ord(found[0]):04X}_"
