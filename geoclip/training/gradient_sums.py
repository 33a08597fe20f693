"""Sum gradients over the workers while others are still computed."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor
from torch.nn import Parameter

from geoclip.training.workers import Workers

BUCKET = 25 * 2**20
"""Bytes summed at a time, as in PyTorch's DDP (Li et al. 2020, arXiv 2006.15704)."""


class GradientSums:
    """Replaces the gradients of groups of parameters by their sums over the workers.

    They are sent in buckets, in the same order on all workers: group by group, the last parameters
    of a group first, which is about the order of the backward pass. FSDP has already averaged
    sharded weights; then nothing is sent ahead, as FSDP does that itself.
    """

    def __init__(self, workers: Workers, groups: Sequence[Iterable[Parameter]]) -> None:
        self.workers = workers
        trained = [[p for p in group if p.requires_grad] for group in groups]
        self.sharded = [p for group in trained for p in group if isinstance(p, DTensor)]
        self._waiting: deque[list[Parameter]] = deque()
        for group in trained:
            self._waiting += _buckets([p for p in group[::-1] if not isinstance(p, DTensor)])
        self._final: set[Parameter] = set()
        self._under_way: list[tuple[list[Parameter], Tensor, distributed.Work]] = []

    @contextmanager
    def as_they_come(self) -> Iterator[None]:
        """A context in which an accumulated gradient is final: full buckets are sent."""
        ahead = self.workers.size > 1 and not self.sharded
        watched = [p for bucket in self._waiting for p in bucket] if ahead else []
        hooks = [
            p.register_post_accumulate_grad_hook(self._note)  # type: ignore[no-untyped-call]
            for p in watched
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _note(self, parameter: Parameter) -> None:
        self._final.add(parameter)
        while self._waiting and self._final.issuperset(self._waiting[0]):
            self._send(self._waiting.popleft())

    def _send(self, bucket: list[Parameter]) -> None:
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.reshape(-1) for p in bucket if p.grad is not None])
        work = distributed.all_reduce(flat, async_op=True)
        self._under_way.append((bucket, flat, work))

    def finish(self) -> None:
        """Send the rest, wait for all, and store the sums."""
        if self.workers.size == 1:
            return
        for sharded in self.sharded:
            if sharded.grad is not None:
                sharded.grad *= self.workers.size  # undo FSDP's mean
        while self._waiting:
            self._send(self._waiting.popleft())
        for bucket, flat, work in self._under_way:
            work.wait()
            pieces = torch.split(flat, [p.numel() for p in bucket])
            for parameter, summed in zip(bucket, pieces, strict=True):
                assert parameter.grad is not None
                parameter.grad.copy_(summed.view_as(parameter.grad))


def _buckets(parameters: Iterable[Parameter]) -> Iterator[list[Parameter]]:
    """Parameters of one type together, about `BUCKET` bytes at a time."""
    bucket: list[Parameter] = []
    for parameter in parameters:
        full = sum(p.nbytes for p in bucket) >= BUCKET
        if bucket and (full or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket
