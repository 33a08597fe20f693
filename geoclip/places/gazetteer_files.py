"""Reading a gazetteer, by what its path holds, and writing one in our own layout."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer_tables import Tables, read_folder
from geoclip.places.geonames_dump import read_dump
from geoclip.places.own_csv import read_own_csv
from geoclip.support.files import write_whole

if TYPE_CHECKING:
    from geoclip.places.gazetteer import Gazetteer

TABLES = ("countries.csv", "regions.csv", "cities.csv")
ALTERNATE_NAMES = "alternate_names.parquet"


def read_places(path: Path) -> Tables:
    """Places and alternate names of a folder or file, which is told from what it holds."""
    if not path.exists():
        raise GeoclipError(f"{path}: there is no such file or folder; check the gazetteer's path.")
    if path.is_dir() and (path / "cities.csv").exists():
        return read_folder(path)
    if path.is_dir() or path.suffix == ".txt":
        return read_dump(path)
    if path.suffix.lower() == ".csv":
        return read_own_csv(path)
    raise GeoclipError(
        f"{path}: this is no gazetteer; give a folder with countries.csv, regions.csv and "
        "cities.csv, a GeoNames dump such as cities500.txt, or a .csv with name,lat,lon."
    )


def places_table(gazetteer: Gazetteer) -> pd.DataFrame:
    """The table that a gazetteer was made of, as `read_places` gives it."""
    parents = gazetteer.parents
    return pd.DataFrame(
        {
            "place_id": gazetteer.ids,
            "name": gazetteer.names,
            "ascii_name": gazetteer.ascii_names,
            "level": gazetteer.levels,
            "parent_id": np.where(parents < 0, "", gazetteer.ids[parents]).astype(object),
            "country_code": gazetteer.country_codes,
            "sovereign": gazetteer.sovereigns,
            "continent": gazetteer.continents,
            "lat": gazetteer.lat,
            "lon": gazetteer.lon,
            "population": gazetteer.population,
        }
    )


def write_places(gazetteer: Gazetteer, folder: Path) -> None:
    """Write a gazetteer as a folder that `read_places` reads.

    Raises GeoclipError for a folder that holds something, and where it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GeoclipError(f"{folder} is there already: name a new folder for the gazetteer.")
    places = places_table(gazetteer)
    region = places["parent_id"].where(places["parent_id"] != places["country_code"], "")
    places = places.assign(region_id=region)
    names = gazetteer.alternate_names()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if len(names):
            write_whole(folder / ALTERNATE_NAMES, lambda file: names.to_parquet(file, index=False))
        for level, name in enumerate(TABLES):
            rows = places[places["level"] == level].drop(columns=["level", "parent_id"])
            write_whole(folder / name, partial(rows.to_csv, index=False, lineterminator="\n"))
    except OSError as problem:
        raise GeoclipError(
            f"The gazetteer {folder} cannot be written ({problem.strerror or problem}): make room "
            "or name another folder."
        ) from None
