"""A gallery of many shards on Ray: each actor keeps some of them open and searches them.

A shard is a gallery of `geoclip gallery build`. The nearest photos of all shards, merged, are those
of a search in one gallery. A photo finds no copy of itself.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from geoclip.errors import GeoclipError
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.neighbours import Neighbours
from geoclip.ranking.gallery.photo_gallery import ABOUT_FILE, GalleryAbout
from pipelines.storage import absolute, attempted, exists, filesystem, join, local_copy, read_bytes
from pipelines.stored_folders import FILES_AT_ONCE, list_names

FOUND = pa.schema(
    {
        "neighbour_id": pa.string(),
        "neighbour_path": pa.string(),
        "lat": pa.float64(),
        "lon": pa.float64(),
        "similarity": pa.float32(),
    }
)


def shards_in(galleries: Sequence[str]) -> list[str]:
    """The named galleries, and those in named folders; GeoclipError if there is none."""
    found: list[str] = []
    for name in map(absolute, galleries):
        if exists(join(name, ABOUT_FILE)):
            found.append(name)
            continue
        files = [file.split("/") for file in list_names(name)]
        inner = sorted({folder for folder, *rest in files if rest == [ABOUT_FILE]})
        if not inner:
            raise GeoclipError(
                f"{name} is no gallery and contains none: make galleries with geoclip gallery "
                f"build."
            )
        found += [join(name, folder) for folder in inner]
    return list(dict.fromkeys(found))


def shard_sizes(shards: Sequence[str], encoder: str) -> dict[str, int]:
    """The number of photos in each shard.

    Raises GeoclipError for a damaged shard, or one of another encoder than this key's.
    """
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        return dict(zip(shards, pool.map(partial(_size, encoder), shards), strict=True))


@dataclass(frozen=True)
class GalleryShards:
    """Shards of one encoder: their numbers of photos, in order, and how they were made."""

    sizes: Mapping[str, int]
    about: GalleryAbout

    @classmethod
    def of(cls, galleries: Sequence[str]) -> "GalleryShards":
        """Those of `shards_in`; raises GeoclipError as `shard_sizes` does, and if all are empty."""
        names = shards_in(galleries)
        about = read_about(names[0])
        sizes = shard_sizes(names, about.encoder)
        if not sum(sizes.values()):
            raise GeoclipError(f"{', '.join(galleries)} holds no photo yet: add some.")
        return cls(sizes, about)

    def check_encoder(self, encoder: str) -> None:
        """Raise GeoclipError unless the shards have the encoder of this key."""
        self.about.check_encoder(encoder, next(iter(self.sizes)))


def _size(encoder: str, shard: str) -> int:
    read_about(shard).check_encoder(encoder, shard)
    tables = [join(shard, name) for name in list_names(shard) if name.endswith(".parquet")]
    try:
        return sum(footer(table).num_rows for table in tables)
    except pa.ArrowInvalid as problem:
        reason = " ".join(str(problem).split())
        raise GeoclipError(
            f"The gallery {shard} is damaged ({reason}): delete it and build it again."
        ) from None


def read_about(shard: str) -> GalleryAbout:
    """How a shard was made; raises GeoclipError if it does not say."""
    return GalleryAbout.parse(read_bytes(join(shard, ABOUT_FILE)), shard)


def footer(file: str) -> pq.FileMetaData:
    """The end of a Parquet file."""
    system, path = filesystem(file)
    return attempted(lambda: pq.read_metadata(path, filesystem=system))


def merged(found: Sequence[pa.Table], k: int) -> pa.Table:
    """The k nearest among the results of several parts of a gallery for the same N photos, in
    order.

    Each table has, with `FOUND`, N·k rows: a photo's rows stand together, nearest first, with a
    similarity of -inf for missing ones. So does the result.
    """
    cosines = np.stack([table["similarity"].to_numpy().reshape(-1, k) for table in found], axis=1)
    parts, photos = len(found), len(cosines)
    order = np.argsort(-cosines.reshape(photos, parts * k), axis=1, kind="stable")[:, :k]
    part, place = np.divmod(order, k)
    rows = (part * photos + np.arange(photos)[:, None]) * k + place
    together = pa.concat_tables(found) if parts > 1 else found[0]
    return together.combine_chunks().take(pa.array(rows.ravel()))


def search_shard(lookup: GalleryLookup, values: np.ndarray, k: int) -> pa.Table:
    """The neighbours of embeddings (N, d) in one gallery, in the form of `merged`."""
    neighbours = lookup.neighbours(values, k)
    rows = neighbours.rows.ravel()
    wanted = pa.array(rows, mask=rows < 0)
    photos = lookup.gallery.photos.select(["photo_id", "path", "lat", "lon"]).take(wanted)
    columns = [*photos.columns, pa.array(neighbours.similarity.ravel(), pa.float32())]
    return pa.table(columns, schema=FOUND)


def nearest_of(parts: Sequence[Neighbours], k: int) -> Neighbours:
    """The k nearest among the results of several parts of a gallery, by rows of the whole."""
    rows, similarity = ([getattr(part, name) for part in parts] for name in ("rows", "similarity"))
    return Neighbours(np.hstack(rows), np.hstack(similarity)).best(k)


class ShardSearcher:
    """Searches some shards of a gallery, the first of which begins at its row `start`; an actor."""

    def __init__(self, shards: Sequence[str], threads: int, start: int = 0) -> None:
        torch.set_num_threads(threads)
        self.shards = shards
        self.start = start

    @cached_property
    def lookups(self) -> list[GalleryLookup]:
        """The shards, opened at first use: an error here is reported, one in `__init__` is not."""
        return [GalleryLookup.open(local_copy(shard)) for shard in self.shards]

    @cached_property
    def _starts(self) -> np.ndarray:
        """The rows of the whole gallery where the shards begin, and where the last one ends."""
        return np.cumsum([self.start, *(len(lookup.gallery) for lookup in self.lookups)])

    def nearest(self, block: pa.Table, k: int) -> pa.Table:
        """The neighbours in its shards for photos with an `embedding`, in the form of `merged`."""
        if not len(block):
            return FOUND.empty_table()
        flat = block["embedding"].combine_chunks().flatten().to_numpy()
        values = np.asarray(flat.reshape(len(block), -1))
        return merged([search_shard(lookup, values, k) for lookup in self.lookups], k)

    def neighbours(self, values: np.ndarray, k: int, photo_ids: np.ndarray) -> Neighbours:
        """The same for embeddings (N, d), by rows of the whole gallery.

        `photo_ids` (N, V) are those of `GalleryLookup.neighbours`.
        """
        parts = []
        for start, lookup in zip(self._starts, self.lookups, strict=False):
            found = lookup.neighbours(values, k, photo_ids)
            rows = np.where(found.rows < 0, -1, found.rows + start)
            parts.append(Neighbours(rows, found.similarity))
        return nearest_of(parts, k)

    def photos(self, rows: np.ndarray) -> tuple[np.ndarray, pa.Table]:
        """The embeddings (n, d), as stored, and the known facts of photos.

        The rows (n,) are those of the whole gallery, in order; all belong to this actor.
        """
        values, tables = [], []
        for i, lookup in enumerate(self.lookups):
            low, high = np.searchsorted(rows, self._starts[i : i + 2])
            own = rows[low:high] - self._starts[i]
            values.append(lookup.gallery.take(own).astype(lookup.gallery.about.dtype))
            tables.append(lookup.gallery.photos.take(pa.array(own)))
        return np.concatenate(values), pa.concat_tables(tables)
