"""Photos → rows of guesses that a gallery of many shards has a part in, as with a folder's gallery.

An actor asks all searchers for the nearest gallery photos of some photos, takes the nearest of all,
fetches these alone, and ranks with them as with a gallery of its own.
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
"""Of all CPUs, what searchers have together."""


@dataclass(frozen=True)
class SharedGallery:
    """A gallery that `searchers` hold: what their rows are, and which are the reference photos.

    Searcher i has the rows from `starts[i]` to `starts[i + 1]`; `reference` are those of
    `likeness.reference_rows`.
    """

    searchers: tuple[Any, ...]
    starts: np.ndarray
    reference: np.ndarray
    about: GalleryAbout

    def neighbours(self, photos: np.ndarray, k: int, photo_ids: np.ndarray) -> Neighbours:
        """The k nearest photos of embeddings (N, d); `photo_ids` as of `GalleryLookup`."""
        given = ray.put(photos)
        asked = [own.neighbours.remote(given, k, photo_ids) for own in self.searchers]
        return nearest_of(ray.get(asked), k)

    def photos(self, rows: np.ndarray) -> tuple[np.ndarray, pa.Table]:
        """The embeddings (n, d) and what is known of the photos of rows (n,), in order."""
        cuts = np.searchsorted(rows, self.starts)
        owners = zip(self.searchers, cuts[:-1], cuts[1:], strict=True)
        asked = [own.photos.remote(rows[a:b]) for own, a, b in owners if b > a]
        values, tables = zip(*ray.get(asked), strict=True)
        return np.concatenate(values), pa.concat_tables(tables).combine_chunks()


class FoundGallery(Gallery):
    """The photos of a shared gallery that were found last."""

    def __init__(self, about: GalleryAbout) -> None:
        super().__init__(Path(), about, [], SCHEMA.empty_table())

    def hold(self, values: np.ndarray, photos: pa.Table) -> None:
        """Hold photos with embeddings (n, d) instead of those before."""
        self.parts, self.photos = [values], photos
        for name in ("lat", "lon"):
            self.__dict__.pop(name, None)


class SharedLookup(GalleryLookup):
    """Finds photos of a shared gallery; rows are those of what was found last."""

    def __init__(self, shared: SharedGallery) -> None:
        self.found = FoundGallery(shared.about)
        super().__init__(self.found)
        self.shared = shared
        self._hold(shared.reference)

    @cached_property
    def likeness(self) -> Likeness:
        """How alike photos and those of the gallery are; looked at first before any search."""
        values = self.found.take(np.arange(len(self.found)))
        return Likeness.learned(self.found, values, self.found.lat, self.found.lon)

    def neighbours(
        self,
        photos: np.ndarray,
        k: int,
        photo_ids: Sequence[str] | np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> Neighbours:
        """As of `GalleryLookup`, but that nothing is left out."""
        if allowed is not None:
            raise ValueError("of a shared gallery no part is left out")
        own = np.array([""] * len(photos) if photo_ids is None else photo_ids, dtype=object)
        _ = self.likeness
        found = self.shared.neighbours(photos, k, own.reshape(len(photos), -1))
        # The first one is always there: who has no neighbour points to row 0 of what is held.
        rows = np.unique(np.append(found.rows[found.rows >= 0], self.shared.starts[0]))
        self._hold(rows)
        at = np.where(found.rows < 0, -1, np.searchsorted(rows, found.rows))
        return Neighbours(at, found.similarity)

    def _hold(self, rows: np.ndarray) -> None:
        self.found.hold(*self.shared.photos(rows))


class GalleryLocator(PhotoLocator):
    """Locates by model and gallery: as `geoclip locate --gallery`, whatever photos state or show.

    Raises GeoclipError as `PhotoLocator`.
    """

    at_once = 256  # a search reads all that a searcher holds, where shards have no index
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
        """The table of guesses for photos; those of one location get the same."""
        keys = [b"" if is_uri(path) else photo_key(decode_path(path)) for path in paths]
        half = replace(found, values=found.values.astype(np.float16))  # as journals keep them
        records = records_of(half, keys)
        return self.assembler.block(found.paths, records, location_keys(locations)).table


@contextmanager
def answering(
    spec: LocatorSpec, pool: Pool
) -> Iterator[tuple[type[PhotoLocator], tuple[Any, ...], Pool]]:
    """The kind of actor that answers, what it is made of, and the pool that is left to it."""
    if spec.gallery is None:
        yield PhotoLocator, (spec,), pool
        return
    alone = replace(spec, gallery=None)  # shards may be too many to travel with each actor
    with _searchers(spec.gallery, pool.actors) as (shared, cpus):
        yield GalleryLocator, (alone, shared), replace(pool, held=cpus)


@contextmanager
def _searchers(gallery: GalleryShards, actors: int) -> Iterator[tuple[SharedGallery, float]]:
    """Actors that hold a gallery, and the CPUs that they have."""
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
