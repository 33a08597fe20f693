"""The summary of a run with `--gps compare`: distances of guesses from stated positions."""

import numpy as np
import pandas as pd

from geoclip.evaluation.metrics import THRESHOLDS_KM, within_km
from geoclip.guesses.gps_comparison import DOUBT


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
