"""Transformer blocks whose weights and optimizer state are shared out among the workers (FSDP2).

Each worker holds a part of every block's weights and gathers the rest for the moment in which the
block runs (`torch.distributed.fsdp.fully_shard`; Zhao et al. 2023, arXiv 2304.11277). Embeddings,
projections and scales stay whole on every worker. Every function here that gathers must be called
by all workers.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.training.workers import Workers


def shard_blocks(encoder: Encoder, workers: Workers) -> None:
    """Keep on each worker its part of the towers' blocks, in place.

    Raises GeoclipError where the model has no stack of equal blocks.
    """
    # From the inside out, as `fully_shard` wants it. Forward passes enter a stack's owner and its
    # blocks by calling them, which is where the weights are gathered.
    owners = [m for m in reversed(list(encoder.model.modules())) if any(_stacks(m))]
    if not owners:
        raise GeoclipError(
            f"{encoder.name} has no stack of equal blocks that could be shared out among workers; "
            "train it without FSDP."
        )
    mesh = init_device_mesh(encoder.device.type, (workers.size,))
    for owner in owners:
        for stack in _stacks(owner):
            for block in stack:
                fully_shard(block, mesh=mesh, reshard_after_forward=True)
        rest = {p for p in owner.parameters() if not isinstance(p, DTensor)}
        fully_shard(owner, mesh=mesh, ignored_params=rest)  # gathers a block ahead of its turn


def _stacks(module: nn.Module) -> Iterator[Iterable[nn.Module]]:
    """The lists of a module's blocks: children of one class, each with weights of its own.

    Not those with channels-last convolutions, which FSDP cannot share out.
    """
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential) and len(child):
            weights = [list(block.parameters()) for block in child]
            equal = len({type(block) for block in child}) == 1
            if equal and all(weights) and all(p.is_contiguous() for ps in weights for p in ps):
                yield child


def whole(value: Tensor) -> Tensor:
    """The whole of a weight, of which this worker may hold a part."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """This worker's part of a whole weight, shared out as `like` is."""
    value = value.to(like.device)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements)


@torch.no_grad()
def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Set a model's weights, shared out or not, from whole ones."""
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
