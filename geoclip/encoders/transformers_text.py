"""The causal text tower of transformers' CLIP."""

from typing import Any

import torch
from torch import Tensor
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from geoclip.encoders.causal_text import CausalBlock, is_untouched, on_prefix_tree

LARGEST_IS_END = 2
"""The end token's id in configs of early CLIP models; it is wrong: the end token has the largest
id."""


def can_share_prefixes(tower: Any) -> bool:
    """Whether `encode_causal_text` can run the blocks of a text tower."""
    return all(_is_plain(layer) for layer in tower.encoder.layers)


def encode_causal_text(tower: Any, tokens: Tensor) -> Tensor:
    """Pooled outputs (C, w) of tokens (C, L), as CLIPTextModel gives them, before projection."""
    end = tower.eos_token_id
    largest = end == LARGEST_IS_END
    ends = tokens.argmax(dim=1) if largest else torch.eq(tokens, end).int().argmax(dim=1)

    def embed(tokens: Tensor, positions: Tensor) -> Tensor:
        parts = tower.embeddings
        x: Tensor = parts.token_embedding(tokens) + parts.position_embedding(positions)
        return x

    layers = tower.encoder.layers
    again = torch.is_grad_enabled() and any(x.gradient_checkpointing and x.training for x in layers)
    x = on_prefix_tree(tokens, ends, embed, map(_taken_apart, layers), again)
    pooled: Tensor = tower.final_layer_norm(x)
    return pooled


def _is_plain(layer: Any) -> bool:
    drops = layer.training and layer.self_attn.dropout
    return is_untouched(layer, CLIPEncoderLayer) and not drops


def _taken_apart(layer: Any) -> CausalBlock:
    attention = layer.self_attn

    def project(x: Tensor) -> Tensor:
        x = layer.layer_norm1(x)
        return torch.cat([attention.q_proj(x), attention.k_proj(x), attention.v_proj(x)], dim=-1)

    def finish(x: Tensor, found: Tensor) -> Tensor:
        x = x + attention.out_proj(found)
        x = x + layer.mlp(layer.layer_norm2(x))
        return x

    return CausalBlock(attention.num_heads, project, finish)
