"""Seeded changes to a training photo that leave its place recognisable."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

CROP_AREA = (0.5, 1.0)
CROP_ASPECT = (3 / 4, 4 / 3)
JITTER = 0.25


def augment(image: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """Cut a random part out of an RGB image, scale it to (size, size) and vary its colours.

    Never mirrored: the side of the road on which people drive is evidence.
    """
    image = image.resize((size, size), Image.Resampling.BICUBIC, box=random_box(image.size, rng))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(1 - JITTER, 1 + JITTER))
    return image


def random_box(
    size: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw a box (left, upper, right, lower) of CROP_AREA and CROP_ASPECT inside an image."""
    width, height = size
    area = rng.uniform(*CROP_AREA) * width * height
    aspect = np.exp(rng.uniform(*np.log(CROP_ASPECT)))
    w = min(width, np.sqrt(area * aspect))
    h = min(height, np.sqrt(area / aspect))
    left, upper = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return left, upper, left + w, upper + h


def to_pixels(image: Image.Image, normalization: tuple[Sequence[float], Sequence[float]]) -> Tensor:
    """RGB image (S, S) → normalised pixels (3, S, S), float32."""
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(channel).view(3, 1, 1) for channel in normalization)
    return (values - mean) / std
