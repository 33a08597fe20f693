"""The neighbours of photos in a gallery, by their embeddings alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from geoclip.ranking.gallery.approximate import ApproximateIndex
from geoclip.ranking.gallery.likeness import Likeness
from geoclip.ranking.gallery.neighbours import Neighbours, exact_neighbours, joined
from geoclip.ranking.gallery.photo_gallery import Gallery

COPY_SIMILARITY = 0.9995
"""From this cosine on two embeddings are of copies of one picture, nearly or exactly.

Embeddings of one picture in float16 and float32, or in two batches, are far nearer.
"""
SPARE = 8
"""This many extra neighbours are sought, as some are left out."""


class GalleryLookup:
    """Finds gallery photos that resemble given ones.

    A photo never finds itself or an exact copy: a gallery photo of its id, or with a cosine of
    `COPY_SIMILARITY` or more. Small galleries, and those without an index, are compared photo by
    photo; so are photos added after the index was made.
    """

    def __init__(self, gallery: Gallery, index: ApproximateIndex | None = None) -> None:
        self.gallery = gallery
        self.index = index

    @classmethod
    def open(cls, folder: Path, encoder: str | None = None) -> GalleryLookup:
        """Open a gallery with its index; raises GeoclipError as `Gallery.open` does."""
        return cls(Gallery.open(folder, encoder), ApproximateIndex.open(folder))

    @cached_property
    def likeness(self) -> Likeness:
        """The likeness of photos and gallery photos."""
        return Likeness.of(self.gallery)

    def neighbours(
        self,
        photos: np.ndarray,
        k: int,
        photo_ids: Sequence[str] | np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> Neighbours:
        """The k gallery photos most like each embedding (N, d) of unit length.

        `photo_ids` (N,) are the photos' own, "" for none, or (N, V) those of their views. `allowed`
        (M,) excludes whole blocks, countries or sources of the gallery; then every photo is
        compared.
        """
        own = np.array([""] * len(photos) if photo_ids is None else photo_ids, dtype=object)
        own = own.reshape(len(photos), -1)
        return self._not_own(photos, k, own, allowed, k + SPARE)

    def _not_own(
        self, photos: np.ndarray, k: int, own: np.ndarray, allowed: np.ndarray | None, wanted: int
    ) -> Neighbours:
        """Neighbours among the `wanted` nearest, and among more where too few remain."""
        some = self._nearest(photos, min(wanted, len(self.gallery)), allowed)
        leak = self._are_of(own, some.rows) | (some.similarity >= COPY_SIMILARITY)
        if not leak.any() and some.rows.shape[1] >= k:
            return Neighbours(some.rows[:, :k], some.similarity[:, :k])
        found = Neighbours.none(len(photos), k)
        found.put(np.arange(len(photos)), some.without(leak, k))
        kept = (np.isfinite(some.similarity) & ~leak).sum(axis=1)
        short = np.flatnonzero(leak.any(axis=1) & (kept < k))
        if len(short) and wanted < len(self.gallery):
            more = self._not_own(photos[short], k, own[short], allowed, 4 * wanted)
            found.put(short, more)
        return found

    def _are_of(self, photo_ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Mask of gallery photos (N, k) with one of their photo's own ids (N, V)."""
        same = np.zeros(rows.shape, dtype=bool)
        named = (photo_ids != "").any(axis=1)
        if named.any():
            ids = self.gallery.photo_ids(np.maximum(rows[named], 0))
            same[named] = (ids[:, :, None] == photo_ids[named][:, None]).any(axis=2)
        return same & (rows >= 0)

    def _nearest(self, photos: np.ndarray, k: int, allowed: np.ndarray | None) -> Neighbours:
        index = self.index if allowed is None else None
        if index is None:
            return exact_neighbours(self.gallery, photos, k, allowed)
        indexed = index.neighbours(photos, k)
        if index.tuning.rows == len(self.gallery):
            return indexed
        others = exact_neighbours(self.gallery, photos, k, start=index.tuning.rows)
        return joined(indexed, others).best(k)
