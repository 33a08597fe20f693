"""A reader of models like the embedded default that spares the import of open_clip, which takes
seconds.

An EfficientNet-Lite2 and a causal text tower, for prediction. Answers, keys and fingerprints are
those of the model that open_clip builds.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from geoclip.encoders.clip_tokens import VOCABULARY, tokenizer_module, without_padding
from geoclip.encoders.efficientnet_lite import FEATURES, SIDES, efficientnet_lite2
from geoclip.encoders.encoder import Encoder
from geoclip.encoders.folding import fold
from geoclip.encoders.model_folder import OPEN_CLIP_CONFIG, ModelFolder
from geoclip.encoders.open_clip_text import encode_on_tree
from geoclip.encoders.pixels import SquarePixels
from geoclip.errors import GeoclipError

_IMAGE_TOWER = {
    "timm_model_name": "tf_efficientnet_lite2",
    "timm_model_pretrained": False,
    "timm_pool": "",
    "timm_proj": "mlp",
    "timm_proj_bias": True,
}
_TEXT_TOWER = {"context_length", "vocab_size", "width", "heads", "layers"}
_PREPARED = {"interpolation": "bicubic", "resize_mode": "shortest"}


class SmallClipEncoder(Encoder):
    """A model that `can_read` accepts; its batch normalisations are folded, so it is not trained.

    `image_tensors` are the image tower's before folding.
    """

    model: "_SmallClip"

    def __init__(
        self, name: str, model: "_SmallClip", pixels: SquarePixels, image_tensors: list[Tensor]
    ) -> None:
        super().__init__(name, model, pixels, pixels.side)
        self._pixels = pixels
        self._image_tensors = image_tensors

    @classmethod
    def from_folder(cls, folder: Path) -> "SmallClipEncoder":
        """Load a folder that `can_read` accepts; RuntimeError where its weights do not fit."""
        config = _config(folder)
        model_config, prepared = config["model_cfg"], config["preprocess_cfg"]
        with torch.device("meta"):  # drawing random weights would take time
            model = _SmallClip(model_config["embed_dim"], model_config["text_cfg"])
        weights = load_file(ModelFolder.read(folder).weights[0])
        model.load_state_dict({k: v.float() for k, v in weights.items()}, assign=True)
        model.eval().requires_grad_(False)
        model.visual.to(memory_format=torch.channels_last)
        length = model_config["text_cfg"]["context_length"]
        mask = torch.full((length, length), -torch.inf).triu(1)  # a buffer of open_clip's model
        tensors = [*model.visual.parameters(), mask, *model.visual.buffers()]
        fold(model.visual)
        side = model_config["vision_cfg"]["image_size"]
        pixels = SquarePixels(side, prepared["mean"], prepared["std"])
        return cls(str(folder), model, pixels, tensors)

    @property
    def kind(self) -> str:
        """The kind of the encoder whose answers it gives."""
        return "OpenClipEncoder"

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of each colour channel."""
        return self._pixels.mean, self._pixels.std

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Turn texts into tokens (C, L), cut to the longest."""
        length = len(self.model.positional_embedding)
        return without_padding(tokenizer_module().tokenize(list(texts), context_length=length))

    @property
    def image_tower(self) -> nn.Module:
        """The folded image tower."""
        return self.model.visual

    def image_tensors(self) -> list[Tensor]:
        """Weights and statistics of the image tower as they were saved, for keys of embeddings."""
        return self._image_tensors

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        """Image tower: pixels (N, 3, S, S) → features (N, d)."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.model.visual(pixels)
        return features

    def raw_text_features(self, tokens: Tensor) -> Tensor:
        """Text tower: tokens (C, L) → features (C, d)."""
        return encode_on_tree(self.model, tokens, tokens.argmax(dim=1))

    def tower_parameters(self, tower: str) -> list[nn.Parameter]:
        """Parameters of the "image" or the "text" tower; the logit scale is in neither."""
        named = self.model.named_parameters()
        towers = [(n.startswith("visual."), p) for n, p in named if n != "logit_scale"]
        return [p for is_image, p in towers if is_image == (tower == "image")]

    def save(self, folder: str | Path) -> None:
        """Raise GeoclipError: an encoder loaded with `for_photos` is neither trained nor saved."""
        raise GeoclipError(
            f"{self.name} was loaded for photos alone; load it without for_photos to save it."
        )


def can_read(folder: Path) -> bool:
    """Whether this class can read the model in a folder of open_clip's layout."""
    try:
        config = _config(folder)
        model, prepared = config["model_cfg"], config["preprocess_cfg"]
        vision, text = dict(model["vision_cfg"]), model["text_cfg"]
        side, _ = vision.pop("image_size"), vision.pop("timm_drop", None)
        return (
            model.keys() == {"embed_dim", "vision_cfg", "text_cfg"}
            and vision == _IMAGE_TOWER
            and side % SIDES == 0
            and text.keys() == _TEXT_TOWER
            and text["vocab_size"] == VOCABULARY
            and prepared == prepared | _PREPARED
            and prepared.keys() == {"mean", "std", *_PREPARED}
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # open_clip says what is wrong with it


def _config(folder: Path) -> Any:
    return json.loads((folder / OPEN_CLIP_CONFIG).read_text(encoding="utf-8"))


class _SmallClip(nn.Module):
    """Both towers; parts have the names and order of open_clip's `CLIP`."""

    def __init__(self, width: int, text: dict[str, int]) -> None:
        super().__init__()
        inner, length = text["width"], text["context_length"]
        self.positional_embedding = nn.Parameter(torch.empty(length, inner))
        self.text_projection = nn.Parameter(torch.empty(inner, width))
        self.logit_scale = nn.Parameter(torch.empty([]))
        self.visual = nn.Sequential(
            OrderedDict(trunk=efficientnet_lite2(), head=_projection(width))
        )
        self.transformer = _Transformer(inner, text["heads"], text["layers"])
        vectors = torch.empty(VOCABULARY, inner)  # random ones would import torch._dynamo
        self.token_embedding = nn.Embedding(VOCABULARY, inner, _weight=vectors)
        self.ln_final = nn.LayerNorm(inner)


def _projection(width: int) -> nn.Sequential:
    parts = {"fc1": nn.Linear(FEATURES, 2 * width), "act": nn.GELU()}
    mlp = nn.Sequential(OrderedDict(parts, fc2=nn.Linear(2 * width, width)))
    return nn.Sequential(OrderedDict(mlp=mlp))


class _Transformer(nn.Module):
    """The blocks that `open_clip_text` takes apart."""

    grad_checkpointing = False

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))

    def get_cast_dtype(self) -> torch.dtype:
        """The type of the first hidden states."""
        return torch.float32


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads)
        self.ls_1 = nn.Identity()
        self.ln_2 = nn.LayerNorm(width)
        parts = {"c_fc": nn.Linear(width, 4 * width), "gelu": nn.GELU()}
        self.mlp = nn.Sequential(OrderedDict(parts, c_proj=nn.Linear(4 * width, width)))
        self.ls_2 = nn.Identity()
