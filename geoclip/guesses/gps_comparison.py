"""Guesses compared with stated positions, and stated positions that look wrong."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from geoclip.photos.gps_fix import GpsFix
from geoclip.places.sphere import great_circle_km
from geoclip.support.paths import encode_path

EXTRA_COLUMNS = {
    "gps_lat": "float64",
    "gps_lon": "float64",
    "error_km": "float64",
    "gps_note": "str",
    "gps_file": "str",
}
NOTE_COLUMNS = {"gps_note": "str", "gps_file": "str"}
"""Columns on stated positions: why one is not trusted, and the file beside that states it."""
FAR_KM = 750.0
DOUBTFUL_FACTOR = 10
"""A posterior spread over the world is low near any place, so the photo's change of it counts."""
DOUBT = f"the photo looks like a place more than {FAR_KM:,.0f} km away"


def stated_positions(fixes: Sequence[GpsFix | None]) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (N,) stated in files, NaN if they state none."""
    stated = [(np.nan, np.nan) if fix is None else (fix.lat, fix.lon) for fix in fixes]
    lat, lon = np.array(stated, dtype=np.float64).reshape(-1, 2).T
    return lat, lon


def stated_truth(table: pd.DataFrame) -> pd.DataFrame | None:
    """The trustworthy positions of a table of `compared` as path, lat, lon; None for others."""
    names = ["gps_lat", "gps_lon", "error_km"]
    if not set(names) <= set(table.columns):
        return None
    first = table[table["rank"] == 1]
    numbers = first[names].apply(pd.to_numeric, errors="coerce")
    known = numbers.notna().all(axis=1)
    places = {"path": first["path"], "lat": numbers["gps_lat"], "lon": numbers["gps_lon"]}
    return pd.DataFrame(places)[known]


def compared(
    table: pd.DataFrame, order: np.ndarray, fixes: Sequence[GpsFix | None], support: np.ndarray
) -> pd.DataFrame:
    """A block's table with `EXTRA_COLUMNS`; a row's photo has the position `order` in `fixes`.

    `gps_lat`, `gps_lon` is the stated position, `error_km` the distance from it to the row's
    point (NaN where it is not trustworthy), and `gps_note` says why a stated position looks wrong:
    by itself, or because the photo makes the places within `FAR_KM` at least `DOUBTFUL_FACTOR`
    times less probable than they are without it. `support` (N,) is the factor by which the photo
    changes their probability (`PlaceRanker.support_within`), NaN for photos not guessed.
    """
    lat, lon = stated_positions(fixes)
    trusted = np.array([fix is not None and fix.trustworthy for fix in fixes], dtype=bool)
    notes = np.array(["" if fix is None else fix.reason for fix in fixes], dtype=object)
    notes[(support <= 1 / DOUBTFUL_FACTOR) & trusted] = DOUBT
    points = table["lat"].to_numpy(np.float64), table["lon"].to_numpy(np.float64)
    error = great_circle_km(*points, lat[order], lon[order])
    return table.assign(
        gps_lat=lat[order],
        gps_lon=lon[order],
        error_km=np.where(trusted[order], error, np.nan),
        gps_note=notes[order],
        gps_file=_files(fixes)[order],
    )


def noted(table: pd.DataFrame, order: np.ndarray, fixes: Sequence[GpsFix | None]) -> pd.DataFrame:
    """A block's table with `NOTE_COLUMNS`; see `compared`."""
    notes = np.array(["" if fix is None else fix.reason for fix in fixes], dtype=object)
    return table.assign(gps_note=notes[order], gps_file=_files(fixes)[order])


def _files(fixes: Sequence[GpsFix | None]) -> np.ndarray:
    """The names (N,) of the files with the trusted positions, "" for the photos themselves."""
    names = [encode_path(fix.file) if fix is not None and fix.trustworthy else "" for fix in fixes]
    return np.array(names, dtype=object)
