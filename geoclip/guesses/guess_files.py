"""Reading files of guesses: Parquet, GeoJSON, CSV, GeoPackage, Excel, ours or other programs'."""

from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses import spreadsheet
from geoclip.guesses.schema import COLUMNS, NUMBERS, guess_table
from geoclip.support.paths import gdal_takes
from geoclip.support.tables import (
    Source,
    coordinates,
    numbers,
    plain_names,
    read_text_table,
    refuse_rows,
)

ENDINGS = (".parquet", ".geojson", ".csv", ".gpkg", ".xlsx")


def read_guesses(path: Path) -> pd.DataFrame:
    """Guesses of `write_guesses`, or any file of its endings with path (or IMG_ID), lat, lon.

    The index is the row number in the file: from 2 for a CSV or Excel file (row 1 is the header),
    else from 1. Raises GeoclipError for a bad file or row: text for numbers, half a pair of
    coordinates, a value out of range, swapped names, no path, and no coordinates though the status
    is "ok" or there is none.

    >>> read_guesses("photos.csv")[["path", "lat", "lon"]].to_numpy().tolist()
    [['holiday/grey.jpg', 45.75, 4.85]]
    """
    path = Path(path)
    return parse_guesses(read_frame(path), path)


def read_guess_frame(path: Path) -> pd.DataFrame:
    """Guesses as `read_guesses` gives them, with the file's other columns as they are behind."""
    frame = read_frame(path)
    table = parse_guesses(frame, path)
    return table.join(frame[[name for name in frame.columns if name not in table.columns]])


def guessed_photos(path: Path) -> pd.Series:
    """The photos that a file of guesses, of places or of classes, is about.

    Raises GeoclipError as `read_guesses` does.
    """
    frame = read_frame(path)
    if "lat" not in frame and {"path", "rank", "status", "place_id"} <= set(frame):
        return frame["path"].astype(str)
    return parse_guesses(frame, path)["path"]


def read_frame(path: Path) -> pd.DataFrame:
    """A file of `ENDINGS` as it is, without geometry; the index is as in `read_guesses`."""
    ending = known_ending(path)
    return read_text_table(path) if ending == ".csv" else _read_geographic(path, ending)


def parse_guesses(frame: pd.DataFrame, path: Source) -> pd.DataFrame:
    """Guesses from a frame of texts or numbers that errors call `path`; see `read_guesses`."""
    frame = frame.rename(columns={} if "path" in frame else {"img_id": "path"})
    missing = [name for name in ("path", "lat", "lon") if name not in frame.columns]
    if missing:
        raise GeoclipError(
            f"{path} has no column {', '.join(missing)}: guesses need path (or IMG_ID), lat, lon. "
            "Those of classes have none: geoclip evaluate takes them with --gazetteer TABLE.csv."
        )
    frame = frame.copy()
    frame["lat"], frame["lon"] = coordinates(frame, path)
    for name in ({"rank"} | set(NUMBERS) - {"lat", "lon"}) & set(frame.columns):
        frame[name] = numbers(frame[name], path)
    if "rank" in frame:
        whole = (frame["rank"] % 1 == 0) & (frame["rank"] >= 1)
        refuse_rows(path, ~whole, "rank is not 1, 2, 3, …", "correct or drop the row")
    table = guess_table(frame).set_axis(frame.index)
    refuse_rows(path, table["path"] == "", "path is empty", "name the photo or drop the row")
    unanswered = table["lat"].isna() & table["status"].isin(["", "ok"])
    cure = "fill them in, or drop the row: the photo then counts as missing"
    refuse_rows(path, unanswered, "lat and lon are missing", cure)
    return table


def known_ending(path: Path) -> str:
    """The ending that says the format of a table of guesses.

    Raises GeoclipError for another, and for .xlsx where the library for it is missing.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise GeoclipError(
            f"{path} ends in none of {', '.join(ENDINGS)}: give it one of these endings."
        )
    if ending == spreadsheet.ENDING:
        spreadsheet.check_spreadsheets()
    return ending


def _read_geographic(path: Path, ending: str) -> pd.DataFrame:
    """A Parquet (with or without geometry), GeoJSON, GeoPackage or Excel file as a plain frame."""
    import geopandas as gpd  # noqa: PLC0415 - slow to import

    if not path.is_file():
        raise GeoclipError(f"{path} does not exist: check the path.")
    # A photo called 2020-01-01 must not come back as a date.
    options = {"DATE_AS_STRING": "YES"} if ending == ".geojson" else {}
    try:
        with path.open("rb") as file:  # not by its name, which pyarrow might take for a URI
            if ending == ".parquet":
                frame = pd.read_parquet(file)
            elif ending == spreadsheet.ENDING:
                frame = spreadsheet.read_workbook(path)
            else:
                frame = gpd.read_file(path if gdal_takes(path) else file, **options)
    except Exception as error:  # every reader has its own family of errors
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise GeoclipError(
            f"{path} is no readable {ending} file ({reason}): write it anew."
        ) from None
    frame = pd.DataFrame(frame).drop(columns="geometry", errors="ignore")
    frame.columns = plain_names(frame.columns, path)
    frame = frame.reindex(columns=COLUMNS) if frame.empty else frame
    first = 2 if ending == spreadsheet.ENDING else 1
    return frame.set_axis(pd.RangeIndex(first, len(frame) + first))
