"""Progress messages of a run over a folder, and its final counts."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses.failures import Failure
from geoclip.guesses.geo_table import to_geodataframe
from geoclip.guesses.gps_comparison import NOTE_COLUMNS
from geoclip.guesses.guess_files import read_guesses
from geoclip.guesses.schema import GALLERY, GPS
from geoclip.photos.gps_fix import kind_of_reason
from geoclip.photos.listing import LeftOut
from geoclip.photos.refusals import READ

if TYPE_CHECKING:
    from geoclip.guesses.blocks import Block
    from geoclip.guesses.guess_frame import Guesses
    from geoclip.guesses.sidecars import SidecarReport
    from geoclip.locator import Locator
    from geoclip.runs.gps_summary import GpsSummary


class RunWatch:
    """Receives the progress of a run. This class says nothing; override the methods you need."""

    def progress(
        self, what: str, total: int, done: int = 0
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A step ("reading", "ranking") begins; returns the function that counts done photos."""
        return nullcontext(lambda _: None)

    def read_before(self, done: int, total: int) -> None:
        """An earlier run has read some photos."""

    def photos_read(self, locator: "Locator") -> None:
        """All photos are read."""

    def located(self, table: pd.DataFrame) -> None:
        """All guesses are made but not written to a file."""

    def wrote(self, path: Path, failures: int | None = None) -> None:
        """A file is written; `failures` is their number if it is the list of failures."""

    def sidecars(self, report: "SidecarReport", journal: Path | None) -> None:
        """Sidecars are written."""

    def stopped(self, resumable: bool) -> None:
        """Ctrl-C; the same call resumes here if the run is `resumable`."""


@dataclass
class RunReport:
    """Counts of a run, its failures and partial photos, and its outputs.

    For `untold` photos no place can be named. `remarks` are about photos decoded despite complaints
    of the decoder. `kept` photos report their own position, `beside` of them from a file beside
    them or a track; `distrusted` counts the other stated positions by reason. A gallery decided the
    points of `by_gallery`. `kinds` counts what the abstained photos look like. `left_out` lists
    files in folders besides the photos. `calibrated` says whether the probabilities were checked on
    photos of known place (see `RankingSettings`). `gps` exists if guesses are compared; `table` is
    empty if it was written to `out`, and its `extra_columns` follow those of the schema. With
    `of_classes` it is there and has the columns of `class_guesses`.
    """

    photos: int = 0
    untold: int = 0
    kept: int = 0
    beside: int = 0
    distrusted: Counter[str] = field(default_factory=Counter)
    by_gallery: int = 0
    calibrated: bool = False
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    remarks: list[Failure] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    gps: "GpsSummary | None" = None
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    extra_columns: dict[str, str] = field(default_factory=dict)
    out: Path | None = None
    map_file: Path | None = None
    sidecars: "SidecarReport | None" = None
    of_classes: bool = False

    def add(self, block: "Block") -> None:
        """Count a block."""
        self.photos += block.photos
        first = block.table[block.table["rank"] == 1]
        self.untold += int((first["status"].isin(READ) & (first["level"] == "none")).sum())
        self.failures += block.failures
        self.remarks += block.remarks
        self.kinds += block.kinds
        if "source" not in block.table:  # of classes
            return
        own = block.table["source"] == GPS
        self.kept += int(own.sum())
        if NOTE_COLUMNS.keys() <= set(block.table) and self.gps is None:
            self.beside += int((own & (block.table["gps_file"] != "")).sum())
            notes = first.loc[(first["source"] != GPS) & (first["gps_note"] != ""), "gps_note"]
            self.distrusted.update(kind_of_reason(note) for note in notes)
        placed = (block.table["source"] == GALLERY) & (block.table["rank"] == 1)
        self.by_gallery += int(placed.sum())
        if self.gps is not None:
            self.gps.add(block.table)

    def guesses(self) -> "Guesses":
        """The table of guesses with points as geometry; read from the file if one was written.

        A table read from the file lacks the extra columns. Raises GeoclipError for guesses of
        classes, which `table` holds.
        """
        if self.of_classes:
            raise GeoclipError("Classes lie nowhere: take them from `table`, without a geometry.")
        if self.out is not None:
            return to_geodataframe(read_guesses(self.out))
        return to_geodataframe(self.table, self.extra_columns)
