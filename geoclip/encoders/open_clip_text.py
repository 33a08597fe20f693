"""open_clip's causal text towers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoclip.encoders.causal_text import CausalBlock, is_untouched, on_prefix_tree


def encode_causal_text(tower: Any, tokens: Tensor) -> Tensor:
    """Features (C, d) of tokens (C, L) by a causal tower that takes them from the end token.

    L may be shorter than the tower's context length.
    """
    ends = _ends(tower, tokens)
    plain = all(_is_plain(block) for block in tower.transformer.resblocks)
    if plain:
        return encode_on_tree(tower, tokens, ends)
    return _projected(tower, _on_all_tokens(tower, tokens, ends))


def encode_on_tree(tower: Any, tokens: Tensor, ends: Tensor) -> Tensor:
    """`encode_causal_text` for plain blocks; each distinct prefix is computed once.

    `ends` (C,) are the positions of the end tokens.
    """
    return _projected(tower, _on_tree(tower, tokens, ends))


def _projected(tower: Any, hidden: Tensor) -> Tensor:
    x: Tensor = tower.ln_final(hidden)
    projection: nn.Linear | Tensor | None = tower.text_projection
    if projection is not None:
        x = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return x


def _ends(tower: Any, tokens: Tensor) -> Tensor:
    """Position (C,) of the end token: the tower's own id for it, else the largest id."""
    if getattr(tower, "text_pool_type", getattr(tower, "pool_type", "")) == "argmax":
        return tokens.argmax(dim=1)
    end: Any = getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))
    return torch.eq(tokens, end).int().argmax(dim=1)


def _is_plain(block: Any) -> bool:
    from open_clip.transformer import ResidualAttentionBlock  # noqa: PLC0415 - seconds

    untouched = is_untouched(block, ResidualAttentionBlock)
    return untouched and type(block.attn) is nn.MultiheadAttention


def _on_all_tokens(tower: Any, tokens: Tensor, ends: Tensor) -> Tensor:
    """Hidden states (C, w) at the ends, from every token of every text."""
    length, dtype = tokens.shape[1], tower.transformer.get_cast_dtype()
    x: Tensor = tower.token_embedding(tokens).to(dtype)
    x = x + tower.positional_embedding[:length].to(dtype)
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    return x[torch.arange(len(x), device=x.device), ends]


def _on_tree(tower: Any, tokens: Tensor, ends: Tensor) -> Tensor:
    """Hidden states (C, w) at the ends, each distinct prefix computed once."""
    dtype = tower.transformer.get_cast_dtype()

    def embed(tokens: Tensor, positions: Tensor) -> Tensor:
        x: Tensor = tower.token_embedding(tokens).to(dtype)
        x = x + tower.positional_embedding[positions].to(dtype)
        return x

    again = tower.transformer.grad_checkpointing and torch.is_grad_enabled()
    blocks = map(_taken_apart, tower.transformer.resblocks)
    return on_prefix_tree(tokens, ends, embed, blocks, again)


def _taken_apart(block: Any) -> CausalBlock:
    attention = block.attn

    def project(x: Tensor) -> Tensor:
        return F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)

    def finish(x: Tensor, found: Tensor) -> Tensor:
        x = x + block.ls_1(attention.out_proj(found))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
        return x

    return CausalBlock(attention.num_heads, project, finish)
