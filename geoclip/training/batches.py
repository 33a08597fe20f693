"""Training photos, their seeded order, and the batches made of them."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError, PhotoError
from geoclip.photos.decoding import read_photo
from geoclip.places.captions import CaptionBook, distinct, truth_matrix
from geoclip.places.place import COUNTRY
from geoclip.support.paths import decode_path
from geoclip.support.seeds import seeded_generator
from geoclip.training.augment import augment, to_pixels
from geoclip.training.distance_smoothing import DistanceSmoothing
from geoclip.training.settings import TrainingSettings
from geoclip.training.step import Batch
from geoclip.training.workers import Workers


@dataclass(frozen=True)
class PhotoSet:
    """Labelled training photos: ids (N,), paths (N,) and the gazetteer rows (N,) of their places.

    A photo of which no more than the country is known has the country's row. `weights` (N,), if
    given, are relative chances of being drawn, above 0: photos unlike those to be located can
    weigh less. Photos of one of the `locations` (N,), if given, are views of one place.
    """

    ids: Sequence[str]
    paths: Sequence[str]
    rows: np.ndarray
    weights: np.ndarray | None = None
    locations: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not len(self.ids):
            raise GeoclipError("There is no photo to train on; check the split column.")
        if self.weights is not None and not (
            self.weights.shape == (len(self.ids),)
            and np.isfinite(self.weights).all()
            and self.weights.min() > 0
        ):
            raise GeoclipError("Weights of photos must be finite numbers above 0, one each.")
        if self.locations is not None and len(self.locations) != len(self.ids):
            number = len(self.locations)
            raise GeoclipError(f"{len(self.ids)} photos need one location each, not {number}.")

    def __len__(self) -> int:
        return len(self.ids)

    def digest(self) -> str:
        """SHA-256 of ids, places and weights; it does not matter where the files lie."""
        found = hashlib.sha256("\n".join(self.ids).encode(errors="surrogateescape"))
        found.update(self.rows.astype("<i8").tobytes())
        if self.weights is not None:
            found.update(self.weights.astype("<f8").tobytes())
        return found.hexdigest()

    def countries(self, ancestors: np.ndarray) -> np.ndarray:
        """Gazetteer rows (N,) of the photos' countries."""
        return ancestors[self.rows, COUNTRY]


def photo_pixels(encoder: Encoder, path: str, rng: np.random.Generator | None) -> Tensor | None:
    """Pixels (3, S, S) of a photo, augmented by `rng` if there is one; None if it is unreadable."""
    size = encoder.image_size
    try:
        image = read_photo(decode_path(path), short_side=size)
    except PhotoError:
        return None
    if rng is None:
        return encoder.preprocess(image)
    return to_pixels(augment(image, size, rng), encoder.normalization)


def epoch_order(
    photos: PhotoSet, ancestors: np.ndarray, settings: TrainingSettings, epoch: int
) -> np.ndarray:
    """Order in which photos are seen in an epoch: indices (N,), alike on all workers.

    A permutation, or with `settings.balance` or weights of the photos a draw with replacement:
    the first favours photos of countries with few of them. A photo that is drawn again carries
    another caption and another crop.
    """
    rng = seeded_generator("order", settings.seed, epoch)
    if not settings.balance and photos.weights is None:
        return rng.permutation(len(photos))
    _, codes, counts = np.unique(
        photos.countries(ancestors), return_inverse=True, return_counts=True
    )
    weights = counts[codes] ** -float(settings.balance)
    if photos.weights is not None:
        weights = weights * photos.weights
    return rng.choice(len(photos), size=len(photos), p=weights / weights.sum())


class Batches:
    """The batches of a training run, by step number, for one worker."""

    def __init__(
        self,
        encoder: Encoder,
        book: CaptionBook,
        photos: PhotoSet,
        settings: TrainingSettings,
        workers: Workers,
        neighbourhoods: DistanceSmoothing | None = None,
    ) -> None:
        self.encoder = encoder
        self.book = book
        self.photos = photos
        self.settings = settings
        self.workers = workers
        self.neighbourhoods = neighbourhoods
        self.seen_rows = np.unique(photos.rows)
        self.unreadable: set[str] = set()
        """Ids of the photos that this worker could not read so far."""
        nothing = np.empty(0, dtype=np.int64)
        self._order: tuple[int, np.ndarray, np.ndarray] = (-1, nothing, nothing)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; a set smaller than a batch makes one."""
        return max(1, len(self.photos) // self.settings.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.settings.epochs

    def iterate(self, start: int = 0, threads: int = 2) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) from step `start` on, reading photos one batch ahead."""
        with ThreadPoolExecutor(threads) as readers, ThreadPoolExecutor(1) as maker:
            ahead = maker.submit(self.batch, start, readers) if start < self.steps else None
            for step in range(start, self.steps):
                assert ahead is not None
                batch = ahead.result()
                ahead = (
                    maker.submit(self.batch, step + 1, readers) if step + 1 < self.steps else None
                )
                yield step, batch

    def batch(self, step: int, readers: ThreadPoolExecutor | None = None) -> Batch:
        """Make this worker's share of a step's global batch."""
        epoch = step // self.steps_per_epoch
        chosen, earlier = self._chosen(step)
        rows = self.photos.rows[chosen]
        seed = self.settings.seed
        drawn = [
            self.book.draw(row, seed, epoch, self._showing(i, times))
            for row, i, times in zip(rows, chosen, earlier, strict=True)
        ]
        captions = distinct(drawn)
        own_captions = len(captions)
        if self.settings.extra_captions:
            extra = self.book.draw_extra(self.seen_rows, self.settings.extra_captions, seed, step)
            captions = distinct([*captions, *extra])
        truth = torch.from_numpy(truth_matrix(rows, captions, self.book.gazetteer.ancestors))
        texts = [c.text for c in captions[self.workers.share(len(captions))]]
        tokens = self.encoder.tokenize(texts or [""])[: len(texts)]
        own = self.workers.share(len(chosen))
        load = map if readers is None else readers.map
        pixels = list(load(partial(self._pixels, epoch), chosen[own].tolist(), earlier[own]))
        unread = (i for i, p in zip(chosen[own], pixels, strict=True) if p is None)
        self.unreadable.update(self.photos.ids[i] for i in unread)
        made = self._stack(pixels, tokens, truth, len(captions) - own_captions)
        if self.neighbourhoods is None:
            return made
        return replace(made, near=self.neighbourhoods.classes(rows))

    def _chosen(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """A step's photos (n,), and how often each was shown before in its epoch (n,)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            ancestors = self.book.gazetteer.ancestors
            order = epoch_order(self.photos, ancestors, self.settings, epoch)
            earlier = pd.Series(order).groupby(order).cumcount().to_numpy()
            self._order = epoch, order, earlier
        part = slice(position * (size := self.settings.batch_size), (position + 1) * size)
        return self._order[1][part], self._order[2][part]

    def _showing(self, i: int, earlier: int) -> str:
        """What is drawn for a photo depends on: its id, and its repeats look different."""
        return f"{self.photos.ids[i]} again {earlier}" if earlier else self.photos.ids[i]

    def _pixels(self, epoch: int, i: int, earlier: int = 0) -> Tensor | None:
        rng = None
        if self.settings.augment:
            showing = self._showing(i, earlier)
            rng = seeded_generator("augment", self.settings.seed, epoch, showing)
        return photo_pixels(self.encoder, self.photos.paths[i], rng)

    def _blank(self) -> Tensor:
        """What stands in for a photo that could not be read."""
        size = self.encoder.image_size
        return torch.zeros(3, size, size)

    def _stack(
        self, pixels: list[Tensor | None], tokens: Tensor, truth: Tensor, extra: int
    ) -> Batch:
        device = self.encoder.device
        blank = self._blank()
        filled = [blank if p is None else p for p in pixels]
        stacked = torch.stack(filled) if filled else blank[None][:0]
        readable = torch.tensor([p is not None for p in pixels], dtype=torch.bool)
        parts = [part.to(device) for part in (stacked, tokens, truth, readable)]
        return Batch(parts[0], parts[1], parts[2], parts[3], extra)
