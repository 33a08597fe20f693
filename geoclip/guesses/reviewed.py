"""Read `reviewed.csv`, the export of `geoclip review`'s page, as rows of guesses."""

from pathlib import Path

import numpy as np
import pandas as pd

from geoclip.guesses.schema import REVIEW, guess_table
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.paths import resolve_path
from geoclip.support.tables import (
    coordinates,
    read_text_table,
    refuse_duplicates,
    refuse_rows,
    require_columns,
)

NAMES = ("level", "place_id", "country", "country_code", "region", "city")


def read_reviewed(path: Path, gazetteer: Gazetteer | None = None) -> pd.DataFrame:
    """The confirmed guesses, one row per photo, with the source "review".

    The table has `path` (relative to the file's folder), `lat` and `lon`, both empty where only
    names are known, and optionally names of the place. A point without names gets those of the
    place around it. Raises GeoclipError for a bad file or row, for a repeated photo and for an
    empty row.
    """
    frame = read_text_table(path)
    require_columns(frame, ["path", "lat", "lon"], path)
    refuse_rows(path, frame["path"] == "", "path is empty", "name the photo or drop the row")
    lat, lon = coordinates(frame, path)
    names = frame.reindex(columns=list(NAMES), fill_value="")
    nothing = lat.isna() & (names["country"] == "")
    cure = "fill in lat and lon or country, or drop the row"
    refuse_rows(path, nothing, "neither a position nor a country is given", cure)
    photos = frame["path"].map(lambda text: resolve_path(text, path.parent))
    refuse_duplicates(path, photos, "photo")
    table = names.assign(path=photos, lat=lat, lon=lon, rank=1, source=REVIEW, status="ok")
    bare = (names["country"] == "").to_numpy()
    if bare.any():
        from geoclip.guesses.rows import gps_rows  # noqa: PLC0415  (torch)

        world = gazetteer or Gazetteer.default()
        at = [values.to_numpy(np.float64)[bare] for values in (lat, lon)]
        found = gps_rows(world, np.arange(bare.sum()), photos.to_numpy()[bare], *at)
        table.loc[bare, list(NAMES)] = found[list(NAMES)].to_numpy()
    return guess_table(table)
