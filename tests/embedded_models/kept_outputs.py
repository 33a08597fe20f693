"""What the first two stages of a tiny image tower make of photos."""

from pathlib import Path

import numpy as np
from torch import nn

from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.training.batches import PhotoSet
from pipelines.embedded_models.cached_activations import split_trunk, stage_outputs


def kept_outputs(
    encoder: OpenClipEncoder, photos: PhotoSet, folder: Path, views: int = 1
) -> tuple[nn.Module, np.ndarray]:
    """The other stages, and the outputs that are kept in `folder`."""
    first, last = split_trunk(encoder, 2)
    return last, stage_outputs(encoder, first, photos, views, folder)
