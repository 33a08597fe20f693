"""Pictures → pixels as open_clip prepares them for most models, without importing torchvision."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class SquarePixels:
    """Crop the central square after resizing the shorter side to `side` pixels.

    `mean` and `std` normalise each colour channel.
    """

    side: int
    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, image: Image.Image) -> Tensor:
        """An upright picture → pixels (3, S, S)."""
        square = self._cut(self._resized(image)).convert("RGB")
        pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return pixels.float().div(255).sub_(mean).div_(std)

    def _resized(self, image: Image.Image) -> Image.Image:
        short = min(image.size)
        width, height = (int(self.side * length / short) for length in image.size)
        if (width, height) == image.size:
            return image
        return image.resize((width, height), Image.Resampling.BICUBIC)

    def _cut(self, image: Image.Image) -> Image.Image:
        left, top = (round((length - self.side) / 2) for length in image.size)
        return image.crop((left, top, left + self.side, top + self.side))
