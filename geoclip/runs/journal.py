"""The progress of a long run on disk: stop it at any moment, and nothing is done twice.

A journal is a folder of numbered Parquet files. Each holds the records of a batch of photos and
appears whole or not at all, so a killed process or a full disk loses only the current batch.
"""

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from geoclip.errors import GeoclipError
from geoclip.photos.records import PhotoRecord
from geoclip.photos.refusals import UNREADABLE
from geoclip.runs.journal_rows import from_row, to_arrow

DRAFT = "part.draft"
LOCK = "lock"
KEPT_PARTS = 8
_ROW_BITS = 20


class _DamagedPartError(GeoclipError):
    """A part without a whole table, as opposed to a temporary read error."""


class Journal:
    """Records of photos by key, for one process at a time; close it, or use it as a context.

    It holds the keys of all photos in memory (some 150 bytes a photo), but not the records.
    """

    def __init__(self, folder: Path, lock: IO[bytes] | None = None) -> None:
        self.folder = folder
        self._lock = lock
        self._place: dict[bytes, int] = {}
        self._undone: set[bytes] = set()
        self._parts = 0
        self._cache: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._place)

    @classmethod
    def open(cls, folder: Path) -> "Journal":
        """Open the journal in a folder, created if absent, with the records of earlier runs.

        A damaged part, as after a power cut, is dropped: its photos count as not done. Raises
        GeoclipError where the folder or a part cannot be read (the part is kept), and where another
        process writes to it.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / LOCK).open("ab")
        except OSError as problem:
            raise _unusable(folder, problem) from None
        try:
            _hold(lock, folder)
            journal = cls(folder, lock)
            journal._read_parts()
        except BaseException:
            lock.close()
            raise
        return journal

    def close(self) -> None:
        """Unlock the journal for other processes."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def has(self, key: bytes, embedded: bool = False) -> bool:
        """Whether a photo is done.

        With `embedded` a photo read without pixels is not done, nor one that the disk or network
        failed to deliver, which may work now.
        """
        return key in self._place and not (embedded and key in self._undone)

    def add(self, records: Sequence[PhotoRecord]) -> None:
        """Add records as one part, on disk on return. Raises GeoclipError on a full disk.

        A later record replaces an earlier one of the same key.
        """
        table = to_arrow(records)
        number = self._parts
        draft = self.folder / DRAFT
        try:
            with draft.open("wb") as file:
                pq.write_table(table, file, compression="none")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file(number))
        except OSError as problem:
            raise _unusable(self.folder, problem) from None
        self._enter(number, table)

    def read(self, keys: Iterable[bytes]) -> list[PhotoRecord]:
        """The records of finished photos, in the order of `keys`."""
        return [self._record(key) for key in keys]

    def _record(self, key: bytes) -> PhotoRecord:
        number, row = divmod(self._place[key], 1 << _ROW_BITS)
        if number not in self._cache:
            self._cache[number] = self._read_part(number).to_pylist()
            if len(self._cache) > KEPT_PARTS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(number)
        return from_row(self._cache[number][row])

    def _read_part(self, number: int, columns: list[str] | None = None) -> pa.Table:
        file = self._file(number)
        try:
            with file.open("rb") as part:  # pyarrow would take some names for a URI
                return pq.ParquetFile(part).read(columns, use_threads=False)
        except (OSError, pa.ArrowInvalid) as problem:
            if isinstance(problem, OSError) and problem.errno is not None:
                reason = problem.strerror or problem
                raise GeoclipError(
                    f"{file} cannot be read ({reason}); give the same command again."
                ) from None
            raise _DamagedPartError(
                f"{file} is damaged ({str(problem).splitlines()[0]}); delete it and give the same "
                "command again."
            ) from None

    def _read_parts(self) -> None:
        (self.folder / DRAFT).unlink(missing_ok=True)
        for file in sorted(self.folder.glob("*.parquet")):
            if not file.stem.isdecimal():
                continue
            number = int(file.stem)
            try:
                self._enter(number, self._read_part(number, ["key", "status", "embedded"]))
            except _DamagedPartError:
                file.unlink()

    def _enter(self, number: int, table: pa.Table) -> None:
        self._parts = number + 1
        columns = (table[name].to_pylist() for name in ("key", "status", "embedded"))
        for row, (key, status, embedded) in enumerate(zip(*columns, strict=True)):
            self._place[key] = (number << _ROW_BITS) + row
            if (status == "ok" and not embedded) or status == UNREADABLE:
                self._undone.add(key)
            else:
                self._undone.discard(key)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:08d}.parquet"


def _hold(lock: IO[bytes], folder: Path) -> None:
    """Lock the journal; the system unlocks it whenever the process ends."""
    try:
        import fcntl  # noqa: PLC0415 (POSIX only)
    except ImportError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise GeoclipError(
            f"Another run is writing to {folder}: wait for it, or name another --out (or another "
            f"--keep-embeddings)."
        ) from None
    except OSError:  # a file system without locks
        return


def _unusable(folder: Path, problem: OSError) -> GeoclipError:
    return GeoclipError(
        f"The journal {folder} cannot be written ({problem.strerror or problem}); make room and "
        "give the same command again: what is done stays done."
    )


def remove_journals(home: Path) -> None:
    """Remove the journals in the folders below `home`, and `home` itself if then empty.

    A journal in use by another run stays, and so does one that cannot be removed: it does no harm.
    """
    if not home.is_dir():
        return
    for folder in home.iterdir():
        if (folder / LOCK).is_file() and not _is_in_use(folder):
            rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        home.rmdir()


def _is_in_use(folder: Path) -> bool:
    try:
        with (folder / LOCK).open("ab") as lock:
            _hold(lock, folder)
    except (GeoclipError, OSError):
        return True
    return False
