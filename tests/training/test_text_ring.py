"""SigLIP's loss over chunks that go round, against the whole matrix; workers are threads here.

Two real processes are in test_step.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Queue
from threading import Barrier

import pytest
import torch
from torch import Tensor

from geoclip.training import text_ring
from geoclip.training.losses import siglip_loss
from geoclip.training.text_ring import ring_siglip_loss
from geoclip.training.workers import Workers


@dataclass
class Post:
    """Messages between threads that represent workers."""

    size: int
    boxes: list[Queue] = field(init=False)
    barrier: Barrier = field(init=False)
    table: list[Tensor | None] = field(init=False)

    def __post_init__(self) -> None:
        self.boxes = [Queue() for _ in range(self.size)]
        self.barrier = Barrier(self.size, timeout=30)
        self.table = [None] * self.size


@dataclass(frozen=True)
class ThreadWorkers(Workers):
    post: Post | None = None

    def pass_on(self, held: Tensor) -> Tensor:
        assert self.post is not None
        self.post.boxes[(self.rank + 1) % self.size].put(held.clone())
        return self.post.boxes[self.rank].get(timeout=30)

    def sum(self, own: Tensor) -> Tensor:
        assert self.post is not None
        self.post.table[self.rank] = own
        self.post.barrier.wait()
        return torch.stack([one for one in self.post.table if one is not None]).sum(dim=0)


def batch(photos: int, captions: int) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    images, texts = (
        torch.randn(n, 8, generator=generator, dtype=torch.float64) for n in (photos, captions)
    )
    scalars = [torch.tensor(value, dtype=torch.float64) for value in (9.0, -4.0)]
    leaves = [images / images.norm(dim=1, keepdim=True), texts / texts.norm(dim=1, keepdim=True)]
    truth = torch.randint(-1, 2, (photos, captions), generator=generator)
    return [leaf.requires_grad_() for leaf in (*leaves, *scalars)], truth.to(torch.int8)


@pytest.mark.parametrize(
    ("workers", "photos", "captions"), [(1, 5, 4), (2, 6, 5), (3, 11, 7), (4, 5, 3), (3, 2, 8)]
)
def test_the_ring_gives_loss_and_gradients_of_the_whole_matrix(
    workers: int, photos: int, captions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves, truth = batch(photos, captions)
    expected = siglip_loss(*leaves, truth)
    gradients = torch.autograd.grad(3 * expected, leaves)
    widths: list[int] = []
    whole_loss = text_ring.siglip_loss

    def noted(images, texts, scale, bias, pairs):
        widths.append(texts.shape[0])
        return whole_loss(images, texts, scale, bias, pairs)

    monkeypatch.setattr(text_ring, "siglip_loss", noted)
    post = Post(workers)

    def work(rank: int) -> tuple[float, tuple[Tensor, ...]]:
        me = ThreadWorkers(rank, workers, post)
        own = [
            leaf.detach()[me.share(len(leaf))].clone() if leaf.ndim else leaf.detach().clone()
            for leaf in leaves
        ]
        own = [leaf.requires_grad_() for leaf in own]
        loss = ring_siglip_loss(*own, truth[me.share(photos)], photos, me)
        return loss.item(), torch.autograd.grad(3 * loss, own)

    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(work, range(workers)))
    assert max(widths) == -(-captions // workers)  # never more than one chunk
    for rank, (loss, own) in enumerate(results):
        me = Workers(rank, workers)
        assert loss == pytest.approx(expected.item(), rel=1e-6)
        for ours, whole in zip(own, gradients, strict=True):
            theirs = whole[me.share(len(whole))] if whole.ndim else whole
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_without_a_photo_the_loss_is_zero() -> None:
    leaves, truth = batch(3, 2)
    none = [leaves[0][:0], *leaves[1:]]
    loss = ring_siglip_loss(*none, truth[:0], 0, Workers())
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, leaves[1])[0].any()
