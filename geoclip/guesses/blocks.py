"""What is made of some photos: their guesses, and what is said of those that could not be read."""

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from geoclip.guesses.failures import Failure


@dataclass(frozen=True)
class Block:
    """Guesses for some photos, failures for those that could not be read whole, and counts.

    `remarks` are about photos whose decoders complained. `kinds` counts what the photos that were
    abstained from look like.
    """

    table: pd.DataFrame
    failures: list[Failure]
    remarks: list[Failure]
    kinds: Counter[str]
    photos: int
