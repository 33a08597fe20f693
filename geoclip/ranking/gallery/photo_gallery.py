"""A gallery on disk: embeddings of geotagged photos with their positions.

A gallery is a folder of numbered parts. A part is an array of embeddings (`00000000.npy`, mapped
into memory, never read whole) and a table of the photos (`00000000.parquet`), written last: a part
without a table is ignored. `gallery.json` names the encoder. The photos are not copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geoclip.errors import GeoclipError
from geoclip.support.files import write_whole

ABOUT_FILE = "gallery.json"
VERSION = 1
SCHEMA = pa.schema(
    {
        "photo_id": pa.string(),
        "lat": pa.float64(),
        "lon": pa.float64(),
        "country_code": pa.string(),  # "" for unknown, here and below
        "location_id": pa.string(),
        "source": pa.string(),
        "path": pa.string(),  # "" unless the user wanted names
    }
)
DTYPES = ("float16", "float32")
BLOCK_ROWS = 16_384
"""Rows converted to float32 at a time: 32 MiB at 512 dimensions."""


@dataclass(frozen=True)
class GalleryAbout:
    """How a gallery was made: `encoder` is the key of an image tower (`photos.keys`)."""

    encoder: str
    model: str
    width: int
    dtype: str = "float16"
    version: int = VERSION

    @classmethod
    def parse(cls, content: bytes, folder: Path | str) -> GalleryAbout:
        """Parse the about file of a folder's gallery.

        Raises GeoclipError for a damaged file or another version.
        """
        try:
            about = cls(**json.loads(content))
        except (ValueError, TypeError) as error:
            raise _damaged_about(folder, error) from None
        if about.version != VERSION:
            raise GeoclipError(
                f"{folder} is a gallery of version {about.version}, this geoclip reads version "
                f"{VERSION}: build it again, or use the geoclip that made it."
            )
        return about

    def check_encoder(self, encoder: str, folder: Path | str) -> None:
        """Raise GeoclipError unless the gallery in a folder has the encoder of this key."""
        if encoder != self.encoder:
            raise GeoclipError(
                f"The gallery {folder} was made with another encoder, {self.model}: use that "
                "model, or build a gallery with this one in a new folder."
            )


class Gallery:
    """Embeddings (M, d) of geotagged photos, of unit length, and their positions.

    Made by `create` or `open`; grows by `add`.
    """

    def __init__(
        self, folder: Path, about: GalleryAbout, parts: list[np.ndarray], photos: pa.Table
    ) -> None:
        self.folder = folder
        self.about = about
        self.parts = parts
        self.photos = photos

    def __len__(self) -> int:
        return len(self.photos)

    def __repr__(self) -> str:
        return f"Gallery({str(self.folder)!r}, {len(self):,} photos of {self.about.model!r})"

    @classmethod
    def create(cls, folder: Path, about: GalleryAbout) -> Gallery:
        """Make an empty gallery in a folder, created if absent.

        Raises GeoclipError where there is another gallery or a damaged one, and for an invalid
        dtype.
        """
        if about.dtype not in DTYPES:
            raise GeoclipError(f"dtype is {about.dtype!r}; use {' or '.join(DTYPES)}.")
        if (folder / ABOUT_FILE).exists():
            return cls.open(folder, about.encoder)
        if folder.exists() and not folder.is_dir():
            raise GeoclipError(
                f"The gallery {folder} cannot be written: it is a file; name a folder."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(asdict(about)) + "\n"
            write_whole(folder / ABOUT_FILE, lambda file: file.write(text.encode()))
        except OSError as problem:
            raise _unwritable(folder, problem) from None
        return cls(folder, about, [], SCHEMA.empty_table())

    @classmethod
    def open(cls, folder: Path, encoder: str | None = None) -> Gallery:
        """Open the gallery in a folder.

        Raises GeoclipError where there is none, where it is damaged, and where its encoder is not
        that of the key `encoder`: embeddings of two encoders are not comparable.
        """
        about = _read_about(folder)
        if encoder is not None:
            about.check_encoder(encoder, folder)
        parts, tables = [], []
        for number in range(len(list(folder.glob("*.parquet")))):
            values, table = _read_part(folder, number, about)
            parts.append(values)
            tables.append(table)
        # In one chunk: taking photos from a table of many is a hundred times slower.
        photos = pa.concat_tables([SCHEMA.empty_table(), *tables]).combine_chunks()
        return cls(folder, about, parts, photos)

    @classmethod
    def in_memory(cls, values: np.ndarray, photos: pd.DataFrame) -> Gallery:
        """A gallery of embeddings (M, d) without a folder; `photos` are those of `add`."""
        about = GalleryAbout("", "memory", values.shape[1])
        return cls(Path(), about, [values], gallery_rows(photos))

    def add(self, values: np.ndarray, photos: pd.DataFrame) -> int:
        """Write photos with embeddings (n, d) to disk; returns how many were new.

        `photos` has the columns `photo_id`, `lat`, `lon` and any others of `SCHEMA`. Of photos with
        one id the first stays. Raises GeoclipError for embeddings of another width or not of unit
        length, for a photo without a position, and for a full disk.
        """
        known = self.rows_of(photos["photo_id"]) >= 0
        fresh = ~(photos["photo_id"].duplicated().to_numpy() | known)
        values, photos = np.asarray(values)[fresh], photos[fresh]
        if not len(photos):
            return 0
        self._check(values, photos)
        table = gallery_rows(photos)
        stored = values.astype(self.about.dtype)
        number = len(self.parts)
        try:
            write_whole(_values_file(self.folder, number), lambda file: np.save(file, stored))
            write_whole(_table_file(self.folder, number), lambda file: pq.write_table(table, file))
        except OSError as problem:
            raise _unwritable(self.folder, problem) from None
        self.parts = [*self.parts, np.load(_values_file(self.folder, number), mmap_mode="r")]
        self.photos = pa.concat_tables([self.photos, table])
        for name in ("lat", "lon"):
            self.__dict__.pop(name, None)
        return len(table)

    @cached_property
    def lat(self) -> np.ndarray:
        """Latitudes (M,) in degrees."""
        return np.asarray(self.photos["lat"].to_numpy())

    @cached_property
    def lon(self) -> np.ndarray:
        """Longitudes (M,) in degrees."""
        return np.asarray(self.photos["lon"].to_numpy())

    def rows_of(self, photo_ids: Iterable[str]) -> np.ndarray:
        """The row (N,) of each photo id, -1 for unknown ids."""
        ids = pa.array(list(photo_ids), pa.string())
        found = pc.index_in(ids, self.photos["photo_id"]).fill_null(-1)
        return np.asarray(found.to_numpy(), dtype=np.int64)

    def photo_ids(self, rows: np.ndarray) -> np.ndarray:
        """The photo ids of rows, in their shape."""
        ids = self.photos["photo_id"].take(pa.array(rows.ravel()))
        return np.array(ids.to_pylist(), dtype=object).reshape(rows.shape)

    def blocks(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Stored embeddings in blocks, from row `start`, each with its first row."""
        first = 0
        for part in self.parts:
            begin = max(start - first, 0)
            for row in range(begin, len(part), BLOCK_ROWS):
                yield first + row, part[row : row + BLOCK_ROWS]
            first += len(part)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Embeddings (n, d) of some rows (n,), float32."""
        starts = np.cumsum([0, *map(len, self.parts)])
        which = np.searchsorted(starts, rows, side="right") - 1
        found = np.empty((len(rows), self.about.width), np.float32)
        for part in np.unique(which):
            own = which == part
            found[own] = self.parts[part][rows[own] - starts[part]]
        return found

    def _check(self, values: np.ndarray, photos: pd.DataFrame) -> None:
        if values.ndim != 2 or values.shape[1] != self.about.width:
            raise GeoclipError(
                f"The gallery {self.folder} holds embeddings of {self.about.width} numbers, "
                f"these are {values.shape[1:]}: use embeddings of the same encoder."
            )
        norms = np.linalg.norm(values.astype(np.float32), axis=1)
        for bad, what in (
            (~(np.abs(norms - 1) < 0.01), "its embedding is not of unit length"),
            (photos[["lat", "lon"]].isna().any(axis=1).to_numpy(), "it has no position"),
        ):
            if bad.any():
                name = photos["photo_id"].iloc[int(bad.argmax())]
                raise GeoclipError(
                    f"The photo {name!r} cannot join the gallery {self.folder}: {what}; leave it "
                    "out."
                )


def gallery_rows(photos: pd.DataFrame) -> pa.Table:
    """Known facts of photos as a table of `SCHEMA`; unknown texts are empty."""
    given = {name: photos.get(name, "") for name in SCHEMA.names}
    return pa.Table.from_pandas(pd.DataFrame(given), SCHEMA, preserve_index=False)


def _values_file(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.npy"


def _table_file(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.parquet"


def _read_about(folder: Path) -> GalleryAbout:
    file = folder / ABOUT_FILE
    if not file.is_file():
        raise GeoclipError(
            f"{folder} is no gallery: make one with geoclip gallery build PHOTOS --out {folder}."
        )
    try:
        return GalleryAbout.parse(file.read_bytes(), folder)
    except OSError as error:
        raise _damaged_about(folder, error) from None


def _damaged_about(folder: Path | str, error: Exception) -> GeoclipError:
    return GeoclipError(
        f"{ABOUT_FILE} of the gallery {folder} is not readable ({error}); build the gallery again."
    )


def _read_part(folder: Path, number: int, about: GalleryAbout) -> tuple[np.ndarray, pa.Table]:
    file = _values_file(folder, number)
    try:
        values = np.load(file, mmap_mode="r", allow_pickle=False)
        with _table_file(folder, number).open("rb") as part:
            table = pq.ParquetFile(part).read().select(SCHEMA.names).cast(SCHEMA)
        if values.shape != (len(table), about.width) or values.dtype != about.dtype:
            raise ValueError(f"it holds {values.shape} of {values.dtype}")
    except (OSError, EOFError, KeyError, ValueError) as error:  # pa.ArrowInvalid is a ValueError
        raise GeoclipError(
            f"{file} or the table beside it is damaged ({str(error).splitlines()[0]}); delete "
            f"{folder} and build the gallery again."
        ) from None
    return values, table


def _unwritable(folder: Path, problem: OSError) -> GeoclipError:
    return GeoclipError(
        f"The gallery {folder} cannot be written ({problem.strerror or problem}); make room and "
        "give the same command again: what is done stays done."
    )
