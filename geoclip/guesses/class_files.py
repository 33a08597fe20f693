"""Files of guesses of classes: written whole, and read for an evaluation."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses import spreadsheet
from geoclip.guesses.class_guesses import NONE, class_columns
from geoclip.guesses.guess_files import known_ending, read_frame
from geoclip.guesses.writer import csv_quoting
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.files import write_for_user
from geoclip.support.tables import Source, cell_text, numbers, refuse_rows

CLASS_ENDINGS = (".csv", ".parquet", ".xlsx")
"""Of tables without a geometry."""
PHOTO = ("path", "photo_id", "img_id")
"""Columns that may name the photo."""


def check_class_ending(path: Path) -> None:
    """Raise GeoclipError for a file that cannot hold guesses of classes."""
    if path.suffix.lower() not in CLASS_ENDINGS:
        raise GeoclipError(
            f"{path} cannot hold classes, which lie nowhere: name a {', '.join(CLASS_ENDINGS)} "
            "file."
        )
    known_ending(path)


def check_class_outputs(table: Path | None, map_file: Path | None, sidecars: bool) -> None:
    """Raise GeoclipError for outputs that need positions."""
    if table is not None:
        check_class_ending(table)
    for what, wanted in (("a map", map_file is not None), ("sidecars", sidecars)):
        if wanted:
            raise GeoclipError(
                f"Classes lie nowhere, so there is nothing for {what} to show: leave it out."
            )


def write_class_guesses(table: pd.DataFrame, path: Path) -> None:
    """Write a table of `class_guesses` by the ending of `path`, whole or not at all.

    Raises GeoclipError for another ending than `CLASS_ENDINGS`, and where it cannot be written.
    """
    check_class_ending(path)
    buffer, ending = BytesIO(), path.suffix.lower()
    if ending == ".csv":
        quoting = csv_quoting(table.select_dtypes(exclude="number"))
        text = table.to_csv(index=False, lineterminator="\n", quoting=quoting)
        buffer.write(text.encode())
    elif ending == ".parquet":
        table.to_parquet(buffer, index=False)
    else:
        book = spreadsheet.Workbook(buffer)
        book.append(table)
        book.close()
    write_for_user(path, lambda file: file.write(buffer.getvalue()))


def read_class_guesses(path: Path, gazetteer: Gazetteer) -> pd.DataFrame:
    """Guesses of classes from a file of `CLASS_ENDINGS`; see `parse_class_guesses`."""
    check_class_ending(path)
    return parse_class_guesses(read_frame(path), path, gazetteer)


def parse_class_guesses(frame: pd.DataFrame, source: Source, gazetteer: Gazetteer) -> pd.DataFrame:
    """Guesses with the columns of `class_columns` from a frame that errors call `source`.

    It needs a column of `PHOTO` and place_id. What is left out of the others has its default: rank
    1, the level of the class, and of every level the class itself or what lies above it; without a
    probability it is NaN. Raises GeoclipError, with the row, for a class that the gazetteer does
    not list, for a rank or probability that is none, and for a row without a photo.
    """
    levels = gazetteer.level_names
    name = next((name for name in PHOTO if name in frame), None)
    if name is None or "place_id" not in frame:
        raise GeoclipError(
            f"{source} has the columns {', '.join(frame.columns)}: guesses of classes need path "
            "and place_id."
        )
    columns = class_columns(levels)
    table = frame.rename(columns={name: "path"}).reindex(columns=list(columns))
    for column, dtype in columns.items():
        if dtype == "str":
            table[column] = table[column].map(cell_text)
        else:
            table[column] = numbers(table[column], source)
    table["rank"] = table["rank"].fillna(1)
    bad = (table["rank"] % 1 != 0) | (table["rank"] < 1)
    refuse_rows(source, bad, "rank is not 1, 2, 3, …", "correct or drop the row")
    for column in (name for name in columns if name.endswith("probability")):
        none = (table[column] < 0) | (table[column] > 1)
        cure = "give a probability from 0 to 1"
        refuse_rows(source, none, f"{column} is {{}}", cure, table[column])
    refuse_rows(source, table["path"] == "", "path is empty", "name the photo or drop the row")
    _refuse_unknown(table["place_id"], source, gazetteer)
    _fill_levels(table, levels, source, gazetteer)
    return table.astype(columns)


def _refuse_unknown(ids: pd.Series, source: Source, gazetteer: Gazetteer) -> None:
    unknown = (ids != "") & ~ids.isin(gazetteer.ids)
    cure = "use the table of levels that the guesses were made with"
    refuse_rows(source, unknown, "the table of levels has no class {}", cure, ids)


def _fill_levels(
    table: pd.DataFrame, levels: Sequence[str], source: Source, gazetteer: Gazetteer
) -> None:
    """Fill in level and LEVEL_id where they are not given, by the place_id."""
    named = (table["place_id"] != "").to_numpy()
    chains = gazetteer.ancestors[gazetteer.rows(table.loc[named, "place_id"])]
    depth = gazetteer.levels[gazetteer.rows(table.loc[named, "place_id"])]
    stated = table.loc[named, "level"]
    table.loc[named, "level"] = stated.where(
        stated != "", pd.Series([levels[at] for at in depth], index=stated.index, dtype=object)
    )
    strange = ~table["level"].isin(["", NONE, *levels])
    refuse_rows(source, strange, "there is no level {}", "correct it", table["level"])
    for number, level in enumerate(levels):
        column = f"{level}_id"
        _refuse_unknown(table[column], source, gazetteer)
        above = chains[:, number]
        ids = pd.Series("", index=stated.index, dtype=object)
        ids[above >= 0] = gazetteer.ids[above[above >= 0]]
        given = table.loc[named, column]
        table.loc[named, column] = given.where(given != "", ids)
