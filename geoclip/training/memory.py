"""The number of photos that pass the towers at a time, measured on a few rows."""

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from geoclip.support.process import free_memory
from geoclip.training.batches import Batches
from geoclip.training.optimizer import ADAMW_TENSORS
from geoclip.training.settings import TrainingSettings
from geoclip.training.towers import mixed_precision, on_trial

PROBE = 4
"""Rows of the probe."""

SHARE = 0.8
"""Share of the free memory: no probe measures the rest, such as fragments."""

MOST_ON_PROCESSORS = 3 * 2**30
"""Bytes: with up to 2.5 GB of other data (libraries, places, evaluation) the process stays under 6
GB.

Larger chunks are no faster there.
"""

WITH_SCRATCH = 1.35
"""Memory of a pass on a CPU, in multiples of its tensors: convolutions copy pictures to another
layout.

Measured with `street-tiny`: 1.3.
"""

BATCHES_HELD = 3
"""Batches of pixels at a time: in use, ready, and being made."""


def chosen_chunk_size(batches: Batches, settings: TrainingSettings) -> int:
    """The number of photos per chunk for which a step fits into the free memory.

    `settings` are those of the batches, with a precision that is not "auto". It is the same on all
    workers, which must call this together: the smallest of their results. It lies between 1 and
    this worker's share of a batch, and splits evenly: 50 photos pass as 25 and 25 rather than 48
    and 2.
    """
    encoder, workers = batches.encoder, batches.workers
    rows = workers.largest_share(min(settings.batch_size, len(batches.photos)))
    pixels = batches.blank(PROBE).to(encoder.device)
    captions = [batches.book.text(int(row)) for row in batches.photos.rows[:PROBE]]
    tokens = encoder.tokenize(captions).to(encoder.device)
    passes = [lambda: encoder.image_features(pixels), lambda: encoder.text_features(tokens)]
    scratch = 1.0 if encoder.device.type == "cuda" else WITH_SCRATCH
    row = int(scratch * peak_bytes(encoder.model, passes, settings)) // PROBE
    trained = sum(p.nbytes for p in encoder.model.parameters() if p.requires_grad)
    held = BATCHES_HELD * rows * pixels[0].nbytes
    room = int(memory_for_training(encoder.device)) - ADAMW_TENSORS * trained - held
    fitting = torch.tensor([max(1, min(rows, room // max(1, row)))], device=encoder.device)
    fitting = workers.gather(fitting, workers.size).min()
    parts = -(-rows // int(fitting))
    return -(-rows // parts)


def memory_for_training(device: torch.device) -> float:
    """Bytes that this process may take for training on a device."""
    if device.type == "cuda":
        return SHARE * torch.cuda.mem_get_info(device)[0]
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torch's name for workers per machine
    return min(MOST_ON_PROCESSORS, SHARE * free_memory() / beside)


def peak_bytes(
    model: nn.Module, passes: Sequence[Callable[[], Tensor]], settings: TrainingSettings
) -> int:
    """Most bytes of forward and backward passes beside weights and gradients.

    The sum over the passes of their peaks. Weights and random state stay unchanged.
    """
    device = next(model.parameters()).device
    with on_trial(model):
        return sum(_peak(run, device, settings) for run in passes)


def _peak(run: Callable[[], Tensor], device: torch.device, settings: TrainingSettings) -> int:
    def both_ways() -> None:
        with mixed_precision(device, settings.precision, settings.activation_checkpointing):
            features = run()
        if features.requires_grad:
            torch.autograd.backward(features.sum())

    if device.type == "cuda":
        before: int = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        both_ways()
        most: int = torch.cuda.max_memory_allocated(device)
        return most - before
    with _Allocations() as allocations:
        both_ways()
    return int(allocations.peak)


class _Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of living tensors that operations made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for storage in _storages((*args, *(kwargs or {}).values())):
            self._note(storage, 0)  # made before: a weight or an input, or already counted
        returned = func(*args, **(kwargs or {}))
        for storage in _storages((returned,)):
            self._note(storage, storage.nbytes())
        return returned

    def _note(self, storage: torch.UntypedStorage, size: int) -> None:
        key = id(storage)
        if key not in self.live:
            self.live[key] = size
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self.live.pop(key)


def _storages(values: Iterable[Any]) -> Iterator[torch.UntypedStorage]:
    for value in values:
        if isinstance(value, Tensor):
            yield value.untyped_storage()
        elif isinstance(value, tuple | list):
            yield from _storages(value)
