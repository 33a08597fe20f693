"""The results for some photos: their guesses, and messages for unreadable ones."""

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from geoclip.guesses.failures import Failure


@dataclass(frozen=True)
class Block:
    """Guesses for some photos, failures for unreadable and partial ones, and counts.

    `remarks` are about photos whose decoders complained. `kinds` counts what the abstained photos
    look like.
    """

    table: pd.DataFrame
    failures: list[Failure]
    remarks: list[Failure]
    kinds: Counter[str]
    photos: int
