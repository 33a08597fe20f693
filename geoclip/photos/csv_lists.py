"""The one reader of photo lists in CSV: `path`, with or without `location_id`."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from geoclip.support.paths import encode_path
from geoclip.support.tables import read_text_table, refuse_rows, require_columns


def read_csv_list(
    file: Path,
    location_column: str | None = None,
    check_columns: Callable[[pd.DataFrame, Path], None] | None = None,
) -> pd.DataFrame:
    """The rows of a CSV list as text, with the further columns `photo_id` and `location_id`.

    `photo_id` is the path as written in the list: relative to the list's folder, or a `file:` text.
    `location_id` is "" where a photo has none; `location_column` names its column, which must then
    be there. Without it, a column `location_id` is read if present. `check_columns` may refuse a
    table before its rows are checked. Raises GeoclipError for an unreadable list, a missing column,
    or a row without a path.
    """
    frame = read_text_table(file)
    if check_columns is not None:
        check_columns(frame, file)
    own = "location_id" if location_column is None else location_column.lower()
    require_columns(frame, ["path"] if location_column is None else ["path", own], file)
    refuse_rows(file, frame["path"] == "", "path is empty", "name the photo or drop the row")
    ids = frame[own].str.strip() if own in frame else ""
    return frame.assign(photo_id=frame["path"].map(encode_path), location_id=ids)
