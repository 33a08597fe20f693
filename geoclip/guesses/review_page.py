"""Review before write-back: on a page a person accepts, corrects or rejects each guess."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses.basemap import basemap
from geoclip.guesses.maps import ATTRIBUTION, add_pictures, photo_entries
from geoclip.guesses.page_files import write_page
from geoclip.guesses.schema import GPS
from geoclip.photos.refusals import READ, STATUSES
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.place import CITY, COUNTRY, REGION
from geoclip.support.paths import resolve_path

if TYPE_CHECKING:
    from geoclip.places.outlines import Outlines

PICTURE_SIDE = 720
"""Pixels of a picture's longer side: enough to read a shop sign."""
TITLE = "Review of guesses"


def write_review(
    guesses: pd.DataFrame,
    path: str | os.PathLike[str],
    gazetteer: Gazetteer | None = None,
    outlines: "Outlines | None" = None,
    limit: int | None = None,
) -> int:
    """Write a page for the photos of a table of guesses; returns the number to review.

    Photos with a reported position of their own are left out, files that are no readable photos,
    and those beyond the first `limit`: a page holds about 0.1 MB a photo. `gazetteer` has the
    places for corrections by name. The page holds pictures and absolute paths; it exports
    `reviewed.csv`, which `geoclip.guesses.reviewed` reads. Raises GeoclipError where there is
    nothing to review or the page cannot be written.
    """
    unread = guesses["status"].isin(set(STATUSES) - set(READ))
    table = guesses[(guesses["source"] != GPS) & ~unread]
    if table.empty:
        raise GeoclipError(
            "The table has no guesses to review: its photos state their positions, or cannot be "
            "read."
        )
    world = gazetteer or Gazetteer.default()
    paths = [str(text) for text in table["path"].unique()[:limit]]
    table = table[table["path"].isin(paths)]
    photos = photo_entries(table, {}, more=("region", "city", "place_id"))
    add_pictures(photos, paths, PICTURE_SIDE)
    absolute = [resolve_path(text, Path.cwd()) for text in paths]
    for photo, full in zip(photos, absolute, strict=True):
        photo["path"] = full
    data = {
        "photos": photos,
        "places": _places(world),
        "id": hashlib.sha256("\n".join(absolute).encode()).hexdigest()[:16],
        **basemap(outlines, gazetteer),
    }
    texts = {"title": TITLE, "attribution": ATTRIBUTION}
    write_page(Path(path), "review", texts, data, styles=("style", "review"))
    return len(photos)


def _places(world: Gazetteer) -> list[list[Any]]:
    """[id, name, level, country code, region's name, lat, lon]: by level, then by population."""
    regions = np.append(world.names, "")[world.ancestors[:, REGION]]
    order = np.lexsort((-world.population, world.levels))
    lat, lon = world.lat.round(4).tolist(), world.lon.round(4).tolist()
    numbers = {COUNTRY: 0, REGION: 1, CITY: 2}
    return [
        [
            world.ids[row],
            world.names[row],
            numbers[int(world.levels[row])],
            world.country_codes[row],
            regions[row] if world.levels[row] == CITY else "",
            lat[row],
            lon[row],
        ]
        for row in order
    ]
