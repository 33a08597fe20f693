"""The seeded order of training photos, and the batches made of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from geoclip.encoders import Encoder
from geoclip.errors import PhotoError
from geoclip.photos.decoding import read_photo
from geoclip.places.captions import CaptionBook, distinct, truth_matrix
from geoclip.support.paths import decode_path
from geoclip.support.seeds import seeded_generator
from geoclip.training.augment import AUGMENTATION, Augmentation, augment, to_pixels
from geoclip.training.photo_set import PhotoSet
from geoclip.training.settings import TrainingSettings
from geoclip.training.step import Batch
from geoclip.training.workers import Workers


def photo_pixels(
    encoder: Encoder,
    path: str,
    rng: np.random.Generator | None,
    change: Augmentation = AUGMENTATION,
) -> Tensor | None:
    """Pixels (3, S, S) of a photo, augmented by `rng` if there is one; None if it is unreadable."""
    size = encoder.image_size
    try:
        image = read_photo(decode_path(path), short_side=size)
    except PhotoError:
        return None
    if rng is None:
        return encoder.preprocess(image)
    return to_pixels(augment(image, size, rng, change), encoder.normalization)


def epoch_order(
    photos: PhotoSet, ancestors: np.ndarray, settings: TrainingSettings, epoch: int
) -> np.ndarray:
    """Order in which photos are seen in an epoch: indices (N,), alike on all workers.

    A permutation. With `settings.balance`, which favours countries with few photos, or with
    weights of the photos it is a draw with replacement. A photo that is drawn again has another
    caption and another crop.
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
        workers: Workers | None = None,
    ) -> None:
        self.encoder = encoder
        self.book = book
        self.photos = photos
        self.settings = settings
        self.workers = workers or Workers.current()
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
        stacked, readable = self._stack(pixels)
        device = self.encoder.device
        return Batch(
            stacked.to(device),
            tokens.to(device),
            truth.to(device),
            readable.to(device),
            rows,
            extra=len(captions) - own_captions,
        )

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
        settings, rng = self.settings, None
        if settings.augment:
            showing = self._showing(i, earlier)
            rng = seeded_generator("augment", settings.seed, epoch, showing)
        change = Augmentation(settings.crop_area, settings.colour, settings.mirror)
        return photo_pixels(self.encoder, self.photos.paths[i], rng, change)

    def blank(self, rows: int) -> Tensor:
        """Pixels (rows, 3, S, S) of as many photos that could not be read."""
        return torch.stack([self._blank()] * rows)

    def _blank(self) -> Tensor:
        """What stands in for a photo that could not be read."""
        size = self.encoder.image_size
        return torch.zeros(3, size, size)

    def _stack(self, pixels: list[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Pixels (n, 3, S, S), blank where a photo is unreadable, and what is readable (n,)."""
        blank = self._blank()
        filled = [blank if p is None else p for p in pixels]
        readable = torch.tensor([p is not None for p in pixels], dtype=torch.bool)
        return torch.stack(filled) if filled else blank[None][:0], readable
