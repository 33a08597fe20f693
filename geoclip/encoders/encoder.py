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

from geoclip.encoders.compiling import check_compiler
from geoclip.encoders.precision import (
    AUTO,
    FULL,
    WORTH_A_TRIAL,
    bears_half,
    check_precision,
    computing_in,
    kept_finding,
    of_gpu,
    try_out,
)
from geoclip.errors import GeoclipError

TEXT_BATCH, TEXT_BATCH_ON_GPU = 128, 1024


class Encoder(ABC):
    """An image tower and a text tower with one embedding space.

    `preprocess` turns an upright RGB image into pixels (3, S, S). `image_size` is S: an image may
    be decoded at a smaller scale as long as no side falls below it. `warnings` are sentences to
    show the user once (random weights, a corrected activation). `folder` is where the encoder was
    loaded from, if local. `text_precision` is the precision in which texts are encoded.
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
        self.text_precision = FULL
        self._precision = FULL

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        return f"{type(self).__name__}({self.name!r}, {millions:.1f} M parameters, {self.device})"

    @property
    def kind(self) -> str:
        """The way it computes, as `fingerprint` and keys of embeddings name it."""
        return type(self).__name__

    @property
    @abstractmethod
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of each colour channel, as used by `preprocess`."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Turn texts into tokens (C, L); L is the shortest that stays exact for this text tower."""

    def for_photos(self, precision: str = FULL, compile: bool = False) -> "Encoder":
        """Make encoding photos as fast as possible; the image tower must not be trained afterwards.

        `precision` is one of `precision.PRECISIONS`, and holds for texts too, but "auto" leaves
        texts in float32: they are encoded once, and every answer depends on them. "auto" also
        leaves convolutional towers in float32 (`bears_half`). On a CPU "auto" is float32 until
        `expect` has decided. `compile` lets PyTorch compile the image tower, which takes minutes
        once. Raises GeoclipError for a precision that the device lacks, and where PyTorch cannot
        compile.
        """
        check_precision(precision, self.device)
        self.text_precision = FULL if precision == AUTO else precision
        if precision == AUTO and not bears_half(self.image_tower):
            precision = FULL
        elif precision == AUTO and self.device.type != "cpu":
            precision = of_gpu(self.device)
        self._precision = precision
        if compile:
            check_compiler(self.device)
            self.image_tower.compile()
        return self

    @property
    def image_tower(self) -> nn.Module:
        """The module that encodes photos."""
        return self.model

    @property
    def precision(self) -> str:
        """The precision in which photos are encoded; float32 until "auto" is decided."""
        return FULL if self._precision == AUTO else self._precision

    def expect(self, photos: int) -> None:
        """Decide what "auto" means on a CPU, before this many photos are encoded.

        An earlier trial on this machine decides; without one, a trial runs from `WORTH_A_TRIAL`
        photos on.
        """
        if self._precision == AUTO:
            found = kept_finding("photos", self.image_tower)
            if found is None and photos >= WORTH_A_TRIAL:
                found = try_out("photos", self.image_tower, self._encode_noise)
            self._precision = found or AUTO

    def _encode_noise(self, precision: str, photos: int) -> None:
        generator = torch.Generator().manual_seed(0)
        side = self.image_size
        self._embedded(torch.randn(photos, 3, side, side, generator=generator), precision)

    @abstractmethod
    def raw_image_features(self, pixels: Tensor) -> Tensor:
        """Image tower: pixels (N, 3, S, S) → features (N, d) of any length."""

    @abstractmethod
    def raw_text_features(self, tokens: Tensor) -> Tensor:
        """Text tower: tokens (C, L) → features (C, d) of any length."""

    @abstractmethod
    def tower_parameters(self, tower: str) -> list[nn.Parameter]:
        """Parameters of the "image" or the "text" tower, projections included."""

    def image_tensors(self) -> list[Tensor]:
        """Weights and statistics of the image tower as they were saved, for keys of embeddings."""
        return [*self.tower_parameters("image"), *self.model.buffers()]

    def checkpoint_activations(self) -> None:
        """In training keep only the inputs of the towers' blocks, and compute the rest again.

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

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Upright RGB images → embeddings (N, d), float32, unit length."""
        # A blank stands in where there is no image, so that d is known.
        used = list(images) or [Image.new("RGB", (self.image_size, self.image_size))]
        pixels = torch.stack([self.preprocess(image) for image in used])
        return self.encode_pixels(pixels)[: len(images)]

    def encode_pixels(self, pixels: Tensor) -> np.ndarray:
        """Pixels (N, 3, S, S) → embeddings (N, d), float32, unit length, in `precision`."""
        return self._embedded(pixels, self.precision)

    @torch.inference_mode()
    def _embedded(self, pixels: Tensor, precision: str) -> np.ndarray:
        self.model.eval()
        with computing_in(precision, self.device):
            features = self.raw_image_features(pixels.to(self.device))
        embeddings: np.ndarray = F.normalize(features.float(), dim=-1).cpu().numpy()
        return embeddings

    @torch.inference_mode()
    def encode_texts(
        self,
        texts: Sequence[str],
        batch_size: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Texts → embeddings (C, d), float32, unit length; a repeated text is encoded once.

        Texts of similar length share a batch, so that there is little padding. `progress` is called
        with the number of distinct texts of each batch.
        """
        self.model.eval()
        batch_size = batch_size or (TEXT_BATCH if self.device.type == "cpu" else TEXT_BATCH_ON_GPU)
        # The empty text stands in where there is none, so that d is known.
        unique = sorted(set(texts), key=lambda text: (len(text), text)) or [""]
        features = []
        for start in range(0, len(unique), batch_size):
            batch = unique[start : start + batch_size]
            with computing_in(self.text_precision, self.device):
                features.append(self.raw_text_features(self.tokenize(batch).to(self.device)))
            if progress:
                progress(len(batch))
        embeddings = F.normalize(torch.cat(features).float(), dim=-1).cpu().numpy()
        position = {text: i for i, text in enumerate(unique)}
        return embeddings[np.array([position[text] for text in texts], dtype=np.int64)]

    def fingerprint(self) -> str:
        """Short hash that changes when the text tower's weights or its tokenizer change.

        It covers a `weight_sample` of every text parameter.
        """
        digest = hashlib.sha256(self.kind.encode())
        for parameter in self.tower_parameters("text"):
            digest.update(weight_sample(parameter))
        digest.update(self.tokenize(["Lyon, France, Ōsaka"]).numpy().tobytes())
        return digest.hexdigest()[:16]


def weight_sample(weights: Tensor, most: int = 4096) -> bytes:
    """Shape and an even sample of weights, for hashes.

    Hashing all weights of a large tower would take longer than loading it.
    """
    flat = weights.detach().reshape(-1)
    sample = flat[:: max(1, flat.numel() // most)].float().cpu().numpy()
    return str(tuple(weights.shape)).encode() + sample.tobytes()
