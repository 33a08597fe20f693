"""Choose a gazetteer's reader by the content of its path."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer_tables import Tables, read_folder
from geoclip.places.geonames_dump import read_dump
from geoclip.places.level_table import LevelTable, is_level_table, read_level_table
from geoclip.places.own_csv import read_own_csv


def read_places(path: Path, keep: Collection[str] = ()) -> Tables | LevelTable:
    """Places and alternate names of a folder or file, whose layout is detected.

    A table of levels gives its wording too. `keep`: feature codes to keep that are else left out of
    a GeoNames dump; see `read_dump`.
    """
    if not path.exists():
        raise GeoclipError(f"{path}: there is no such file or folder; check the gazetteer's path.")
    if path.is_dir() and (path / "cities.csv").exists():
        return read_folder(path)
    if path.is_dir() or path.suffix == ".txt":
        return read_dump(path, keep)
    if path.suffix.lower() == ".csv" and is_level_table(path):
        return read_level_table(path)
    if path.suffix.lower() == ".csv":
        return read_own_csv(path)
    raise GeoclipError(
        f"{path}: this is no gazetteer; give a folder with countries.csv, regions.csv and "
        f"cities.csv, a GeoNames dump such as cities500.txt, a .csv with name,lat,lon, or a .csv "
        f"of levels, a column each."
    )
