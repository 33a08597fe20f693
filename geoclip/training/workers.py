"""The workers that share one contrast set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor


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
        """Return the contiguous share of `count` items that a worker holds, sizes within one."""
        rank = self.rank if rank is None else rank
        return slice(count * rank // self.size, count * (rank + 1) // self.size)

    def largest_share(self, count: int) -> int:
        """Size of the largest share of `count` items, at least 1."""
        return max(1, -(-count // self.size))

    def gather(self, own: Tensor, count: int) -> Tensor:
        """Put the workers' shares (n_r, ...) of `count` rows together, without gradient."""
        own = own.detach()
        if self.size == 1:
            return own
        sizes = [self.share(count, rank) for rank in range(self.size)]
        lengths = [part.stop - part.start for part in sizes]
        padded = pad_rows(own, self.largest_share(count))
        parts = [torch.empty_like(padded) for _ in lengths]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the workers."""
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        for shared_out in (p for p in trained if isinstance(p, DTensor)):
            if shared_out.grad is not None:
                shared_out.grad *= self.size  # FSDP has made it the mean
        trained = [p for p in trained if not isinstance(p, DTensor)]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients: Sequence[Tensor] = [p.grad for p in trained if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, summed in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(summed.view_as(gradient))


def pad_rows(rows: Tensor, count: int) -> Tensor:
    """Put rows of zeros below (n, ...) until there are `count`."""
    if len(rows) == count:
        return rows
    return torch.cat([rows, rows.new_zeros((count - len(rows), *rows.shape[1:]))])
