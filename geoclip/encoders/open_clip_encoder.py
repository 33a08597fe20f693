"""Encoders built and read by open_clip."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import Tensor, nn

from geoclip.encoders.checks import check_texts
from geoclip.encoders.clip_tokens import without_padding
from geoclip.encoders.encoder import Encoder
from geoclip.encoders.folding import folded
from geoclip.encoders.model_folder import OPEN_CLIP_CONFIG, WEIGHTS_FILES, ModelFolder
from geoclip.encoders.open_clip_text import encode_causal_text
from geoclip.encoders.precision import FULL
from geoclip.errors import GeoclipError
from geoclip.support.files import write_tensors

WEIGHTS_FILE = WEIGHTS_FILES["open_clip"]


class OpenClipEncoder(Encoder):
    """An open_clip model with its tokenizer, its preprocessing and its config."""

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        model_config: dict[str, Any],
        warnings: Sequence[str] = (),
    ) -> None:
        self.preprocess_config = dict(open_clip.get_model_preprocess_cfg(model))
        transform = image_transform_v2(PreprocessCfg(**self.preprocess_config), is_train=False)
        size = model.visual.image_size
        short_side = size if isinstance(size, int) else max(size)
        super().__init__(name, model, transform, short_side, warnings)
        self.tokenizer = tokenizer
        self.model_config = model_config
        # Convolutions are several times faster in this layout, on CPUs and GPUs.
        convolves = "timm_model_name" in model_config.get("vision_cfg", {})
        convolves = convolves and not _skips_pixels(model.visual)
        self.memory_format = torch.channels_last if convolves else torch.contiguous_format
        model.visual.to(memory_format=self.memory_format)
        self._photo_tower: nn.Module | None = None

    @classmethod
    def from_folder(cls, folder: Path) -> "OpenClipEncoder":
        """Load `open_clip_config.json` and safetensors weights from a local folder.

        The weights are chosen here: open_clip itself prefers some pickles to safetensors. Raises
        GeoclipError where texts do not fit the text tower.
        """
        reference = f"local-dir:{folder}"
        with _quiet():
            config = open_clip.get_model_config(reference)
            model = open_clip.create_model(reference, load_weights=False, pretrained_text=False)
            open_clip.load_checkpoint(model, str(ModelFolder.read(folder).weights[0]))
            tokenizer = open_clip.get_tokenizer(reference)
        encoder = cls(str(folder), model.eval(), tokenizer, config)
        text = config["text_cfg"]
        if text.get("hf_tokenizer_name"):  # files in the folder; CLIP's own comes with open_clip
            check_texts(encoder, folder, text.get("vocab_size", sys.maxsize))
        return encoder

    @classmethod
    def from_reference(
        cls,
        reference: str,
        tag: str | None = None,
        name: str | None = None,
        weights: Path | None = None,
    ) -> "OpenClipEncoder":
        """Load by open_clip's names of an architecture and of its weights.

        `weights` is the file of the tag, for which open_clip asks the hub where it is not given.
        Tag "random" gives random weights and a warning. A tag whose weights were trained with
        QuickGELU is loaded with QuickGELU, whatever the architecture's own setting.
        """
        warnings = []
        random_weights = tag == "random"
        if random_weights:
            warnings.append(
                f"{reference} has random weights: its answers mean nothing (tests only)."
            )
        # What the tag says of pictures, which open_clip does not look up for a file.
        pictures = weights and open_clip.get_pretrained_cfg(reference, str(tag))
        trained = tag is not None and not random_weights
        quick_gelu = trained and _tag_uses_quick_gelu(reference, str(tag))
        with _quiet():
            config = open_clip.get_model_config(reference)
            if quick_gelu and not config.get("quick_gelu", False):
                config["quick_gelu"] = True
                warnings.append(f"{reference}:{tag} was trained with QuickGELU; it is switched on.")
            model = open_clip.create_model(
                reference,
                pretrained=None if random_weights else str(weights or tag),
                force_quick_gelu=quick_gelu,
                force_preprocess_cfg=pictures,
                pretrained_text=False,
            )
            tokenizer = open_clip.get_tokenizer(reference)
        return cls(name or reference, model.eval(), tokenizer, config, warnings)

    @classmethod
    def from_config(cls, name: str, config: dict[str, Any], **preprocess: Any) -> "OpenClipEncoder":
        """Build a model of random weights from an open_clip model config, with a warning."""
        kwargs = deepcopy(config)
        custom_text = kwargs.pop("custom_text", False)
        model = (open_clip.CustomTextCLIP if custom_text else open_clip.CLIP)(**kwargs)
        settings = PreprocessCfg(size=model.visual.image_size, **preprocess)
        open_clip.set_model_preprocess_cfg(model, vars(settings))
        tokenizer = open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
        warning = f"{name} has random weights: its answers mean nothing (tests only)."
        return cls(name, model.eval(), tokenizer, config, [warning])

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of each colour channel."""
        return self.preprocess_config["mean"], self.preprocess_config["std"]

    @property
    def _text_tower(self) -> Any:
        return getattr(self.model, "text", self.model)

    @property
    def can_cut(self) -> bool:
        """Whether tokens after a text's end have no effect, so that cutting them is exact.

        True for causal towers that read the embedding off the end token, not for SigLIP's.
        """
        tower = self._text_tower
        causal = getattr(tower, "attn_mask", None) is not None
        return causal and _pool_type(tower) in ("argmax", "eos") and _class_token(tower) is None

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Turn texts into tokens (C, L), cut to the longest where that is exact."""
        tokens: Tensor = self.tokenizer(list(texts))
        return without_padding(tokens) if self.can_cut else tokens

    def add_logit_bias(self) -> None:
        """Add a trainable bias to the model and to the config from which open_clip rebuilds it."""
        super().add_logit_bias()
        self.model_config = {**self.model_config, "init_logit_bias": 0.0}

    def for_photos(self, precision: str = FULL, compile: bool = False) -> "OpenClipEncoder":
        """Fold batch normalisations; the image tower must not be trained afterwards."""
        self._photo_tower = folded(self.model.visual)  # type: ignore[arg-type]
        for part in self.model.modules():
            if isinstance(part, nn.MultiheadAttention) and not part._forward_pre_hooks:
                part.register_forward_pre_hook(_position_by_position)
        super().for_photos(precision, compile)
        return self

    @property
    def image_tower(self) -> nn.Module:
        """The image tower, or its folded copy if there is one."""
        return self._photo_tower or self.model.visual  # type: ignore[return-value]

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        """Image tower: pixels (N, 3, S, S) → features (N, d)."""
        pixels = pixels.contiguous(memory_format=self.memory_format)
        model: Any = self.model
        tower = model.encode_image if self._photo_tower is None else self._photo_tower
        features: Tensor = tower(pixels)
        return features

    def raw_text_features(self, tokens: Tensor) -> Tensor:
        """Text tower: tokens (C, L) → features (C, d)."""
        if self.can_cut:
            return encode_causal_text(self._text_tower, tokens)
        model: Any = self.model
        features: Tensor = model.encode_text(tokens)
        return features

    def tower_parameters(self, tower: str) -> list[nn.Parameter]:
        """Parameters of the "image" or the "text" tower; the logit scale is in neither."""
        named = self.model.named_parameters()
        scalars = ("logit_scale", "logit_bias")
        towers = [(n.startswith("visual."), p) for n, p in named if n not in scalars]
        return [p for is_image, p in towers if is_image == (tower == "image")]

    def checkpoint_activations(self) -> None:
        """Let the backward pass compute the activations inside blocks again."""
        visual: Any = self.model.visual
        try:
            if hasattr(visual, "trunk"):  # open_clip would silently do nothing
                visual.trunk.set_grad_checkpointing(True)
            elif not hasattr(visual, "transformer"):
                raise NotImplementedError
            self.model.set_grad_checkpointing(True)  # type: ignore[operator]
        except (AssertionError, AttributeError, NotImplementedError):
            super().checkpoint_activations()

    def save(self, folder: str | Path) -> None:
        """Write the folder that `open_clip.create_model("local-dir:FOLDER")` loads."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / WEIGHTS_FILE, self.model.state_dict())
        keep = ("mean", "std", "interpolation", "resize_mode")
        preprocess = {key: self.preprocess_config[key] for key in keep}
        config = {"model_cfg": self.model_config, "preprocess_cfg": preprocess}
        (folder / OPEN_CLIP_CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        if hasattr(self.tokenizer, "save_pretrained"):
            self.tokenizer.save_pretrained(str(folder))


def _position_by_position(attention: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Lay out tokens (N, L, w) in memory as an attention takes them, position by position.

    In any other layout PyTorch 2.14 copies half-precision weights for each position: 14 times the
    time of float32 on CPUs, and gigabytes.
    """
    tokens = inputs[0]
    laid_out = tokens.transpose(0, 1).contiguous().transpose(0, 1)
    return tuple(laid_out if given is tokens else given for given in inputs)


def _skips_pixels(tower: nn.Module) -> bool:
    """Whether a tower has a 1 × 1 convolution of stride 2, as MobileCLIP's towers have.

    In channels-last order its gradient writes beyond its memory on CPUs (PyTorch 2.14): the process
    ends without a message.
    """
    convolutions = (part for part in tower.modules() if isinstance(part, nn.Conv2d))
    points = (part for part in convolutions if part.in_channels == 3 and part.kernel_size == (1, 1))
    return any(part.stride != (1, 1) for part in points)


def _pool_type(tower: Any) -> str:
    return str(getattr(tower, "text_pool_type", getattr(tower, "pool_type", "")))


def _class_token(tower: Any) -> Any:
    return getattr(tower, "cls_emb", None)


def _tag_uses_quick_gelu(architecture: str, tag: str) -> bool:
    """Whether a tag was trained with QuickGELU; raises if only the architecture uses it."""
    trained_with = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    built_with = (open_clip.get_model_config(architecture) or {}).get("quick_gelu", False)
    if built_with and not trained_with:
        raise GeoclipError(
            f"{architecture}:{tag} was trained without QuickGELU; "
            f"use {architecture.removesuffix('-quickgelu')}:{tag}."
        )
    return bool(trained_with)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip's log lines about loading; our own warnings say what matters."""
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
