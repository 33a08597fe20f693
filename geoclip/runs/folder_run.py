"""Locate many photos with a journal: read and encode each once, then make guesses.

The results of a batch are in the journal as soon as it is done. An interrupted run resumes and
gives the results of an uninterrupted one.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace

from geoclip.encoders import Encoder
from geoclip.guesses.assembly import Assembler
from geoclip.guesses.blocks import Block
from geoclip.guesses.class_assembly import ClassAssembler
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.photos.keys import encoder_key, photo_key
from geoclip.photos.metadata import with_files_beside
from geoclip.photos.reader import BATCH, PhotoReader
from geoclip.photos.records import PhotoRecord, read_records
from geoclip.photos.refusals import READ, UNSUPPORTED
from geoclip.photos.views import location_keys, side_by_side
from geoclip.runs.journal import Journal
from geoclip.support.paths import AnyPath, encode_path


class PhotoRun:
    """Reading of photos into a journal; `keys` are those of `keys.photo_key`."""

    def __init__(
        self,
        encoder: Encoder,
        reader: PhotoReader,
        paths: Sequence[AnyPath],
        keys: Sequence[bytes],
        settings: LocateSettings,
    ) -> None:
        self.encoder = encoder
        self.reader = reader
        self.paths = paths
        self.keys = keys
        self.settings = settings

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def journal_key(self) -> str:
        """Hash of all inputs of the records besides the photos."""
        return encoder_key(self.encoder, self.settings.frames, self.reader.check is not None)

    def todo(self, journal: Journal) -> list[list[int]]:
        """Positions of the photos not in the journal, in batches.

        A batch holds the remaining photos of a fixed slice of the run: embeddings may depend in the
        last bit on the batch, and a resumed run must give the same.
        """
        slices = (range(i, min(i + BATCH, len(self))) for i in range(0, len(self), BATCH))
        left = ([i for i in part if not self._is_done(journal, self.keys[i])] for part in slices)
        return [batch for batch in left if batch]

    def _is_done(self, journal: Journal, key: bytes) -> bool:
        if not self.settings.reports_gps or self.settings.own_gallery:
            return journal.has(key, embedded=True)
        if not journal.has(key):
            return False
        return journal.has(key, embedded=True) or self.reader.is_enough(
            journal.read([key])[0].metadata
        )

    def read(
        self,
        journal: Journal,
        batches: Sequence[Sequence[int]] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Read and encode the photos of `batches` (default: `todo`) into the journal."""
        batches = self.todo(journal) if batches is None else batches
        files = ([(self.paths[i], None) for i in batch] for batch in batches)
        found = read_records(self.encoder, self.reader, files, self.settings.jobs)
        for batch, records in zip(batches, found, strict=True):
            keyed = zip(records, batch, strict=True)
            journal.add([replace(record, key=self.keys[i]) for record, i in keyed])
            if progress:
                progress(len(batch))


class FolderRun(PhotoRun):
    """One run over photos that are located, or whose classes are named where these lie nowhere.

    The views of a location (`locations`, keys of `location_keys`) are adjacent.
    """

    def __init__(
        self,
        locator: Locator,
        paths: Sequence[AnyPath],
        keys: Sequence[bytes],
        locations: Sequence[Hashable] | None,
        settings: LocateSettings,
    ) -> None:
        self.assembler: Assembler | ClassAssembler
        if locator.gazetteer.has_positions:
            self.assembler = locator.assembler(settings)
        else:
            self.assembler = ClassAssembler(locator.ranker, settings)
        settings = self.assembler.settings
        super().__init__(locator.encoder, locator.reader(settings), paths, keys, settings)
        self.locations = locations

    @classmethod
    def of(
        cls,
        locator: Locator,
        paths: Sequence[AnyPath],
        location_ids: Sequence[object] | None = None,
        settings: LocateSettings | None = None,
    ) -> "FolderRun":
        """Prepare a run: read each file's size and time, and bring views together.

        Photos stay in order, except that the views of a location follow its first one.
        """
        locations = None
        if location_ids is not None:
            named = location_keys(location_ids)
            order = side_by_side(named)
            paths, locations = [paths[i] for i in order], [named[i] for i in order]
        keys = [photo_key(path) for path in paths]
        return cls(locator, paths, keys, locations, settings or LocateSettings())

    def blocks(self, journal: Journal) -> Iterator[Block]:
        """Guesses for all photos, in their order, from a complete journal."""
        names = [encode_path(path) for path in self.paths]
        records = _JournalRecords(journal, self.keys, self.paths)
        return self.assembler.blocks(names, records, self.locations)


class _JournalRecords:
    """The records of a run's photos, read lazily from its journal.

    Files beside the photos may be new.
    """

    def __init__(self, journal: Journal, keys: Sequence[bytes], paths: Sequence[AnyPath]) -> None:
        self.journal = journal
        self.keys = keys
        self.paths = paths

    def __getitem__(self, part: slice) -> Sequence[PhotoRecord]:
        noted = zip(self.journal.read(self.keys[part]), self.paths[part], strict=True)
        return [
            replace(record, metadata=with_files_beside(record.metadata, path))
            if record.status in (*READ, UNSUPPORTED)
            else record
            for record, path in noted
        ]
