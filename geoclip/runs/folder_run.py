"""Locating many photos, the long part: read and encode them, once, into a journal.

What is found is in the journal as soon as a batch is done; `answers` turns it into guesses.
A run that was interrupted goes on where it was and finds what one that was not would have found.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionCheck, AbstentionSettings
from geoclip.photos.reader import BATCH, FRAMES, DecodedPhoto, PhotoPath, PhotoReader, read_batches
from geoclip.ranking.travel import TripSettings
from geoclip.runs.journal import Journal
from geoclip.runs.records import PhotoRecord, encoder_key, photo_key


@dataclass(frozen=True)
class RunSettings:
    """How a run treats its photos.

    `gps`: "keep" reports a trustworthy stated position instead of guessing, "ignore" guesses all,
    "compare" guesses all and measures the guesses by the stated positions. With `album` photos
    share evidence along time. `frames` of each video are looked at; `jobs` threads decode.
    """

    top_k: int = 5
    gps: Literal["keep", "ignore", "compare"] = "keep"
    evidence: AbstentionSettings = field(default_factory=AbstentionSettings)
    album: TripSettings | None = None
    frames: int = FRAMES
    jobs: int = 2


class FolderRun:
    """One run over photos.

    `keys` are those of `records.photo_key`; photos of one group stand side by side.
    """

    def __init__(
        self,
        locator: Locator,
        paths: Sequence[PhotoPath],
        keys: Sequence[bytes],
        groups: Sequence[str] | None,
        check: AbstentionCheck,
        settings: RunSettings,
    ) -> None:
        self.locator = locator
        self.paths = paths
        self.keys = keys
        self.groups = groups
        self.check = check
        self.settings = settings

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def of(
        cls,
        locator: Locator,
        paths: Sequence[PhotoPath],
        groups: Sequence[str] | None = None,
        settings: RunSettings | None = None,
    ) -> "FolderRun":
        """Prepare a run: look at each file's size and time, and bring groups together.

        Photos stay in order, but that those of a group follow its first one.
        """
        settings = settings or RunSettings()
        if groups is not None:
            first: dict[str, int] = {}
            rank = [first.setdefault(group, i) for i, group in enumerate(groups)]
            order = sorted(range(len(paths)), key=rank.__getitem__)
            paths, groups = [paths[i] for i in order], [groups[i] for i in order]
        keys = [photo_key(path) for path in paths]
        check = AbstentionCheck.of(locator.encoder, settings.evidence)
        return cls(locator, paths, keys, groups, check, settings)

    @property
    def journal_key(self) -> str:
        """Hash of all that the records depend on besides the photos."""
        judged = self.settings.evidence.level != "off"
        return encoder_key(self.locator.encoder, self.settings.frames, judged)

    def todo(self, journal: Journal) -> list[list[int]]:
        """Positions of the photos not in the journal, in batches.

        A batch holds what is left of a fixed slice of the run: embeddings may depend in the last
        bit on the batch, and a run that goes on is to find what it would have found before.
        """
        slices = (range(i, min(i + BATCH, len(self))) for i in range(0, len(self), BATCH))
        left = ([i for i in part if not self._is_done(journal, self.keys[i])] for part in slices)
        return [batch for batch in left if batch]

    def _is_done(self, journal: Journal, key: bytes) -> bool:
        if self.settings.gps != "keep":
            return journal.has(key, embedded=True)
        if not journal.has(key):
            return False
        return journal.has(key, embedded=True) or self.is_kept(journal.read([key])[0])

    def read(
        self,
        journal: Journal,
        batches: Sequence[Sequence[int]] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Read and encode the photos of `batches` (default: `todo`) into the journal."""
        batches = self.todo(journal) if batches is None else batches
        reader = PhotoReader(
            self.locator.encoder,
            metadata=True,
            trust_gps=self.settings.gps == "keep",
            check=None if self.settings.evidence.level == "off" else self.check,
            frames=self.settings.frames,
        )
        files = ([self.paths[i] for i in batch] for batch in batches)
        readings = read_batches(files, reader, self.settings.jobs)
        for batch, found in zip(batches, readings, strict=True):
            values = self.locator.encode(found)
            keys = [self.keys[i] for i in batch]
            journal.add([*map(_record, keys, found, values)])
            if progress:
                progress(len(batch))

    def is_kept(self, record: PhotoRecord) -> bool:
        """Whether a photo's stated position is reported as it is."""
        return self.settings.gps == "keep" and record.trusted_gps is not None

    def slices(self, size: int) -> Iterator[tuple[int, int]]:
        """Ranges of positions of about `size` photos that cut no group."""
        start = 0
        while start < len(self):
            stop = min(start + size, len(self))
            while self.groups and stop < len(self) and self.groups[stop] == self.groups[stop - 1]:
                stop += 1
            yield start, stop
            start = stop


def _record(key: bytes, reading: DecodedPhoto, value: np.ndarray | None) -> PhotoRecord:
    message = str(reading.problem) if reading.problem else ""
    half = None if value is None else value.astype(np.float16)
    return PhotoRecord(key, reading.status, message, reading.metadata, reading.finding, half)
