"""Guesses measured by the positions that photos state, and positions that look wrong."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from geoclip.capture import GpsFix
from geoclip.metrics import THRESHOLDS_KM, within_km
from geoclip.sphere import great_circle_km

EXTRA_COLUMNS = {
    "gps_lat": "float64",
    "gps_lon": "float64",
    "error_km": "float64",
    "gps_note": "str",
}
FAR_KM = THRESHOLDS_KM["country"]
DOUBTFUL_FACTOR = 10
"""A posterior spread over the world is thin near any place; what the photo changes counts."""
DOUBT = f"the photo looks like a place more than {FAR_KM:,.0f} km away"


def stated_positions(fixes: Sequence[GpsFix | None]) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (N,) of what files state, NaN where they state none."""
    stated = [(np.nan, np.nan) if fix is None else (fix.lat, fix.lon) for fix in fixes]
    lat, lon = np.array(stated, dtype=np.float64).reshape(-1, 2).T
    return lat, lon


def compared(
    table: pd.DataFrame, order: np.ndarray, fixes: Sequence[GpsFix | None], support: np.ndarray
) -> pd.DataFrame:
    """A block's table with `EXTRA_COLUMNS`; a row's photo has the position `order` in `fixes`.

    `gps_lat`, `gps_lon` is the stated position, `error_km` the distance from it to the row's
    point (NaN where it is not trustworthy), and `gps_note` says why a stated position looks wrong:
    by itself, or because the photo makes the places within `FAR_KM` at least `DOUBTFUL_FACTOR`
    times less probable than they are without it. `support` (N,) is by how many times it makes them
    more probable (`Locator.support_within`), NaN where nothing was guessed.
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
    )


class GpsSummary:
    """Counts over the blocks of a run with `--gps compare`; a photo without a guess is a miss."""

    def __init__(self) -> None:
        self.errors: list[float] = []
        self.without_guess = 0
        self.untrusted = 0
        self.doubted = 0

    def add(self, table: pd.DataFrame) -> None:
        """Count the photos of a block."""
        stated = table["gps_lat"].notna() | (table["gps_note"] != "")
        first = table[stated & (table["rank"] == 1)]
        untrusted = (first["gps_note"] != "") & (first["gps_note"] != DOUBT)
        trusted = first[~untrusted]
        self.untrusted += int(untrusted.sum())
        self.doubted += int((first["gps_note"] == DOUBT).sum())
        self.without_guess += int(trusted["lat"].isna().sum())
        self.errors += trusted["error_km"].fillna(np.inf).tolist()

    def lines(self) -> list[str]:
        """Sentences for the terminal."""
        notes = []
        if self.untrusted:
            notes.append(f"{self.untrusted:,} stated positions look wrong by themselves")
        if self.doubted:
            notes.append(f"{self.doubted:,} look wrong for what the photo shows")
        flagged = [f"{' and '.join(notes)}: see gps_note."] if notes else []
        if not self.errors:
            return ["No photo has a trustworthy GPS position to compare with.", *flagged]
        km = np.array(self.errors)
        shares = within_km(km)
        named = zip(THRESHOLDS_KM.items(), shares.values(), strict=True)
        listed = ", ".join(f"{share:.0f} % {name} ({limit:,} km)" for (name, limit), share in named)
        median = float(np.median(km))
        missing = f", {self.without_guess:,} of them without a guess" if self.without_guess else ""
        middle = f"median {median:,.0f} km" if np.isfinite(median) else "no median"
        total = f"Of {len(km):,} photos with a trustworthy GPS position{missing}"
        return [f"{total}, the best guess is within {listed}; {middle}.", *flagged]
