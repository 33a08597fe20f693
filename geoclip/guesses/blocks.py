"""What is made of some photos: their guesses, and what is said of those that could not be read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from geoclip.guesses.failures import Failure
from geoclip.guesses.fates import Fates
from geoclip.photos.records import PhotoRecord


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


def told(
    names: Sequence[str], records: Sequence[PhotoRecord], fates: Fates
) -> tuple[list[Failure], list[Failure]]:
    """Failures, and remarks about photos whose decoders complained."""
    seen = [i for i in (*fates.abstained, *fates.guessed) if records[i].message]
    said = [
        Failure(names[i], records[i].status, records[i].message)
        for i in sorted([*fates.unread, *seen])
    ]
    return [f for f in said if f.status != "ok"], [f for f in said if f.status == "ok"]
