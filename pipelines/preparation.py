"""An encoder's preparation of photos, known to processes without the encoder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geoclip.encoders import Encoder

BYTES = 256
"""Values of a byte."""


@dataclass(frozen=True)
class Preparation:
    """The facts about the encoder of `model` that other processes need.

    `preprocess`, `image_size` and `log_logit_scale` are the encoder's; a picture's pixels have
    `shape` (3, H, W). Preprocessing ends with a function of each channel's bytes, whose values are
    `levels` (3, 256): such pixels are sent as bytes, a quarter of their size, without loss. If
    `levels` is None pixels have other values, and are sent unchanged.
    """

    model: str
    preprocess: Callable[[Image.Image], Tensor]
    image_size: int
    shape: tuple[int, ...]
    levels: Tensor | None
    log_logit_scale: Tensor

    @classmethod
    def of(cls, model: str, encoder: Encoder) -> "Preparation":
        """The preparation of an encoder; `levels` come from a picture that needs no resizing."""
        preprocess, side = encoder.preprocess, encoder.image_size
        shape = tuple(preprocess(Image.new("RGB", (side, side))).shape)
        ramp = _picture(np.arange(shape[1] * shape[2]).reshape(shape[1:]) % BYTES)
        pixels = preprocess(ramp)
        scale = encoder.log_logit_scale.detach().cpu()
        floats = cls(model, preprocess, side, shape, None, scale)
        levels = pixels.flatten(1)[:, :BYTES].clone()
        return floats if levels.shape[1] < BYTES else replace(floats, levels=levels)._checked()

    def _checked(self) -> "Preparation":
        """The same, without levels if a picture's pixels have other values than these."""
        height, width = self.shape[1:]
        noise = np.random.default_rng(0).integers(0, BYTES, (2 * height + 1, 2 * width + 3))
        pixels = self.preprocess(_picture(noise))[None]
        exact = torch.equal(self.unpacked(self.packed(pixels)), pixels)
        return self if exact else replace(self, levels=None)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a picture's pixels when sent."""
        return prod(self.shape) * (1 if self.levels is not None else torch.float32.itemsize)

    def packed(self, pixels: Tensor) -> Tensor:
        """Pixels (F, 3, H, W) → (F, `frame_bytes`) of uint8."""
        if self.levels is None:
            return pixels.float().contiguous().flatten(1).view(torch.uint8)
        low, high = (self.levels[:, i, None, None] for i in (0, -1))
        codes = (pixels - low) * ((BYTES - 1) / (high - low))
        return codes.round().to(torch.uint8).flatten(1)

    def unpacked(self, packed: Tensor) -> Tensor:
        """The pixels (F, 3, H, W) again, on the device that `packed` is on."""
        if self.levels is None:
            return packed.view(torch.float32).view(-1, *self.shape)
        channels = packed.view(len(packed), len(self.levels), -1).unbind(1)
        values = [
            own.index_select(0, codes.reshape(-1).int()).view(-1, *self.shape[1:])
            for own, codes in zip(self.levels.to(packed.device), channels, strict=True)
        ]
        return torch.stack(values, 1)


def _picture(grey: np.ndarray) -> Image.Image:
    return Image.fromarray(np.repeat(grey[..., None].astype(np.uint8), 3, axis=2))
