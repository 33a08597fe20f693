"""Photos → rows of guesses that use a gallery of many shards, like a folder's gallery.

An actor asks all searchers for the nearest gallery photos of some photos, takes the nearest of all,
fetches only these, and ranks with them as with its own gallery.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import ray

from geoclip.guesses.assembly import Assembler
from geoclip.guesses.schema import GALLERY_COLUMNS
from geoclip.guesses.settings import LocateSettings
from geoclip.photos.abstention import AbstentionCheck, AbstentionSettings
from geoclip.photos.embedding import Embeddings
from geoclip.photos.keys import photo_key
from geoclip.photos.records import records_of
from geoclip.photos.views import location_keys
from geoclip.ranking.gallery.likeness import Likeness, reference_rows
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.neighbours import Neighbours
from geoclip.ranking.gallery.photo_gallery import SCHEMA, Gallery, GalleryAbout
from geoclip.support.paths import decode_path
from pipelines.actor_arguments import kept_actor
from pipelines.cluster import room_for_actors
from pipelines.gallery_shards import GalleryShards, ShardSearcher, nearest_of
from pipelines.photo_actors import Pool
from pipelines.photo_locator import OF_PHOTOS, LocatorSpec, PhotoLocator
from pipelines.storage import is_uri

SEARCHING = 0.25
"""The searchers' share of all CPUs."""


@dataclass(frozen=True)
class SharedGallery:
    """A gallery held by `searchers`: their rows, and the reference photos.

    Searcher i has the rows from `starts[i]` to `starts[i + 1]`; `reference` are those of
    `likeness.reference_rows`.
    """

    searchers: tuple[Any, ...]
    starts: np.ndarray
    reference: np.ndarray
    about: GalleryAbout

    def neighbours(self, photos: np.ndarray, k: int, photo_ids: np.ndarray) -> Neighbours:
        """The k nearest photos of embeddings (N, d); `photo_ids` as in `GalleryLookup`."""
        given = ray.put(photos)
        asked = [own.neighbours.remote(given, k, photo_ids) for own in self.searchers]
        return nearest_of(ray.get(asked), k)

    def photos(self, rows: np.ndarray) -> tuple[np.ndarray, pa.Table]:
        """The embeddings (n, d) and known facts of the photos in rows (n,), in order."""
        cuts = np.searchsorted(rows, self.starts)
        owners = zip(self.searchers, cuts[:-1], cuts[1:], strict=True)
        asked = [own.photos.remote(rows[a:b]) for own, a, b in owners if b > a]
        values, tables = zip(*ray.get(asked), strict=True)
        return np.concatenate(values), pa.concat_tables(tables).combine_chunks()


class FoundGallery(Gallery):
    """The photos of a shared gallery from the last search."""

    def __init__(self, about: GalleryAbout) -> None:
        super().__init__(Path(), about, [], SCHEMA.empty_table())

    def hold(self, values: np.ndarray, photos: pa.Table) -> None:
        """Hold photos with embeddings (n, d) instead of the former ones."""
        self.parts, self.photos = [values], photos
        for name in ("lat", "lon"):
            self.__dict__.pop(name, None)


class SharedLookup(GalleryLookup):
    """Finds photos of a shared gallery; rows are those of the last search."""

    def __init__(self, shared: SharedGallery) -> None:
        self.found = FoundGallery(shared.about)
        super().__init__(self.found)
        self.shared = shared
        self._hold(shared.reference)

    @cached_property
    def likeness(self) -> Likeness:
        """The likeness of photos and gallery photos; read it before any search."""
        values = self.found.take(np.arange(len(self.found)))
        return Likeness.learned(self.found, values, self.found.lat, self.found.lon)

    def neighbours(
        self,
        photos: np.ndarray,
        k: int,
        photo_ids: Sequence[str] | np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> Neighbours:
        """As in `GalleryLookup`, but without exclusions."""
        if allowed is not None:
            raise ValueError("a shared gallery allows no exclusions")
        own = np.array([""] * len(photos) if photo_ids is None else photo_ids, dtype=object)
        _ = self.likeness
        found = self.shared.neighbours(photos, k, own.reshape(len(photos), -1))
        # The first row always exists: photos without a neighbour point to row 0.
        rows = np.unique(np.append(found.rows[found.rows >= 0], self.shared.starts[0]))
        self._hold(rows)
        at = np.where(found.rows < 0, -1, np.searchsorted(rows, found.rows))
        return Neighbours(at, found.similarity)

    def _hold(self, rows: np.ndarray) -> None:
        self.found.hold(*self.shared.photos(rows))


class GalleryLocator(PhotoLocator):
    """Locates by model and gallery, as `geoclip locate --gallery`, without photos' metadata or
    abstention.

    Raises GeoclipError as `PhotoLocator` does.
    """

    at_once = 256  # without an index, each search reads all of a searcher's embeddings
    extra: ClassVar = {**GALLERY_COLUMNS, **dict.fromkeys(OF_PHOTOS, "str")}

    def __init__(self, spec: LocatorSpec, shared: SharedGallery, pool: Pool) -> None:
        super().__init__(spec, pool)
        off = AbstentionSettings("off")
        settings = LocateSettings(spec.top_k, "ignore", off, gallery="shared")
        self.assembler = Assembler(
            self.locator.ranker, AbstentionCheck(off), settings, gallery=SharedLookup(shared)
        )

    def guesses(
        self, found: Embeddings, paths: Sequence[str], locations: Sequence[Any]
    ) -> pd.DataFrame:
        """The table of guesses for photos; photos of one location get the same guess."""
        keys = [b"" if is_uri(path) else photo_key(decode_path(path)) for path in paths]
        half = replace(found, values=found.values.astype(np.float16))  # as in journals
        records = records_of(half, keys)
        return self.assembler.block(found.paths, records, location_keys(locations)).table


@contextmanager
def answering(
    spec: LocatorSpec, pool: Pool
) -> Iterator[tuple[type[PhotoLocator], tuple[Any, ...], Pool]]:
    """The kind of actor that makes guesses, its arguments, and the remaining pool."""
    if spec.gallery is None:
        yield PhotoLocator, (spec,), pool
        return
    alone = replace(spec, gallery=None)  # the shards may be too many to send to each actor
    with _searchers(spec.gallery, pool.actors) as (shared, cpus):
        yield GalleryLocator, (alone, shared), replace(pool, held=cpus)


@contextmanager
def _searchers(gallery: GalleryShards, actors: int) -> Iterator[tuple[SharedGallery, float]]:
    """Actors that hold a gallery, and their CPUs."""
    names, sizes = list(gallery.sizes), list(gallery.sizes.values())
    count = min(actors, len(names), room_for_actors(0))
    cpus = SEARCHING * ray.cluster_resources().get("CPU", 1.0)  # type: ignore[no-untyped-call]
    cuts = np.linspace(0, len(names), count + 1).astype(int)
    starts = np.append(0, np.cumsum(sizes))[cuts]
    options = {"num_cpus": cpus / count, "max_restarts": -1, "max_task_retries": -1}
    made = [
        kept_actor(
            ray.remote(ShardSearcher), names[a:b], max(1, int(cpus / count)), int(start), **options
        )
        for a, b, start in zip(cuts[:-1], cuts[1:], starts[:-1], strict=True)
    ]
    try:
        given = tuple(given for _, given in made)
        yield SharedGallery(given, starts, reference_rows(sum(sizes)), gallery.about), cpus
    finally:
        for kept, _ in made:
            ray.kill(kept)
