"""The gazetteer: countries, regions and cities in columns, with parents and nearest places.

A table of other levels (kingdom … species) is read into the same columns, without coordinates.
A *row* is the position of a place. Rows are ordered countries, regions, cities; the parts of the
program pass ids to one another: names repeat (there are several Valencias), ids do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer_files import read_places
from geoclip.places.gazetteer_tables import default_folder
from geoclip.places.nearest import CountryPoints, PointTree
from geoclip.places.place import LEVELS, Place, level_number
from geoclip.places.wording import Wording

NO_ROW = -1


class Gazetteer:
    """P places in columns; `Gazetteer.default()` and `Gazetteer.read(path)` make one.

    >>> world = Gazetteer.default()
    >>> print(world["2996944"])
    Lyon (city 2996944, FR)
    >>> world.parents_of("2996944")
    ['FR.84', 'FR']
    >>> world.nearest(45.75, 4.85)[0]
    '2996944'

    Attributes:
        ids, names, ascii_names: (P,) object arrays of str.
        level_names: (L,) names of the levels, topmost first; `place.LEVELS` of places.
        wording: the words for a table's own levels; None for those of `CaptionSettings`.
        levels: (P,) int8, positions in `level_names`.
        parents: (P,) int32 row of the parent, -1 for a country.
        ancestors: (P, L) int32 [country, region, city] rows, a place's own row at its own level,
            -1 where there is none.
        lat, lon: (P,) float64 degrees, NaN in a table without places.
        population: (P,) int64.
        country_codes, sovereigns, continents: (P,) object arrays of two-letter codes: the place's
            country entry, the country that entry belongs to (itself unless a territory), and the
            continent; "" in a table without places.
    """

    def __init__(
        self,
        places: pd.DataFrame,
        alternate_names: pd.DataFrame | None = None,
        wording: Wording | None = None,
    ) -> None:
        """`places` as `gazetteer_files.read_places` returns them: checked and ordered by level."""
        self.wording = wording
        self.level_names: tuple[str, ...] = LEVELS if wording is None else wording.levels
        text = {name: places[name].to_numpy(dtype=object) for name in _TEXT_COLUMNS}
        self.ids: NDArray[np.object_] = text["place_id"]
        self.names: NDArray[np.object_] = text["name"]
        self.ascii_names: NDArray[np.object_] = text["ascii_name"]
        self.country_codes: NDArray[np.object_] = text["country_code"]
        self.sovereigns: NDArray[np.object_] = text["sovereign"]
        self.continents: NDArray[np.object_] = text["continent"]
        self.levels: NDArray[np.int8] = places["level"].to_numpy(dtype=np.int8)
        self.lat: NDArray[np.float64] = places["lat"].to_numpy(dtype=np.float64)
        self.lon: NDArray[np.float64] = places["lon"].to_numpy(dtype=np.float64)
        self.population: NDArray[np.int64] = places["population"].to_numpy(dtype=np.int64)
        self._index = pd.Index(self.ids)
        self.parents: NDArray[np.int32] = self._index.get_indexer(text["parent_id"]).astype(
            np.int32
        )
        self.ancestors: NDArray[np.int32] = _ancestors(
            self.levels, self.parents, len(self.level_names)
        )
        self._alternate_names = alternate_names
        self._trees: dict[str, PointTree] = {}

    @classmethod
    def default(cls) -> Gazetteer:
        """The packaged gazetteer: all cities over 15,000 people, their regions and countries."""
        return cls.read()

    @classmethod
    def read(cls, path: str | Path | None = None) -> Gazetteer:
        """A gazetteer from a folder or file; the packaged one for None.

        The layout is detected: a folder with countries.csv, regions.csv and cities.csv; a GeoNames
        dump (a folder or a file such as cities500.txt with admin1CodesASCII.txt beside it); a .csv
        of one's own places with the columns name, lat and lon; or a .csv of any levels, a column
        each (see `level_table`). Raises GeoclipError with file, row and cure.
        """
        return cls(*read_places(default_folder() if path is None else Path(path)))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        counts = [len(self.level_rows(level)) for level in self.level_names]
        words = ("countries", "regions", "cities") if self.wording is None else self.level_names
        parts = ", ".join(f"{n:,} {word}" for n, word in zip(counts, words, strict=True))
        return f"Gazetteer({parts}; {self.fingerprint})"

    def __iter__(self) -> Iterator[Place]:
        return (self.place(row) for row in range(len(self)))

    def __contains__(self, place_id: object) -> bool:
        return place_id in self._index

    def __getitem__(self, place_id: str) -> Place:
        """The place with an id; GeoclipError for an unknown id."""
        return self.place(int(self.rows([place_id])[0]))

    def place(self, row: int) -> Place:
        """The place in a row."""
        parent = int(self.parents[row])
        return Place(
            place_id=self.ids[row],
            level=self.level_names[self.levels[row]],
            name=self.names[row],
            lat=float(self.lat[row]),
            lon=float(self.lon[row]),
            country_code=self.country_codes[row],
            parent_id=None if parent == NO_ROW else self.ids[parent],
            population=int(self.population[row]),
        )

    def rows(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Rows of ids, in their order; GeoclipError with the first unknown id."""
        wanted = [ids] if isinstance(ids, str) else list(ids)
        rows = self._index.get_indexer(np.array(wanted, dtype=object))
        unknown = np.flatnonzero(rows == NO_ROW)
        if unknown.size:
            like = "'FR' (country), 'FR.84' (region) and '2996944' (city)"
            if self.wording is not None:
                like = f"{self.ids[-1]!r} ({self.level_names[self.levels[-1]]})"
            raise GeoclipError(
                f"the gazetteer has no place with the id {wanted[unknown[0]]!r}; its ids look "
                f"like {like}; use tables of guesses or captions only with the gazetteer that "
                f"made them."
            )
        found: NDArray[np.int64] = rows.astype(np.int64)
        return found

    def level_rows(self, level: str) -> NDArray[np.int64]:
        """The rows of one level ("country", "region" or "city"): a contiguous range."""
        number = level_number(level, self.level_names)
        first, last = np.searchsorted(self.levels, [number, number + 1])
        return np.arange(first, last, dtype=np.int64)

    @property
    def leaf_rows(self) -> NDArray[np.int64]:
        """The rows of the deepest level."""
        return self.level_rows(self.level_names[-1])

    def child_rows(self, row: int) -> NDArray[np.int64]:
        """Rows of the places whose parent is in this row, in order."""
        first, last = np.searchsorted(self.parents[self._by_parent], [row, row + 1])
        return self._by_parent[first:last]

    def children(self, place_id: str) -> list[str]:
        """Ids of the places directly below: a country's regions, and its cities outside regions."""
        return list(self.ids[self.child_rows(int(self.rows([place_id])[0]))])

    def parents_of(self, place_id: str) -> list[str]:
        """Ids of a place's ancestors, nearest first: of a city its region, then its country."""
        row = int(self.parents[self.rows([place_id])[0]])
        found = []
        while row != NO_ROW:
            found.append(self.ids[row])
            row = int(self.parents[row])
        return found

    def nearest(
        self, lat: ArrayLike, lon: ArrayLike, level: str = "city"
    ) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
        """Ids of the nearest places of a level and their great-circle distances in km.

        Shapes are those of `lat` and `lon` broadcast; scalars give a str and a float.
        """
        rows, km = self.nearest_rows(lat, lon, level)
        return self.ids[rows], km

    def nearest_rows(
        self, lat: ArrayLike, lon: ArrayLike, level: str = "city"
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows of the nearest places of a level and their great-circle distances in km.

        Raises GeoclipError for an invalid latitude or longitude, and where the level is empty.
        """
        position, km = self._tree(level).nearest(lat, lon)
        return self.level_rows(level)[position], km

    def country_points(self) -> CountryPoints:
        """The cities as points with country codes, for `Outlines.country_of`."""
        return CountryPoints(self._tree("city"), self.country_codes[self.level_rows("city")])

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any id, name, coordinate, parent or wording."""
        digest = hashlib.sha256()
        for column in (self.ids, self.names):
            digest.update("\0".join(column).encode())
        for numbers in (self.lat, self.lon, self.parents):
            digest.update(np.ascontiguousarray(numbers, dtype=np.float64).tobytes())
        if self.wording is not None:
            digest.update(repr(self.wording).encode())
        return digest.hexdigest()[:16]

    def alternate_names(self) -> pd.DataFrame:
        """Other Latin-script names: columns place_id and name; may be empty."""
        if self._alternate_names is None:
            return pd.DataFrame({"place_id": [], "name": []}, dtype=object)
        known = self._alternate_names["place_id"].isin(self._index)
        return self._alternate_names[known].reset_index(drop=True)

    @cached_property
    def _by_parent(self) -> NDArray[np.int64]:
        return np.argsort(self.parents, kind="stable").astype(np.int64)

    @cached_property
    def has_positions(self) -> bool:
        """Whether its places lie somewhere; the classes of a table of levels lie nowhere."""
        return not np.isnan(self.lat).any()

    def check_has_positions(self) -> None:
        """Raise GeoclipError for a table of classes that have no coordinates."""
        if not self.has_positions:
            raise GeoclipError(
                f"{self!r} has no coordinates, which this needs: its photos have a place_id each, "
                "geoclip locate names the classes of others and geoclip evaluate compares them."
            )

    def _tree(self, level: str) -> PointTree:
        self.check_has_positions()
        if level not in self._trees:
            rows = self.level_rows(level)
            if not rows.size:
                raise GeoclipError(f"the gazetteer has no place of the level {level!r}.")
            self._trees[level] = PointTree(self.lat[rows], self.lon[rows])
        return self._trees[level]


_TEXT_COLUMNS = (
    "place_id", "name", "ascii_name", "parent_id", "country_code", "sovereign", "continent"
)  # fmt: skip


def _ancestors(
    levels: NDArray[np.int8], parents: NDArray[np.int32], depth: int
) -> NDArray[np.int32]:
    """(P, depth) rows of each place's country, region and city; parents precede children."""
    table = np.full((len(levels), depth), NO_ROW, dtype=np.int32)
    rows = np.arange(len(levels))
    for level in range(depth):
        own = rows[levels == level]
        has_parent = own[parents[own] != NO_ROW]
        table[has_parent] = table[parents[has_parent]]
        table[own, level] = own
    return table
