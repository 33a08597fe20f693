"""open_clip's causal text towers, run on each distinct prefix of a batch once.

In a causal tower no token depends on a later one. So tokens after a text's end need not be
computed, and a prefix that several texts share ("A Street View photo in") is computed once. Both
are exact. All layers but the attention work on the nodes of the batch's prefix tree, one row for
each distinct prefix. The attention, which is the small part, works on the texts themselves.
"""

from dataclasses import dataclass
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

BEHIND = -1  # stands for tokens after a text's end


@dataclass(frozen=True)
class PrefixTree:
    """The distinct prefixes of C texts of up to L tokens, as T nodes.

    `node` (C, L) is the prefix that ends at each token, anything after a text's end; `first` (T,)
    is the first position of each node in the flattened (C, L); `end` (C,) is the node of the whole
    text.
    """

    node: Tensor
    first: Tensor
    end: Tensor

    @classmethod
    def of(cls, tokens: Tensor, ends: Tensor) -> "PrefixTree":
        """The tree of tokens (C, L), of which those after position `ends` (C,) do not count."""
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
    """The order (C,) that sorts rows by their first column, then by their second, and so on."""
    order = torch.arange(len(tokens), device=tokens.device)
    for column in reversed(tokens.T):
        order = order[column[order].argsort(stable=True)]
    return order


def encode_causal_text(tower: Any, tokens: Tensor) -> Tensor:
    """Features (C, d) of tokens (C, L) by a causal tower that reads them off the end token.

    L may be shorter than the tower's context length.
    """
    ends = _ends(tower, tokens)
    plain = all(_is_plain(block) for block in tower.transformer.resblocks)
    run = _on_tree if plain else _on_all_tokens
    x: Tensor = tower.ln_final(run(tower, tokens, ends))
    projection: nn.Linear | Tensor | None = tower.text_projection
    if projection is not None:
        x = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return x


def _ends(tower: Any, tokens: Tensor) -> Tensor:
    """Position (C,) of the end token: the one with the tower's id for it, else with the largest."""
    if getattr(tower, "text_pool_type", getattr(tower, "pool_type", "")) == "argmax":
        return tokens.argmax(dim=1)
    end: Any = getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))
    return torch.eq(tokens, end).int().argmax(dim=1)


def _is_plain(block: nn.Module) -> bool:
    """Whether a block's parts may be called one by one: of open_clip's class and without hooks."""
    hooked = block._forward_pre_hooks or block._forward_hooks  # a hook fetches sharded weights
    return type(block) is ResidualAttentionBlock and not hooked


def _on_all_tokens(tower: Any, tokens: Tensor, ends: Tensor) -> Tensor:
    """Hidden states (C, w) at the ends, from every token of every text."""
    length, dtype = tokens.shape[1], tower.transformer.get_cast_dtype()
    x: Tensor = tower.token_embedding(tokens).to(dtype)
    x = x + tower.positional_embedding[:length].to(dtype)
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    return x[torch.arange(len(x), device=x.device), ends]


def _on_tree(tower: Any, tokens: Tensor, ends: Tensor) -> Tensor:
    """Hidden states (C, w) at the ends, each distinct prefix computed once."""
    tree, dtype = PrefixTree.of(tokens, ends), tower.transformer.get_cast_dtype()
    x: Tensor = tower.token_embedding(tokens.flatten()[tree.first]).to(dtype)
    x = x + tower.positional_embedding[tree.first % tokens.shape[1]].to(dtype)
    for block in tower.transformer.resblocks:
        if tower.transformer.grad_checkpointing:
            x = checkpoint(_block, block, x, tree, use_reentrant=False)
        else:
            x = _block(block, x, tree)
    return x[tree.end]


def _block(block: Any, x: Tensor, tree: PrefixTree) -> Tensor:
    """A layer of the transformer on the nodes x (T, w)."""
    x = x + block.ls_1(_attention(block.attn, block.ln_1(x), tree))
    return x + block.ls_2(block.mlp(block.ln_2(x)))  # type: ignore[no-any-return]


def _attention(attention: nn.MultiheadAttention, x: Tensor, tree: PrefixTree) -> Tensor:
    """Causal attention of the nodes x (T, w) to the prefixes that lead to them."""
    texts, length = tree.node.shape
    mixed = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)[tree.node]
    heads = mixed.view(texts, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    found = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
    flat = found.transpose(1, 2).reshape(texts * length, -1)
    out: Tensor = attention.out_proj(flat[tree.first])
    return out
