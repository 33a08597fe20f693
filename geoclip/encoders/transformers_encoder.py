"""Encoders built and read by transformers (CLIP and SigLIP folders and hub models)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from geoclip.encoders.encoder import Encoder
from geoclip.support.files import let_others_read


class TransformersEncoder(Encoder):
    """A transformers dual encoder with its processor."""

    def __init__(self, name: str, model: Any, processor: Any, warnings: Sequence[str] = ()) -> None:
        image_size = model.config.vision_config.image_size
        super().__init__(name, model, self._preprocess, image_size, warnings)
        self.processor = processor
        self.causal = model.config.model_type == "clip"

    @classmethod
    def from_pretrained(cls, source: str | Path, local: bool = True) -> "TransformersEncoder":
        """Load from a folder, or by hub id where `local` is False; safetensors only."""
        import transformers  # noqa: PLC0415 (6 s of import)

        library: Any = transformers  # its typing of from_pretrained is incomplete
        options = {"local_files_only": local}
        model = library.AutoModel.from_pretrained(str(source), use_safetensors=True, **options)
        processor = library.AutoProcessor.from_pretrained(str(source), **options)
        return cls(str(source), model.float().eval(), processor)

    def _preprocess(self, image: Image.Image) -> Tensor:
        batch = self.processor.image_processor(images=[image], return_tensors="pt")
        pixels: Tensor = batch["pixel_values"][0]
        return pixels

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of each colour channel."""
        settings = self.processor.image_processor
        return settings.image_mean, settings.image_std

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Turn texts into tokens (C, L), cut to the longest for CLIP's causal tower."""
        length = self.model.config.text_config.max_position_embeddings  # type: ignore[union-attr]
        padding = "longest" if self.causal else "max_length"
        batch = self.processor.tokenizer(
            list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt"
        )
        tokens: Tensor = batch["input_ids"]
        return tokens

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        """Image tower: pixels (N, 3, S, S) → features (N, d)."""
        return _features(self.model.get_image_features(pixel_values=pixels))  # type: ignore[operator]

    def raw_text_features(self, tokens: Tensor) -> Tensor:
        """Text tower: tokens (C, L) → features (C, d)."""
        return _features(self.model.get_text_features(input_ids=tokens))  # type: ignore[operator]

    def tower_parameters(self, tower: str) -> list[nn.Parameter]:
        """Parameters of the "image" or the "text" tower, projections included."""
        prefixes = ("vision_model.", "visual_projection.")
        named = self.model.named_parameters()
        towers = [(n.startswith(prefixes), p) for n, p in named if not n.startswith("logit_")]
        return [p for is_image, p in towers if is_image == (tower == "image")]

    def save(self, folder: str | Path) -> None:
        """Write the folder that `transformers.AutoModel.from_pretrained` loads."""
        self.model.save_pretrained(str(folder))  # type: ignore[operator]
        for weights in Path(folder).glob("*.safetensors"):
            let_others_read(weights)
        self.processor.save_pretrained(str(folder))


def _features(output: Any) -> Tensor:
    """Features (N, d): transformers 5 wraps them in an output object, 4 returns them bare."""
    features: Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features
