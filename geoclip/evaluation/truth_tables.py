"""Reader of truth tables, such as those of IM2GPS, IM2GPS3K and YFCC4k.

They have `IMG_ID,LAT,LON` and more columns (AUTHOR, scene labels); tables of one's own photos have
`path,lat,lon`. Of the other columns, `TRUTH_EXTRAS` are kept. One published commit of the IM2GPS3K
table swaps the column names LON and LAT: this is refused with the cure (exchange the two names),
never silently mended.
"""

from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.support.paths import same_file_key
from geoclip.support.tables import (
    Source,
    cell_text,
    coordinates,
    read_text_table,
    refuse_duplicates,
    refuse_no_coordinates,
    refuse_rows,
)

TRUTH_EXTRAS = ("author", "location_id", "country_code", "source", "source_repo")
"""Optional columns of a truth table that an evaluation uses."""


def read_truth(path: Path) -> pd.DataFrame:
    """True coordinates from a CSV file; see `parse_truth`. Paths are relative to its folder."""
    path = Path(path)
    return parse_truth(read_text_table(path), path, path.parent)


def parse_truth(frame: pd.DataFrame, source: Source, folder: Path) -> pd.DataFrame:
    """True coordinates, one row per photo: `photo_id`, `key`, `name`, `lat`, `lon` in degrees.

    `key` is the photo's file with links resolved, paths and IMG_IDs taken relative to `folder`;
    `name` is the IMG_ID, "" in a table of paths; existing columns of `TRUTH_EXTRAS` follow as
    texts. Column names are in lower case. Raises GeoclipError, which calls the table `source`, for
    missing columns, no rows, text or NaN for a coordinate, values out of range, swapped names, and
    for a repeated photo.
    """
    name = "path" if "path" in frame else "img_id"
    if name not in frame or not {"lat", "lon"} <= set(frame.columns):
        raise GeoclipError(
            f"{source} has the columns {', '.join(frame.columns)}: a truth table needs IMG_ID, "
            "LAT, LON or path, lat, lon; one of classes needs path, place_id and their table of "
            "levels (--gazetteer TABLE.csv)."
        )
    if frame.empty:
        raise GeoclipError(f"{source} lists no photo: add a row for each photo below the header.")
    photo = frame[name].map(cell_text)
    refuse_rows(source, photo == "", f"{name} is empty", "name the photo or drop the row")
    lat, lon = coordinates(frame, source)
    refuse_no_coordinates(lat, frame.index, source)
    refuse_duplicates(source, photo, "photo")
    key = photo.map(lambda text: same_file_key(text, folder))
    refuse_duplicates(source, key, "photo")
    names = photo if name == "img_id" else ""
    table = pd.DataFrame({"photo_id": photo, "key": key, "name": names, "lat": lat, "lon": lon})
    extras = [column for column in TRUTH_EXTRAS if column in frame]
    return table.assign(**{column: frame[column].map(cell_text) for column in extras})
