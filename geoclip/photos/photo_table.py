"""Photo tables: CSV files with the places of photos, for training and for evaluation.

Columns: `path` (relative to the CSV file), `lat` and `lon` in degrees (both empty where only the
country is known); optional `country_code` (a code or name of a country), `location_id` (shared by
views of one place), `split`, `source` (the collection, camera or web site of a photo), `place_id`
(of the gazetteer, or of a table of other levels; such a photo needs no position). Other columns are
ignored. Names are compared without regard to case.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.photos.csv_lists import read_csv_list
from geoclip.places.country_names import country_codes
from geoclip.places.sphere import great_circle_km
from geoclip.support.paths import AnyPath, decode_path, encode_path, path_list, resolve_path
from geoclip.support.tables import (
    coordinates,
    refuse_duplicates,
    refuse_rows,
    require_columns,
)

TRAIN, PSEUDO_SEEN, PSEUDO_UNSEEN = "train", "pseudo-seen", "pseudo-unseen"
"""Splits that are not measured: photos to train on, and those that a ranking is fitted on."""
HELD_BACK = (PSEUDO_SEEN, PSEUDO_UNSEEN)
SAME_LOCATION_KM = 25.0
"""Views of one location in two tables may lie this far apart: in one city, say."""
Resolve = Callable[[str, Path], str]
"""The path of a photo, from a table's text and the table's folder."""
COLUMNS = (
    "photo_id", "path", "lat", "lon", "country_code", "location_id", "split", "source", "place_id"
)  # fmt: skip


def read_photo_table(
    paths: AnyPath | Iterable[AnyPath],
    source_column: str | None = None,
    resolve: Resolve = resolve_path,
) -> pd.DataFrame:
    """The photos of one or more CSV files, in order, with the columns `COLUMNS`.

    `photo_id` is the unique path as written in the file, `path` is absolute; whether the photo
    exists is not checked. Non-UTF-8 names: see `support.paths`. `source_column` names the column of
    the source, which must then exist. The source of a photo without one is its folder. `resolve`
    may keep URIs unchanged. Raises GeoclipError for a bad file or row, for a repeated photo, for a
    location with different places in two tables, and when there is no photo at all.

    >>> read_photo_table("photos.csv")[["photo_id", "lat", "lon"]].to_numpy().tolist()
    [['holiday/grey.jpg', 45.75, 4.85]]
    """
    files = [Path(path) for path in path_list(paths)]
    if not files:
        raise GeoclipError("No photo table was given: name a CSV file with path, lat, lon.")
    tables = [_read_one(file, source_column, resolve) for file in files]
    _refuse_shared_photos(files, tables)
    _refuse_shared_locations(files, tables)
    table = pd.concat(tables, ignore_index=True)
    if table.empty:
        names = ", ".join(map(str, files))
        raise GeoclipError(f"{names} lists no photo: add a row for each photo below the header.")
    return table.assign(source=table["source"].where(table["source"] != "", _folders(table)))


def _folders(table: pd.DataFrame) -> pd.Series:
    """Each photo's folder, relative to the common folder of all photos; a URI unchanged."""
    folders = table["path"].map(os.path.dirname)
    found = {text: decode_path(text) for text in folders.unique() if "://" not in text}
    top = Path(os.path.commonpath(found.values())) if found else Path()
    names = {text: encode_path(_below(top, path)) for text, path in found.items()}
    return folders.map(lambda text: names.get(text, text))


def _below(top: Path, folder: Path) -> str:
    return folder.name if folder == top else str(folder.relative_to(top))


def _read_one(file: Path, source_column: str | None, resolve: Resolve) -> pd.DataFrame:
    frame = read_csv_list(file, check_columns=_require_labels)
    source = "source" if source_column is None else source_column.strip().lower()
    if source_column is not None:
        require_columns(frame, [source], file)
    for name in ("lat", "lon", "country_code", "split", "place_id", source):
        if name not in frame:
            frame[name] = ""
        frame[name] = frame[name].str.strip()
    lat, lon = coordinates(frame, file)
    country = country_codes(frame["country_code"], file)
    unlabelled = lat.isna() & (country == "") & (frame["place_id"] == "")
    cure = "fill in lat and lon or country_code, or drop the row"
    refuse_rows(file, unlabelled, "neither coordinates nor a country_code is given", cure)
    photo_id = frame["photo_id"]
    table = pd.DataFrame(
        {
            "photo_id": photo_id,
            "path": photo_id.map(lambda text: resolve(text, file.parent)),
            "lat": lat,
            "lon": lon,
            "country_code": country,
            "location_id": frame["location_id"].where(frame["location_id"] != "", photo_id),
            "split": frame["split"],
            "source": frame[source],
            "place_id": frame["place_id"],
        }
    )
    refuse_duplicates(file, table["path"], "photo")
    return table


def _require_labels(frame: pd.DataFrame, file: Path) -> None:
    """A table needs a path and at least one kind of label; half a pair of coordinates is none."""
    has = set(frame.columns)
    coordinates_or_class = {"lat", "lon"} <= has or (
        bool({"country_code", "place_id"} & has) and not has & {"lat", "lon"}
    )
    if "path" not in has or not coordinates_or_class:
        raise GeoclipError(
            f"{file} has the columns {', '.join(frame.columns)}: it needs path with lat and lon, "
            "or path with country_code or place_id."
        )


def _refuse_shared_photos(files: list[Path], tables: list[pd.DataFrame]) -> None:
    """Raise GeoclipError for a photo_id or file in two tables (or in one given twice)."""
    seen: dict[str, tuple[Path, int]] = {}
    for file, table in zip(files, tables, strict=True):
        fresh: dict[str, tuple[Path, int]] = {}
        for row, photo_id, path in zip(table.index, table["photo_id"], table["path"], strict=True):
            for key in (photo_id, path):
                if key in seen:
                    other, other_row = seen[key]
                    raise GeoclipError(
                        f"{file}, row {row}: photo {photo_id!r} stands in {other}, row "
                        f"{other_row} already: keep one row for each."
                    )
                fresh[key] = (file, int(row))
        seen |= fresh


def _refuse_shared_locations(files: list[Path], tables: list[pd.DataFrame]) -> None:
    """Raise GeoclipError for a location_id with two places, as where tables count from 1."""
    views = pd.concat(tables, keys=range(len(tables)), names=["table", "row"]).reset_index()
    views = views.sort_values("lat", key=pd.isna, kind="stable")
    views = views.drop_duplicates(["location_id", "table"])
    shared = views[views["location_id"].duplicated(keep=False)].sort_values("table", kind="stable")
    for location, of_one in shared.groupby("location_id"):
        first = of_one.iloc[0]
        for _, view in of_one.iloc[1:].iterrows():
            if _lie_apart(view, first):
                raise GeoclipError(
                    f"{files[view['table']]}, row {view['row']}: the location {location!r} is "
                    f"another place in {files[first['table']]}, row {first['row']}; give "
                    f"different places their own ids."
                )


def _lie_apart(view: pd.Series, other: pd.Series) -> bool:
    codes = view["country_code"], other["country_code"]
    if all(codes) and codes[0] != codes[1]:
        return True
    km = great_circle_km(view["lat"], view["lon"], other["lat"], other["lon"])
    return bool(km > SAME_LOCATION_KM)  # False where one lacks coordinates
