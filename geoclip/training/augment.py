"""Seeded changes to a training photo that leave its place recognisable."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

CROP_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Augmentation:
    """Strength of the changes to photos.

    `crop_area` is the range of the cropped share of a photo. Brightness, contrast and saturation
    are multiplied by a number from 1 - `colour` to 1 + `colour`. `mirror` mirrors every second
    photo; that costs evidence: writing, and the side of the road on which people drive.
    """

    crop_area: tuple[float, float] = (0.5, 1.0)
    colour: float = 0.25
    mirror: bool = False


AUGMENTATION = Augmentation()


def augment(
    image: Image.Image, size: int, rng: np.random.Generator, change: Augmentation = AUGMENTATION
) -> Image.Image:
    """Crop a random part of an RGB image, scale it to (size, size) and vary its colours."""
    box = random_box(image.size, rng, change.crop_area)
    image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(1 - change.colour, 1 + change.colour))
    if change.mirror and rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image


def random_box(
    size: tuple[int, int], rng: np.random.Generator, crop_area: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Draw a box (left, upper, right, lower) of an area in `crop_area` and of CROP_ASPECT."""
    width, height = size
    area = rng.uniform(*crop_area) * width * height
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
