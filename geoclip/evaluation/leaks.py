"""Leak check: test photos that the training photos, or a gallery, give away."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.errors import GeoclipError, PhotoError
from geoclip.evaluation.truth_tables import TRUTH_EXTRAS, parse_truth
from geoclip.photos.decoding import read_photo
from geoclip.photos.photo_table import TRAIN, read_photo_table
from geoclip.support.paths import decode_path
from geoclip.support.tables import read_text_table

COORDINATE_DECIMALS = 4  # of a degree: 11 m
HASH_BITS = 4
"""Most differing bits between the 64-bit perceptual hashes of one picture."""
HASH_SIDE = 64
CHUNK_PAIRS = 4_000_000
BITS_OF_BYTE = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)


def read_training_table(path: Path) -> pd.DataFrame:
    """Training (or gallery) photos: photo_id, key, lat, lon, country_code and `TRUTH_EXTRAS`.

    The table has the layout of a truth table, or `path` with `country_code` alone; then lat and lon
    are NaN. If its column `split` has the value "train", only those rows are used. Raises the
    GeoclipErrors of both readers.
    """
    path = Path(path)
    frame = read_text_table(path)
    if "path" not in frame:
        table = parse_truth(frame, path, path.parent)
        return table if "country_code" in table else table.assign(country_code="")
    photos = read_photo_table(path).set_axis(frame.index)
    extras = [name for name in TRUTH_EXTRAS if name in frame and name != "country_code"]
    photos = photos[["photo_id", "path", "lat", "lon", "country_code", "split"]]
    photos = photos.rename(columns={"path": "key"}).assign(**{n: frame[n] for n in extras})
    chosen = photos["split"] == TRAIN
    return (photos[chosen] if chosen.any() else photos).reset_index(drop=True)


@dataclass(frozen=True)
class Leaks:
    """Leaked photos of n test photos, by reason; each (n,).

    `hashed` counts the test and the training photos whose files were compared; None if none were.
    """

    found: dict[str, NDArray[np.bool_]]
    hashed: tuple[int, int] | None

    def report(self) -> dict[str, int | list[int] | None]:
        """Counts by reason, `any` of them, and `hashed`."""
        counts: dict[str, int | list[int] | None] = {k: int(v.sum()) for k, v in self.found.items()}
        together = np.logical_or.reduce(list(self.found.values()))
        return counts | {"any": int(together.sum()), "hashed": list(self.hashed or []) or None}


def find_leaks(train: pd.DataFrame, test: pd.DataFrame, hashes: bool = True) -> Leaks:
    """Test photos that share a location_id, an author, coordinates or a picture with `train`.

    Both are tables of `read_training_table` or `parse_truth`. A reason is left out if one of the
    tables lacks the column. With `hashes` existing photos are decoded and compared by perceptual
    hash; raises GeoclipError without the library for it.
    """
    found = {
        name: np.asarray(test[name].isin(set(train[name]) - {""}))
        for name in ("location_id", "author")
        if name in train and name in test
    }
    located = train.dropna(subset="lat")
    found["coordinates"] = np.asarray(_rounded(test).isin(set(_rounded(located))))
    if not hashes:
        return Leaks(found, None)
    mine, theirs = perceptual_hashes(test), perceptual_hashes(train)
    same = near_hashes(mine[mine != 0], theirs[theirs != 0])
    found["picture"] = np.zeros(len(test), dtype=bool)
    found["picture"][mine != 0] = same
    hashed = int((mine != 0).sum()), int((theirs != 0).sum())
    return Leaks(found, hashed if all(hashed) else None)


def can_hash() -> bool:
    """Whether the library of perceptual hashes is installed."""
    try:
        import imagehash  # noqa: PLC0415, F401
    except ImportError:
        return False
    return True


def perceptual_hashes(photos: pd.DataFrame) -> NDArray[np.uint64]:
    """The 64-bit perceptual hash of each file (n,) of the column `key`; 0 for an unreadable one.

    Source: the pHash of the library ImageHash, a discrete cosine transform of the grey picture.
    A picture of one colour has no meaningful hash and is left out.
    """
    if not can_hash():
        raise GeoclipError(
            "Perceptual hashes need the library ImageHash: pip install 'geoclip-gzsl[leaks]', or "
            "leave them out with --no-photo-hashes."
        )
    return np.array([_hash(decode_path(key)) for key in photos["key"]], dtype=np.uint64)


def _hash(file: Path) -> int:
    import imagehash  # noqa: PLC0415 - an extra

    if not file.is_file():
        return 0
    try:
        picture = read_photo(file, short_side=HASH_SIDE)
    except PhotoError:
        return 0
    bits = imagehash.phash(picture).hash.ravel()
    value = int("".join("1" if bit else "0" for bit in bits), 2)
    return value if value.bit_count() > 1 else 0  # of one colour: only its mean is left


def near_hashes(
    mine: NDArray[np.uint64], theirs: NDArray[np.uint64], bits: int = HASH_BITS
) -> NDArray[np.bool_]:
    """Which of `mine` (n,) differ from any of `theirs` (m,) in at most `bits` bits.

    >>> near_hashes(np.array([7, 255], np.uint64), np.array([6], np.uint64), bits=1).tolist()
    [True, False]
    """
    near = np.zeros(len(mine), dtype=bool)
    step = max(1, CHUNK_PAIRS // max(1, len(theirs)))
    for start in range(0, len(mine), step):
        differing = mine[start : start + step, None] ^ theirs[None, :]
        octets = differing.view(np.uint8).reshape(*differing.shape, 8)
        distance = BITS_OF_BYTE[octets].sum(axis=2)
        near[start : start + step] = (distance <= bits).any(axis=1)
    return near


def _rounded(photos: pd.DataFrame) -> pd.Series:
    """Rounded coordinates as text, which compares exactly."""
    scaled = (photos[["lat", "lon"]].to_numpy(float) * 10**COORDINATE_DECIMALS).round()
    return pd.Series([f"{lat:.0f} {lon:.0f}" for lat, lon in scaled], index=photos.index)
