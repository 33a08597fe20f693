"""Causal text towers, run on each distinct prefix of a batch once.

In a causal tower no token depends on a later one. So tokens after a text's end need not be
computed, and a prefix that several texts share ("A Street View photo in") is computed once. Both
are exact. All layers but the attention compute one row for each distinct prefix: a node of the
batch's prefix tree. The attention, the small part, computes whole texts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

BEHIND = -1  # stands for tokens after a text's end


@dataclass(frozen=True)
class PrefixTree:
    """The distinct prefixes of C texts of up to L tokens, as T nodes.

    `node` (C, L) is the prefix that ends at each token, undefined after a text's end; `first` (T,)
    is the first position of each node in the flattened (C, L); `end` (C,) is the node of the whole
    text.
    """

    node: Tensor
    first: Tensor
    end: Tensor

    @classmethod
    def of(cls, tokens: Tensor, ends: Tensor) -> "PrefixTree":
        """The tree of tokens (C, L); tokens after position `ends` (C,) are ignored."""
        position = torch.arange(tokens.shape[1], device=tokens.device)
        marked = tokens.masked_fill(position > ends[:, None], BEHIND)
        order = _lexicographic(marked)
        rows = marked[order]
        # In this order a text shares a prefix with the text before it, or with none before it.
        shared = torch.zeros_like(rows, dtype=torch.bool)
        shared[1:] = (rows[1:] == rows[:-1]).cumprod(dim=1).bool()
        own = ~shared & (rows != BEHIND)
        count = own.flatten().cumsum(0).view_as(rows)
        node = torch.where(own, count - 1, 0).cummax(dim=0).values
        back = order.argsort()
        first = own.flatten().nonzero()[:, 0]
        first = order[first // rows.shape[1]] * rows.shape[1] + first % rows.shape[1]
        node = node[back]
        return cls(node, first, node.gather(1, ends[:, None])[:, 0])


def _lexicographic(tokens: Tensor) -> Tensor:
    """The order (C,) that sorts rows by their first column, then by the next columns."""
    order = torch.arange(len(tokens), device=tokens.device)
    for column in reversed(tokens.T):
        order = order[column[order].argsort(stable=True)]
    return order


@dataclass(frozen=True)
class CausalBlock:
    """A pre-norm block of a causal tower of width w, split at its attention.

    `project` computes queries, keys and values (T, 3w) from hidden states (T, w). `finish` computes
    the next hidden states from these and the attention's output (T, w).
    """

    heads: int
    project: Callable[[Tensor], Tensor]
    finish: Callable[[Tensor, Tensor], Tensor]


def is_untouched(block: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a block's parts may be called separately: it has this very class and no hooks."""
    hooked = block._forward_pre_hooks or block._forward_hooks  # a hook fetches sharded weights
    return type(block) is kind and not hooked


def on_prefix_tree(
    tokens: Tensor,
    ends: Tensor,
    embed: Callable[[Tensor, Tensor], Tensor],
    blocks: Iterable[CausalBlock],
    checkpointing: bool = False,
) -> Tensor:
    """Hidden states (C, w) at the `ends` (C,) of tokens (C, L), each distinct prefix computed once.

    `embed` makes hidden states (T, w) of T tokens and their positions. With `checkpointing` the
    backward pass computes the activations inside blocks again.
    """
    tree = PrefixTree.of(tokens, ends)
    x = embed(tokens.flatten()[tree.first], tree.first % tokens.shape[1])
    for block in blocks:
        if checkpointing:
            x = checkpoint(_run, block, x, tree, use_reentrant=False)
        else:
            x = _run(block, x, tree)
    return x[tree.end]


def _run(block: CausalBlock, x: Tensor, tree: PrefixTree) -> Tensor:
    return block.finish(x, _attention(block.project(x), block.heads, tree))


def _attention(projected: Tensor, heads: int, tree: PrefixTree) -> Tensor:
    """The output (T, w) of causal attention for each node, over the prefixes that lead to it."""
    texts, length = tree.node.shape
    mixed = projected[tree.node].view(texts, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    found = F.scaled_dot_product_attention(mixed[0], mixed[1], mixed[2], is_causal=True)
    return found.transpose(1, 2).reshape(texts * length, -1)[tree.first]
