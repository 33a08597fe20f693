"""The photos that a model was trained on, kept beside its weights.

A photo's fingerprint is 64 bits of BLAKE2b over its file name and its size in bytes. So a photo is
recognised wherever it and its table lie, and a model carries no name of a photo. A renamed or
re-saved photo is not recognised.
"""

import hashlib
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.support.files import write_whole
from geoclip.support.paths import decode_path

TRAINED_FILE = "trained_on.npy"
RECORD = np.dtype([("photo", "<u8"), ("country", "S2")])

Fingerprints = NDArray[np.uint64]


def fingerprints(paths: Iterable[str]) -> Fingerprints:
    """The fingerprint (N,) of each photo, from its path in a table; 0 without a file."""
    return np.array([_fingerprint(decode_path(path)) for path in paths], dtype=np.uint64)


def _fingerprint(path: Path) -> int:
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return 0
    return fingerprint(path.name, found.st_size) if stat.S_ISREG(found.st_mode) else 0


def fingerprint(name: str, size: int) -> int:
    """The fingerprint of a photo from its file name without folders and its size in bytes."""
    name = unicodedata.normalize("NFC", name)  # some file systems decompose names
    text = f"{name}\0{size}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") or 1


@dataclass(frozen=True, eq=False)
class TrainedPhotos:
    """The photos that a model was trained on, and the country of each.

    `records` (N,) of `RECORD` are sorted and distinct. A photo without a fingerprint has 0; its
    country is known.
    """

    records: NDArray[np.void] = field(default_factory=lambda: np.empty(0, RECORD))

    @classmethod
    def read(cls, folder: Path | None) -> "TrainedPhotos":
        """The photos of a model folder, if it lists any; GeoclipError for a damaged file."""
        file = None if folder is None else folder / TRAINED_FILE
        if file is None or not file.is_file():
            return cls()
        try:
            records = np.load(file, allow_pickle=False)
            if records.dtype != RECORD or records.ndim != 1:
                raise ValueError(f"it holds {records.dtype}")
        except (OSError, EOFError, ValueError) as error:
            raise GeoclipError(
                f"{file} is not readable ({error}); copy the model again, or delete the file if "
                f"the list of training photos is not needed."
            ) from error
        return cls(records)

    def write(self, folder: Path) -> None:
        """Write `TRAINED_FILE` beside a model's weights."""
        write_whole(folder / TRAINED_FILE, lambda file: np.save(file, self.records))

    @property
    def countries(self) -> tuple[str, ...]:
        """ISO codes of the countries with a photo, in order; a photo of a class has none."""
        codes = np.unique(self.records["country"]).astype(str).tolist()
        return tuple(code for code in codes if code)

    def joined(self, photos: Fingerprints, countries: Sequence[str]) -> "TrainedPhotos":
        """These and others (n,), each with the ISO code of its country."""
        added = np.empty(len(photos), RECORD)
        added["photo"], added["country"] = photos, countries
        return TrainedPhotos(np.unique(np.concatenate([self.records, added])))

    def holds(self, photos: Fingerprints) -> NDArray[np.bool_]:
        """Mask (n,) of the photos among them."""
        found: NDArray[np.bool_] = np.isin(photos, self.records["photo"]) & (photos != 0)
        return found
