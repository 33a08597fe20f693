"""Reader of a table of any levels: kingdom … species, sector … product.

A CSV with a column for each level, topmost first, and a row for each class of the deepest one. A
cell below the first level may be blank: the class has no ancestor there, or, at the row's end, is
itself of a higher level. Optional columns: `LEVEL:id`, the id of that level's class; `LEVEL:names`,
its other names, separated by |. A class without an id gets its names from the top, joined by "/":
Animalia/Carnivora/Canis lupus.

TABLE.captions.json beside TABLE.csv may set the captions' wording: prefix, keep_official, and by
level phrases, keep and prompts; see `Wording.of`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.places import gazetteer_checks as checks
from geoclip.places.wording import MOST_LEVELS, Wording
from geoclip.support.tables import read_text_table, refuse_duplicates

LevelTable = tuple[pd.DataFrame, pd.DataFrame, Wording]
OF_PLACES = {"name", "lat", "lon"}
"""Columns that mark a table of one's own places."""
ID, NAMES = ":id", ":names"
SEPARATOR = "|"
BEHIND = ("_id", "_probability")
"""What tables of guesses put behind the name of a level."""
RESERVED = {
    "prefix", "path", "photo_id", "img_id", "location_id", "message", "rank", "status", "level",
    "place_id", "probability", "none", "auto", "photo", "source",
}  # fmt: skip
"""Words of captions, of tables of guesses and of options."""


def is_level_table(path: Path) -> bool:
    """Whether a CSV has none of the columns of a table of places."""
    return not OF_PLACES & set(read_text_table(path).columns)


def read_level_table(path: Path) -> LevelTable:
    """The classes of a table, in the form of `read_places`, their other names and their wording.

    They have no coordinates, no population and no country. Raises GeoclipError with file, row and
    cure for a row without a class of the first level, a repeated class or id, and an invalid column
    or wording.
    """
    table = read_text_table(path).map(str.strip)
    levels = [name for name in table.columns if not name.endswith((ID, NAMES))]
    _check_columns(table, levels, path)
    wording = _read_wording(levels, path.with_suffix(".captions.json"))
    checks.check_not_empty(table, path)
    checks.check_filled(table, levels[0], path)
    paths = pd.DataFrame({name: _paths(table, levels[: i + 1]) for i, name in enumerate(levels)})
    own = paths.replace("", pd.NA).ffill(axis=1)[levels[-1]]
    refuse_duplicates(path, own, "the class", "keep one row, with all its names")
    ids = _given_ids(table, paths, levels, path)
    classes = [_classes(table, paths, levels, number) for number in range(len(levels))]
    places = pd.concat(classes, ignore_index=True)
    for column in ("place_id", "parent_id"):
        places[column] = [ids.get(text, text) for text in places[column]]
    again = places["place_id"][places["place_id"].duplicated()]
    if len(again):
        raise GeoclipError(f"{path}: two classes have the id {again.iloc[0]!r}; {checks.OWN_ID}.")
    names = pd.concat([_other_names(table, paths, level, ids) for level in levels])
    return places, names.drop_duplicates(ignore_index=True), wording


def _check_columns(table: pd.DataFrame, levels: Sequence[str], path: Path) -> None:
    if not 2 <= len(levels) <= MOST_LEVELS:
        raise GeoclipError(
            f"{path} has {len(levels)} levels ({', '.join(levels)}): use 2 to {MOST_LEVELS}, a "
            "column each; above a single one put a column with the same word in every row."
        )
    for name in set(table.columns) - set(levels):
        if name.rpartition(":")[0] not in levels:
            raise GeoclipError(
                f"{path} has a column {name} but none called {name.rpartition(':')[0]}; add that "
                "level or drop the column."
            )
    for name in levels:
        word = name.replace(" ", "_").replace("-", "_")
        of_level = name.rpartition("_")[0] in levels and name.endswith(BEHIND)
        if not word.isidentifier() or name in RESERVED or of_level:
            raise GeoclipError(
                f"{path}: {name!r} cannot be the name of a level; use another word, such as "
                "species, and LEVEL:id or LEVEL:names for what belongs to a level."
            )


def _read_wording(levels: Sequence[str], path: Path) -> Wording:
    try:
        given = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return Wording.of(levels, **given)
    except (OSError, ValueError, TypeError, AttributeError, GeoclipError) as error:
        reason = str(error).removeprefix("Wording.of() ").rstrip(".")
        raise GeoclipError(f"{path} is not readable ({reason}); mend or delete it.") from None


def _given_ids(
    table: pd.DataFrame, paths: pd.DataFrame, levels: Sequence[str], path: Path
) -> dict[str, str]:
    """Given ids by path; GeoclipError where one class has two."""
    ids: dict[str, str] = {}
    for level in levels:
        given = table[level + ID] if level + ID in table else pd.Series("", index=table.index)
        own = pd.DataFrame({"path": paths[level], "id": given})
        own = own[(own["path"] != "") & (own["id"] != "")].drop_duplicates()
        refuse_duplicates(path, own["path"], "an id of", "give a class one id")
        ids |= dict(zip(own["path"], own["id"], strict=True))
    return ids


def _paths(table: pd.DataFrame, levels: Sequence[str]) -> pd.Series:
    """The names from the top down to the last of `levels`, "" where a row has none."""
    joined = table[levels[0]].str.cat([table[name] for name in levels[1:]], sep="/")
    return joined.where(table[levels[-1]] != "", "")


def _classes(
    table: pd.DataFrame, paths: pd.DataFrame, levels: Sequence[str], number: int
) -> pd.DataFrame:
    """The distinct classes of one level, in order of their first rows, in a gazetteer's columns."""
    level = levels[number]
    above = paths[levels[:number]].replace("", pd.NA).ffill(axis=1)
    found = pd.DataFrame(
        {
            "place_id": paths[level],
            "name": table[level],
            "ascii_name": table[level],
            "level": number,
            "parent_id": above[levels[number - 1]] if number else "",
        }
    )
    nowhere = {"country_code": "", "sovereign": "", "continent": "", "population": 0}
    found = found[found["place_id"] != ""].drop_duplicates("place_id")
    return found.assign(**nowhere, lat=float("nan"), lon=float("nan"))


def _other_names(
    table: pd.DataFrame, paths: pd.DataFrame, level: str, ids: dict[str, str]
) -> pd.DataFrame:
    """Columns place_id and name of the other names of a level's classes."""
    column = level + NAMES
    cells = table[column] if column in table else pd.Series("", index=table.index)
    pairs = [
        (ids.get(text, text), name.strip())
        for text, cell in zip(paths[level], cells, strict=True)
        for name in cell.split(SEPARATOR)
        if name.strip() and text
    ]
    return pd.DataFrame(pairs, columns=["place_id", "name"], dtype=object)
