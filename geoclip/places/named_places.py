"""Cities and regions as people write them: "Zagreb", "Paris, FR", "Springfield, Illinois, 20"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.places.country_names import codes_of, comparable
from geoclip.places.gazetteer import NO_ROW, Gazetteer
from geoclip.places.sphere import great_circle_km

NEAR_KM = 50.0
"""How far "near" a city goes where nobody says."""
SHOWN = 5

Rows = NDArray[np.int64]


def circle_about(gazetteer: Gazetteer, words: str) -> tuple[float, float, float]:
    """Latitude, longitude and radius in km of a city's name, with commas before what follows it.

    A region, a country or both may follow, and last a radius (`NEAR_KM` without it). Of cities of
    one name within `NEAR_KM` of each other the largest is meant. Raises GeoclipError for a name
    that is unknown or that several cities have.

    >>> circle_about(Gazetteer.default(), "Zagreb, 20")[2]
    20.0
    """
    parts = [part.strip() for part in words.split(",")]
    km = float(parts.pop()) if re.fullmatch(r"\d+(\.\d+)?", parts[-1]) else NEAR_KM
    name, *within = parts or [""]
    named = named_rows(gazetteer, name, "city")
    if not len(named):
        raise GeoclipError(f"the gazetteer has no city {name!r}; {_likely(gazetteer, name)}.")
    found = _lying_in(gazetteer, named, within)
    rows = _apart(gazetteer, found or list(named))
    if not found or len(rows) > 1:
        told = "; ".join(_told(gazetteer, row, named, km) for row in rows[:SHOWN])
        more = f"; and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else ""
        what = "is the name of several cities" if found else "is not a city there"
        raise GeoclipError(f"{words!r} {what}: write one of {told}{more}, or LAT,LON,KM.")
    return float(gazetteer.lat[rows[0]]), float(gazetteer.lon[rows[0]]), km


def region_row(gazetteer: Gazetteer, word: str) -> int | None:
    """The row of the one region with this name or id, None where there is none.

    Raises GeoclipError where several have the name.

    >>> world = Gazetteer.default()
    >>> world.ids[region_row(world, "England")]
    'GB.ENG'
    """
    rows = named_rows(gazetteer, word, "region")
    if len(rows) > 1:
        told = ", ".join(
            f"{gazetteer.ids[row]} ({gazetteer.names[row]}, {gazetteer.country_codes[row]})"
            for row in rows[:SHOWN]
        )
        raise GeoclipError(f"{word.strip()!r} is the name of several regions: write one of {told}.")
    return int(rows[0]) if len(rows) else None


def named_rows(gazetteer: Gazetteer, name: str, level: str) -> Rows:
    """Rows of a level with this id, else this name, else this alternate name, the largest first."""
    rows, wanted = gazetteer.level_rows(level), comparable(name)
    if not wanted:
        return rows[:0]
    by_id = [row for row in rows if gazetteer.ids[row] == name.strip().upper()]
    named = by_id or [row for row in rows if wanted in _names(gazetteer, row)]
    if not named:
        others = gazetteer.alternate_names()
        same = others["place_id"][others["name"].map(comparable) == wanted]
        named = sorted(set(gazetteer.rows(same).tolist()) & set(rows.tolist()))
    found = np.array(named, dtype=np.int64)
    return found[np.argsort(-gazetteer.population[found], kind="stable")]


def _names(gazetteer: Gazetteer, row: int) -> set[str]:
    return {comparable(gazetteer.names[row]), comparable(gazetteer.ascii_names[row])}


def _lying_in(gazetteer: Gazetteer, rows: Iterable[int], words: Iterable[str]) -> list[int]:
    return [row for row in rows if all(_lies_in(gazetteer, row, word) for word in words)]


def _lies_in(gazetteer: Gazetteer, row: int, word: str) -> bool:
    """Whether a city's region or country is called so: by name, by code or by the code's end."""
    wanted, above = comparable(word), gazetteer.ancestors[row][:-1]
    called = set().union(*(_names(gazetteer, one) for one in above if one != NO_ROW))
    called |= {comparable(gazetteer.ids[one].split(".")[-1]) for one in above if one != NO_ROW}
    return wanted in called or gazetteer.country_codes[row] in codes_of(word)


def _apart(gazetteer: Gazetteer, rows: Iterable[int]) -> list[int]:
    """The rows, the largest first, without those within `NEAR_KM` of a larger one."""
    lat, lon = gazetteer.lat, gazetteer.lon
    kept: list[int] = []
    for row in rows:
        away = great_circle_km(lat[row], lon[row], lat[kept], lon[kept])
        if np.all(away > NEAR_KM):
            kept.append(row)
    return kept


def _told(gazetteer: Gazetteer, row: int, named: Iterable[int], km: float) -> str:
    """A spelling that separates a city from the others of its name.

    A code may be that of a country and of another country's region, as CA is.
    """
    country, *between = gazetteer.ancestors[row][:-1]
    code = gazetteer.country_codes[row]
    region = [gazetteer.names[one] for one in between if one != NO_ROW]
    for places in ([code], [gazetteer.names[country]], [*region, code]):
        words = ", ".join([gazetteer.names[row], *places])
        same = _lying_in(gazetteer, named, words.split(",")[1:])
        if _apart(gazetteer, same) == [row]:
            return f"'{words}'"
    return f"{gazetteer.lat[row]:.3f},{gazetteer.lon[row]:.3f},{km:g}"


def _likely(gazetteer: Gazetteer, name: str) -> str:
    rows = gazetteer.level_rows("city")
    known = {comparable(gazetteer.names[row]): gazetteer.names[row] for row in rows}
    close = [known[one] for one in get_close_matches(comparable(name), known, n=3)]
    return f"did you mean {', '.join(close)}" if close else "name a larger one or give LAT,LON,KM"
