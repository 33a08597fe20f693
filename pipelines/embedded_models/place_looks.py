"""The looks of places, by GeoCLIP's location encoder.

Vivanco Cepeda, Nayak, Shah 2023, arXiv 2309.16020.

That encoder was trained to put a position near the CLIP embeddings of Flickr photos taken there, so
positions that look alike have similar vectors. Its weights (MIT) are in the wheel of the PyPI
distribution `geoclip`, which must never be installed beside this project: unpack the wheel and
convert `location_encoder_weights.pth` with `geoclip models convert`.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from geoclip.errors import GeoclipError

_DEGREES_TO_UNITS = 66.50336 / 180
"""GeoCLIP's scale of the projected plane."""
_CHUNK = 4096


def place_looks(weights: Path, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Unit vectors (P, 512) float32 of positions (P,) in degrees.

    `weights` is the location encoder as safetensors. Raises GeoclipError for anything else.
    """
    try:
        stored = load_file(weights)
        branches = sorted({name.split(".")[0] for name in stored})
        plane = torch.from_numpy(equal_earth(lat, lon)).float()
        with torch.inference_mode():
            chunks = [_encode(stored, branches, part) for part in torch.split(plane, _CHUNK)]
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise GeoclipError(
            f"{weights} does not hold GeoCLIP's location encoder ({error}); convert "
            "location_encoder_weights.pth of its wheel with: geoclip models convert."
        ) from error
    return F.normalize(torch.cat(chunks), dim=-1).numpy()


def equal_earth(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Equal Earth projection (Šavrič, Patterson, Jenny 2019) in GeoCLIP's units, (P, 2)."""
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(np.radians(lat)))
    slope = a1 + 3 * a2 * theta**2 + 7 * a3 * theta**6 + 9 * a4 * theta**8
    x = 2 * np.sqrt(3) * np.radians(lon) * np.cos(theta) / (3 * slope)
    y = a1 * theta + a2 * theta**3 + a3 * theta**7 + a4 * theta**9
    return np.stack([x, y], axis=1) * _DEGREES_TO_UNITS


def _encode(stored: dict[str, Tensor], branches: list[str], plane: Tensor) -> Tensor:
    """Sum of the branches: random Fourier features of one scale, then four linear layers."""
    return sum((_branch(stored, name, plane) for name in branches), torch.zeros(()))


def _branch(stored: dict[str, Tensor], name: str, plane: Tensor) -> Tensor:
    angles = 2 * np.pi * plane @ stored[f"{name}.capsule.0.b"].T
    x = torch.cat([angles.cos(), angles.sin()], dim=-1)
    for layer in (1, 3, 5):
        x = F.relu(_linear(stored, f"{name}.capsule.{layer}", x))
    return _linear(stored, f"{name}.head.0", x)


def _linear(stored: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, stored[f"{name}.weight"], stored[f"{name}.bias"])
