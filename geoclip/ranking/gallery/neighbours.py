"""The gallery photos most like given ones, by comparing all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from geoclip.ranking.gallery.photo_gallery import Gallery

QUERY_ROWS = 1024


@dataclass(frozen=True)
class Neighbours:
    """The k gallery photos most like each of N photos, best first.

    `rows` (N, k) of the gallery, -1 for absent ones; `similarity` (N, k) cosines in float32, -inf
    there.
    """

    rows: np.ndarray
    similarity: np.ndarray

    @classmethod
    def none(cls, photos: int, k: int) -> Neighbours:
        """Empty neighbours of N photos."""
        return cls(np.full((photos, k), -1), np.full((photos, k), -np.inf, np.float32))

    def best(self, k: int) -> Neighbours:
        """The best k, in order."""
        order = np.argsort(-self.similarity, axis=1, kind="stable")[:, :k]
        return Neighbours(
            np.take_along_axis(self.rows, order, axis=1),
            np.take_along_axis(self.similarity, order, axis=1),
        )

    def take(self, photos: slice) -> Neighbours:
        """The neighbours of some photos."""
        return Neighbours(self.rows[photos], self.similarity[photos])

    def without(self, left_out: np.ndarray, k: int) -> Neighbours:
        """The best k of the rows outside `left_out` (N, m)."""
        rows = np.where(left_out, -1, self.rows)
        return Neighbours(rows, np.where(left_out, -np.inf, self.similarity)).best(k)

    def put(self, photos: np.ndarray, found: Neighbours) -> None:
        """Set the neighbours of some photos (n,), by position; missing columns become empty."""
        width = found.rows.shape[1]
        self.rows[photos, :width], self.similarity[photos, :width] = found.rows, found.similarity


def joined(some: Neighbours, others: Neighbours) -> Neighbours:
    """Neighbours from two parts of a gallery, not in order."""
    return Neighbours(
        np.hstack([some.rows, others.rows]), np.hstack([some.similarity, others.similarity])
    )


def exact_neighbours(
    gallery: Gallery,
    photos: np.ndarray,
    k: int,
    allowed: np.ndarray | None = None,
    start: int = 0,
) -> Neighbours:
    """The k gallery photos of largest cosine to each embedding (N, d) of unit length.

    It compares every gallery photo from row `start` on, except those not `allowed` (M,). Only a
    block of the gallery is in memory at a time.
    """
    queries = torch.from_numpy(np.array(photos, np.float32))
    best = Neighbours.none(len(photos), k)
    for first, block in gallery.blocks(start):
        which = np.arange(first, first + len(block))
        if allowed is not None:
            which = which[allowed[which]]
        values = torch.from_numpy(block[which - first]).float().T  # copied from the file
        for i in range(0, len(photos) if len(which) else 0, QUERY_ROWS):
            part = np.arange(i, min(i + QUERY_ROWS, len(photos)))
            found, at = (queries[part] @ values).topk(min(k, len(which)), dim=1)
            before = Neighbours(best.rows[part], best.similarity[part])
            best.put(part, joined(before, Neighbours(which[at.numpy()], found.numpy())).best(k))
    return best
