"""The seeded order of training photos, and their batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from geoclip.encoders import Encoder
from geoclip.photos.opening import Fetch
from geoclip.places.captions import CaptionBook, distinct, truth_matrix
from geoclip.support.seeds import seeded_generator
from geoclip.training.augment import Augmentation
from geoclip.training.photo_set import PhotoSet
from geoclip.training.pictures import PictureReader, Showing, picture_pixels
from geoclip.training.settings import WINDOW, TrainingSettings
from geoclip.training.step import Batch
from geoclip.training.workers import Workers

Decode = Callable[[PictureReader, Sequence[Showing]], Iterable[Image.Image | None]]
"""Starts reading photos elsewhere and returns the reader's results, in order."""
KEPT_BYTES = 2**29
"""Most memory for the pixels of photos that are the same in every epoch."""
ASKED_AHEAD = 2
"""Batches read elsewhere while one is made from finished pictures."""


def epoch_order(
    photos: PhotoSet, ancestors: np.ndarray, settings: TrainingSettings, epoch: int
) -> np.ndarray:
    """Order of the photos in an epoch: indices (N,), the same on all workers.

    A permutation. With `settings.balance`, which favours countries with few photos, or with weights
    of the photos, it is a draw with replacement. A photo drawn again has another caption and
    another crop. Photos in shards are shuffled within windows of shards.
    """
    rng = seeded_generator("order", settings.seed, epoch)
    drawn = _drawn(photos, ancestors, settings, rng)
    return drawn if photos.shards is None else in_windows(drawn, photos.shards, rng)


def _drawn(
    photos: PhotoSet, ancestors: np.ndarray, settings: TrainingSettings, rng: np.random.Generator
) -> np.ndarray:
    if not settings.balance and photos.weights is None:
        return rng.permutation(len(photos))
    _, codes, counts = np.unique(
        photos.countries(ancestors), return_inverse=True, return_counts=True
    )
    weights = counts[codes] ** -float(settings.balance)
    if photos.weights is not None:
        weights = weights * photos.weights
    return rng.choice(len(photos), size=len(photos), p=weights / weights.sum())


def in_windows(
    drawn: np.ndarray, shards: np.ndarray, rng: np.random.Generator, window: int = WINDOW
) -> np.ndarray:
    """Sort photos (n,) so that each window of `window` shards, drawn by `rng`, is read at a time.

    `shards` (N,) are numbers from 0, or -1 for photos outside shards, which join any window. The
    order within a window stays that of `drawn`.
    """
    count = shards.max() + 1
    place = np.append(rng.permutation(count), 0)[shards]
    place[shards < 0] = rng.integers(max(count, 1), size=(shards < 0).sum())
    return drawn[np.argsort(place[drawn] // window, kind="stable")]


class Batches:
    """The batches of a training run, by step number, for one worker.

    `fetch` gives the bytes of photos outside this machine; `threads` threads wait for and decode
    them. With `decode` the photos are read elsewhere instead.
    """

    def __init__(
        self,
        encoder: Encoder,
        book: CaptionBook,
        photos: PhotoSet,
        settings: TrainingSettings,
        workers: Workers | None = None,
        *,
        fetch: Fetch | None = None,
        threads: int = 2,
        decode: Decode | None = None,
    ) -> None:
        self.encoder = encoder
        self.book = book
        self.photos = photos
        self.settings = settings
        self.workers = workers or Workers.current()
        self.threads = threads
        self.decode = decode
        change = Augmentation(settings.crop_area, settings.colour, settings.mirror)
        self.reader = PictureReader(encoder.image_size, change, fetch)
        self.seen_rows = np.unique(photos.rows)
        self.unreadable: set[str] = set()
        """Ids of the photos that this worker could not read so far."""
        self._orders: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        """The order of an epoch and of the one before, with earlier showings."""
        self._kept: dict[int, Tensor] = {}
        """Pixels of photos that are not augmented, by the photo's number."""
        self._asked: dict[int, Iterable[Image.Image | None]] = {}
        """Pending reads elsewhere, by step."""

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; a set smaller than a batch gives one."""
        return max(1, len(self.photos) // self.settings.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.settings.epochs

    def iterate(self, start: int = 0) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) from step `start` on, reading photos one batch ahead."""
        with ThreadPoolExecutor(self.threads) as readers, ThreadPoolExecutor(1) as maker:
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
        pixels = self._read(step, readers)
        own = self.workers.share(len(chosen))
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
        if epoch not in self._orders:
            order = epoch_order(self.photos, self.book.gazetteer.ancestors, self.settings, epoch)
            earlier = pd.Series(order).groupby(order).cumcount().to_numpy()
            kept = {e: known for e, known in self._orders.items() if e == epoch - 1}
            self._orders = {**kept, epoch: (order, earlier)}
        part = slice(position * (size := self.settings.batch_size), (position + 1) * size)
        order, earlier = self._orders[epoch]
        return order[part], earlier[part]

    def _showing(self, i: int, earlier: int) -> str:
        """The key for a photo's random choices: its id, and its repeats look different."""
        return f"{self.photos.ids[i]} again {earlier}" if earlier else self.photos.ids[i]

    def _read(self, step: int, readers: ThreadPoolExecutor | None) -> list[Tensor | None]:
        """Pixels of this worker's photos of a step."""
        load = map if readers is None else readers.map
        if self.decode is None:
            return list(load(partial(self._pixels, step // self.steps_per_epoch), *self._own(step)))
        for later in range(step, min(step + 1 + ASKED_AHEAD, self.steps)):
            if later not in self._asked:
                shown = partial(self._shown, later // self.steps_per_epoch)
                showings = list(map(shown, *self._own(later)))
                self._asked[later] = self.decode(self.reader, showings)
        return list(load(self._pixels_of, self._asked.pop(step)))

    def _own(self, step: int) -> tuple[list[int], list[int]]:
        """This worker's photos of a step, and how often each was shown before in its epoch."""
        chosen, earlier = self._chosen(step)
        own = self.workers.share(len(chosen))
        return chosen[own].tolist(), earlier[own].tolist()

    def _shown(self, epoch: int, i: int, earlier: int) -> Showing:
        showing = "augment", self.settings.seed, epoch, self._showing(i, earlier)
        return Showing(self.photos.paths[i], showing if self.settings.augment else None)

    def _pixels(self, epoch: int, i: int, earlier: int = 0) -> Tensor | None:
        if i in self._kept:
            return self._kept[i]
        pixels = self._pixels_of(self.reader(self._shown(epoch, i, earlier)))
        if pixels is None or self.settings.augment:
            return pixels
        if len(self._kept) < KEPT_BYTES // pixels.nbytes:
            self._kept[i] = pixels
        return pixels

    def _pixels_of(self, picture: Image.Image | None) -> Tensor | None:
        return picture_pixels(self.encoder, picture, self.settings.augment)

    def blank(self, rows: int) -> Tensor:
        """Pixels (rows, 3, S, S) in place of unreadable photos."""
        return torch.stack([self._blank()] * rows)

    def _blank(self) -> Tensor:
        """The placeholder for an unreadable photo."""
        size = self.encoder.image_size
        return torch.zeros(3, size, size)

    def _stack(self, pixels: list[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Pixels (n, 3, S, S), blank for unreadable photos, and a mask of readable ones (n,)."""
        blank = self._blank()
        filled = [blank if p is None else p for p in pixels]
        readable = torch.tensor([p is not None for p in pixels], dtype=torch.bool)
        return torch.stack(filled) if filled else blank[None][:0], readable
