"""Encoders small enough for tests, built without files from elsewhere."""

import json
import zlib
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from geoclip.encoders.open_clip_encoder import OpenClipEncoder

VOCABULARY = 512
TEXT_CONFIG = {
    "context_length": 32,
    "vocab_size": VOCABULARY,
    "width": 32,
    "heads": 2,
    "layers": 1,
}
VISION_CONFIG = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}


def random_tiny_clip() -> OpenClipEncoder:
    """A two-layer CLIP for 32-pixel images with random weights and CLIP's own tokenizer."""
    config = {
        "embed_dim": 32,
        "vision_cfg": VISION_CONFIG,
        "text_cfg": {"context_length": 77, "width": 64, "heads": 2, "layers": 2},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return OpenClipEncoder.from_config("random-tiny", config)


def small_clip(**preprocess: Any) -> OpenClipEncoder:
    """Of the embedded default's kind, which is read without open_clip where it is for photos.

    No statistics of its batch normalisations are trivial.
    """
    tower = {"timm_model_name": "tf_efficientnet_lite2", "timm_model_pretrained": False}
    tower |= {"timm_pool": "", "timm_proj": "mlp", "timm_proj_bias": True, "timm_drop": 0.3}
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
    config = {"embed_dim": 16, "vision_cfg": tower | {"image_size": 32}, "text_cfg": text}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = OpenClipEncoder.from_config("small", config, **preprocess)
        for module in encoder.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor in (module.weight.data, module.running_var):
                    tensor.uniform_(0.5, 2.0)
                for tensor in (module.bias.data, module.running_mean):
                    tensor.normal_(std=0.3)
    return encoder


class WordTokenizer:
    """A token a word, by hash; the start and end tokens have the largest ids, padding is 0."""

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = torch.zeros(len(texts), TEXT_CONFIG["context_length"], dtype=torch.long)
        for row, text in enumerate(texts):
            words = [1 + zlib.crc32(w.encode()) % (VOCABULARY - 3) for w in text.split()][:30]
            ids = [VOCABULARY - 2, *words, VOCABULARY - 1]
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens


def built(config: dict[str, Any]) -> OpenClipEncoder:
    """An open_clip encoder with seeded random weights, as a fresh copy."""
    return deepcopy(_built(json.dumps(config)))


@lru_cache
def _built(config: str) -> OpenClipEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder = OpenClipEncoder.from_config("tiny", json.loads(config))
    if encoder.model_config["text_cfg"]["vocab_size"] == VOCABULARY:
        encoder.tokenizer = WordTokenizer()
    return encoder


def clip_encoder(text: dict[str, Any] | None = None, **others: Any) -> OpenClipEncoder:
    """A plain CLIP; `text` changes its text tower, `vision_…` its image tower, others the model."""
    vision = {
        k.removeprefix("vision_"): others.pop(k) for k in list(others) if k.startswith("vision_")
    }
    return built(
        {
            "embed_dim": 32,
            "vision_cfg": VISION_CONFIG | vision,
            "text_cfg": TEXT_CONFIG | (text or {}),
            **others,
        }
    )


def timm_encoder(
    name: str = "test_efficientnet", full_vocabulary: bool = False, **vision: Any
) -> OpenClipEncoder:
    """A convolutional image tower whose running statistics differ from those of a batch."""
    tower = {
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 32,
    }
    text = TEXT_CONFIG | ({"vocab_size": 49408} if full_vocabulary else {})
    encoder = built({"embed_dim": 32, "vision_cfg": tower | vision, "text_cfg": text})
    generator = torch.Generator().manual_seed(5)
    for module in encoder.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return encoder


def siglip_like_encoder() -> OpenClipEncoder:
    """A model with a logit bias and a text tower that looks both ways, as SigLIP's does."""
    text = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    return clip_encoder(text, custom_text=True, init_logit_bias=-3.0, init_logit_scale=1.5)


def write_transformers_clip(folder: Path, seed: int = 0) -> Path:
    """A tiny transformers CLIP with a byte-pair tokenizer made here, as a folder."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    vocabulary = [*letters, *(f"{c}</w>" for c in letters), "in</w>", "ph", "pho"]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    merges = ["i n</w>", "p h", "ph o"]
    files = folder.with_name(f"{folder.name}_tokenizer")
    files.mkdir(parents=True)
    ids = {token: i for i, token in enumerate(vocabulary)}
    (files / "vocab.json").write_text(json.dumps(ids))
    (files / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (files / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    tokenizer = CLIPTokenizer.from_pretrained(str(files), model_max_length=77)
    size = {"height": 32, "width": 32}
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 2, "projection_dim": 24}
    ends = {"bos_token_id": ids["<|startoftext|>"], "eos_token_id": ids["<|endoftext|>"]}
    text = shape | ends | {"vocab_size": len(ids), "pad_token_id": ends["eos_token_id"]}
    config = CLIPConfig(
        text_config=text | {"max_position_embeddings": 77},
        vision_config=shape | {"image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(config)
    model.save_pretrained(str(folder))
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(str(folder))
    return folder
