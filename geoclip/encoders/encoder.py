"""What the rest of the library asks of a vision-language encoder."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from geoclip.errors import GeoclipError

TEXT_BATCH = 128


class Encoder(ABC):
    """An image tower and a text tower with one embedding space.

    `preprocess` turns an upright RGB image into pixels (3, S, S). `image_size` is S: an image may
    be decoded at a smaller scale as long as no side falls below it. `warnings` are sentences that
    a user should see once (random weights, a corrected activation). `folder` is where the encoder
    was loaded from, if local.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        preprocess: Callable[[Image.Image], Tensor],
        image_size: int,
        warnings: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.model = model
        self.preprocess = preprocess
        self.image_size = image_size
        self.warnings = list(warnings)
        self.folder: Path | None = None

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        return f"{type(self).__name__}({self.name!r}, {millions:.1f} M parameters, {self.device})"

    @property
    @abstractmethod
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of each colour channel that `preprocess` removes."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Turn texts into tokens (C, L), L as short as is exact for this text tower."""

    def for_photos(self) -> "Encoder":
        """Make photos as fast as possible; the image tower must not be trained from now on."""
        return self

    @abstractmethod
    def raw_image_features(self, pixels: Tensor) -> Tensor:
        """Image tower: pixels (N, 3, S, S) → features (N, d) of any length."""

    @abstractmethod
    def raw_text_features(self, tokens: Tensor) -> Tensor:
        """Text tower: tokens (C, L) → features (C, d) of any length."""

    @abstractmethod
    def tower_parameters(self, tower: str) -> list[nn.Parameter]:
        """Parameters of the "image" or the "text" tower, projections included."""

    def checkpoint_activations(self) -> None:
        """Keep the inputs of the towers' blocks alone in training, and compute the rest again.

        Raises GeoclipError where the image tower cannot.
        """
        raise GeoclipError(
            f"The image tower of {self.name} has no activation checkpointing; leave it out, and "
            "give a smaller chunk_size if memory is short."
        )

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write a folder that the backend itself loads; weights as safetensors."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def log_logit_scale(self) -> Tensor:
        """Trainable logarithm of the logit scale."""
        return self.model.logit_scale  # type: ignore[return-value]

    @property
    def logit_bias(self) -> Tensor | None:
        """SigLIP's trainable bias; None for a CLIP that was not tuned with SigLIP's loss."""
        return getattr(self.model, "logit_bias", None)

    def add_logit_bias(self) -> None:
        """Give a model without one a trainable bias; NaN until training sets it from a batch."""
        self.model.logit_bias = nn.Parameter(torch.full_like(self.log_logit_scale, torch.nan))

    def image_features(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, S, S) → image embeddings (N, d) of unit length."""
        return F.normalize(self.raw_image_features(pixels), dim=-1)

    def text_features(self, tokens: Tensor) -> Tensor:
        """Tokens (C, L) → text embeddings (C, d) of unit length."""
        return F.normalize(self.raw_text_features(tokens), dim=-1)

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Upright RGB images → embeddings (N, d), float32, unit length."""
        self.model.eval()
        # A blank stands in where there is no image, so that d is known.
        used = list(images) or [Image.new("RGB", (self.image_size, self.image_size))]
        pixels = torch.stack([self.preprocess(image) for image in used])
        embeddings = self.image_features(pixels.to(self.device)).float().cpu().numpy()
        return embeddings[: len(images)]

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch_size: int = TEXT_BATCH) -> np.ndarray:
        """Texts → embeddings (C, d), float32, unit length; a repeated text is encoded once.

        Texts of similar length share a batch, so that there is little padding.
        """
        self.model.eval()
        # The empty text stands in where there is none, so that d is known.
        unique = sorted(set(texts), key=lambda text: (len(text), text)) or [""]
        batches = (unique[i : i + batch_size] for i in range(0, len(unique), batch_size))
        features = [self.text_features(self.tokenize(b).to(self.device)) for b in batches]
        embeddings = torch.cat(features).float().cpu().numpy()
        position = {text: i for i, text in enumerate(unique)}
        return embeddings[np.array([position[text] for text in texts], dtype=np.int64)]

    def fingerprint(self) -> str:
        """Short hash that changes when the text tower's weights or its tokenizer change.

        It covers a `weight_sample` of every text parameter.
        """
        digest = hashlib.sha256(type(self).__name__.encode())
        for parameter in self.tower_parameters("text"):
            digest.update(weight_sample(parameter))
        digest.update(self.tokenize(["Lyon, France, Ōsaka"]).numpy().tobytes())
        return digest.hexdigest()[:16]


def weight_sample(weights: Tensor, most: int = 4096) -> bytes:
    """Shape and an even sample of weights, for hashes of them.

    Hashing all weights of a large tower would take longer than loading it.
    """
    flat = weights.detach().reshape(-1)
    sample = flat[:: max(1, flat.numel() // most)].float().cpu().numpy()
    return str(tuple(weights.shape)).encode() + sample.tobytes()
