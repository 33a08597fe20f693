"""Tables as Excel workbooks whose cells hold what the table holds, and no formula."""

import os
from pathlib import Path
from typing import IO, Any

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.support.files import write_whole

MOST_ROWS = 1_048_575
"""Rows of a sheet below its header."""


def write_workbook(
    table: pd.DataFrame, path: str | os.PathLike[str], options: dict[str, Any] | None = None
) -> None:
    """Write a table as an .xlsx file, whole or not at all; `options` are those of `to_excel`.

    A text that begins with "=" would be run as a formula: such cells are kept as text. Characters
    that a workbook cannot hold are replaced by "�". Raises GeoclipError for another ending, where
    openpyxl is missing, for too many rows, and where the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".xlsx":
        raise GeoclipError(f"{path} does not end in .xlsx: name a workbook, such as guesses.xlsx.")
    if len(table) > MOST_ROWS:
        raise GeoclipError(
            f"{len(table):,} rows do not fit into a sheet of {MOST_ROWS:,}: write {path} as .csv "
            "or .parquet with write_guesses, or keep the rows of rank 1."
        )
    try:
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415  (an extra)
    except ImportError:
        raise GeoclipError(
            f"{path} needs openpyxl to be written: pip install 'geoclip-gzsl[notebooks]'."
        ) from None
    texts = table.select_dtypes(["str", "object"]).columns
    legal = {name: table[name].map(lambda v: _legal(v, ILLEGAL_CHARACTERS_RE)) for name in texts}
    legal_table = table.assign(**legal)

    def write(file: IO[bytes]) -> None:
        with pd.ExcelWriter(file, engine="openpyxl") as writer:
            legal_table.to_excel(writer, **{"index": False, **(options or {})})
            for sheet in writer.book.worksheets:
                _keep_as_text(sheet)

    try:
        write_whole(path, write)
    except OSError as problem:
        raise GeoclipError(
            f"{path} cannot be written ({problem.strerror or problem}): make room or name another "
            "file."
        ) from None


def _legal(value: Any, illegal: Any) -> Any:
    return illegal.sub("�", value) if isinstance(value, str) else value


def _keep_as_text(sheet: Any) -> None:
    """Mark cells that openpyxl took for formulas or error values as texts, for Excel too."""
    for row in sheet.iter_rows():
        for cell in row:
            if cell.data_type in ("f", "e"):
                cell.data_type = "s"
                cell.quotePrefix = True
