"""The workers that share one contrast set, and weights sharded among them.

With FSDP2 each worker holds a part of every block's weights and optimizer state, and gathers the
rest while the block runs (`torch.distributed.fsdp.fully_shard`; Zhao et al. 2023, arXiv
2304.11277). Embeddings, projections and scales stay whole on every worker. All workers must call a
function that gathers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError


@dataclass(frozen=True)
class Workers:
    """This process among `size` workers; a single process is `Workers()`."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Workers":
        """Read rank and size from the process group, if there is one."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def share(self, count: int, rank: int | None = None) -> slice:
        """Return a worker's contiguous share of `count` items; sizes differ by at most one."""
        rank = self.rank if rank is None else rank
        return slice(count * rank // self.size, count * (rank + 1) // self.size)

    def largest_share(self, count: int) -> int:
        """Size of the largest share of `count` items, at least 1."""
        return max(1, -(-count // self.size))

    def gather(self, own: Tensor, count: int) -> Tensor:
        """Join the workers' shares (n_r, ...) of `count` rows, without gradient."""
        own = own.detach()
        if self.size == 1:
            return own
        sizes = [self.share(count, rank) for rank in range(self.size)]
        lengths = [part.stop - part.start for part in sizes]
        padded = pad_rows(own, self.largest_share(count))
        parts = [torch.empty_like(padded) for _ in lengths]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])

    def pass_on(self, held: Tensor) -> Tensor:
        """Pass `held` to the next worker and return the previous one's, of the same shape.

        After `size` passes everybody has their own again.
        """
        if self.size == 1:
            return held
        taken = torch.empty_like(held)
        ends = (self.rank + 1) % self.size, (self.rank - 1) % self.size
        calls = [
            distributed.P2POp(distributed.isend, held.contiguous(), ends[0]),
            distributed.P2POp(distributed.irecv, taken, ends[1]),
        ]
        for call in distributed.batch_isend_irecv(calls):
            call.wait()
        return taken

    def sum(self, own: Tensor) -> Tensor:
        """The sum of a tensor over the workers, the same on all."""
        if self.size > 1:
            distributed.all_reduce(own)
        return own


def pad_rows(rows: Tensor, count: int) -> Tensor:
    """Append rows of zeros to (n, ...) until there are `count`."""
    if len(rows) == count:
        return rows
    return torch.cat([rows, rows.new_zeros((count - len(rows), *rows.shape[1:]))])


def shard_blocks(encoder: Encoder, workers: Workers) -> None:
    """Keep on each worker its part of the towers' blocks, in place.

    Raises GeoclipError if the model has no stack of equal blocks.
    """
    # From the inside out, as `fully_shard` requires. Forward passes must call a stack's owner and
    # its blocks: that gathers the weights.
    owners = [m for m in reversed(list(encoder.model.modules())) if any(_stacks(m))]
    if not owners:
        raise GeoclipError(
            f"{encoder.name} has no stack of equal blocks to shard among workers; train it "
            f"without FSDP."
        )
    mesh = init_device_mesh(encoder.device.type, (workers.size,))
    for owner in owners:
        for stack in _stacks(owner):
            for block in stack:
                fully_shard(block, mesh=mesh, reshard_after_forward=True)
        rest = {p for p in owner.parameters() if not isinstance(p, DTensor)}
        fully_shard(owner, mesh=mesh, ignored_params=rest)  # prefetches the next block


def _stacks(module: nn.Module) -> Iterator[Iterable[nn.Module]]:
    """The lists of a module's blocks: children of one class, each with its own weights.

    Channels-last convolutions are excluded: FSDP cannot shard them.
    """
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential) and len(child):
            weights = [list(block.parameters()) for block in child]
            equal = len({type(block) for block in child}) == 1
            if equal and all(weights) and all(p.is_contiguous() for ps in weights for p in ps):
                yield child


def whole(value: Tensor) -> Tensor:
    """A whole weight, of which this worker may hold a part."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """This worker's part of a whole weight, sharded like `like`."""
    value = value.to(like.device)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements)


@torch.no_grad()
def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Set a model's weights, sharded or not, from whole ones."""
    model.load_state_dict(
        {name: part_of(weights[name], value) for name, value in model.state_dict().items()}
    )


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Scale all gradients down so that their common norm over all workers is at most `largest`."""
    trained = [p for p in parameters if p.grad is not None]
    kinds = [[p for p in trained if isinstance(p, DTensor) == part] for part in (True, False)]
    squares = [
        whole(nn.utils.get_total_norm([p.grad for p in kind if p.grad is not None])) ** 2
        for kind in kinds
        if kind
    ]
    norm = torch.stack(squares).sum().sqrt()
    for kind in kinds:
        nn.utils.clip_grads_with_norm_(kind, largest, norm)
