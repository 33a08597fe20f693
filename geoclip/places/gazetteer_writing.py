"""Writing a gazetteer in our own layout."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.gazetteer_tables import ALTERNATE_NAMES, TABLES
from geoclip.support.files import write_whole


def places_table(gazetteer: Gazetteer) -> pd.DataFrame:
    """The table of a gazetteer's places, as `read_places` returns it."""
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

    Raises GeoclipError for a folder that is not empty, and where it cannot be written.
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
