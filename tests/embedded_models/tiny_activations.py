"""Cached activations of the first two stages of a tiny image tower."""

from pathlib import Path

import numpy as np
from torch import nn

from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.training.photo_set import PhotoSet
from pipelines.embedded_models.cached_activations import cached_activations, split_trunk


def cached_in(
    encoder: OpenClipEncoder, photos: PhotoSet, folder: Path, versions: int = 1
) -> tuple[nn.Module, np.ndarray]:
    """The other stages, and the activations that are cached in `folder`."""
    first, last = split_trunk(encoder, 2)
    return last, cached_activations(encoder, first, photos, versions, folder)
