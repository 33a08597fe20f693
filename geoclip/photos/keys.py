"""Keys that change with the inputs of a record: the file, the encoder, the reading options."""

import hashlib
import os

import numpy as np
from PIL import Image

from geoclip.encoders import Encoder
from geoclip.encoders.encoder import weight_sample
from geoclip.encoders.precision import FULL


def photo_key(path: str | os.PathLike[str]) -> bytes:
    """Sixteen bytes that change with a file's path, size, modification time or permissions."""
    name = os.path.abspath(path)  # noqa: PTH100 (links are not followed)
    try:
        info = os.stat(name)  # noqa: PTH116
        state = (info.st_size, info.st_mtime_ns, info.st_mode)
    except (OSError, ValueError):
        state = (-1, 0, 0)
    return hashlib.sha256(os.fsencode(name) + repr(state).encode()).digest()[:16]


def encoder_key(encoder: Encoder, *options: object) -> str:
    """Hash that changes with the image tower, its precision, its input and the `options`."""
    key = tower_key(encoder, *options)
    if encoder.precision == FULL:
        return key
    return hashlib.sha256(f"{key}{encoder.precision}".encode()).hexdigest()[:20]


def tower_key(encoder: Encoder, *options: object) -> str:
    """Hash that changes with the image tower, its input and the `options`.

    Embeddings of all precisions lie in one space and may be compared.
    """
    digest = hashlib.sha256(encoder.kind.encode())
    for tensor in encoder.image_tensors():
        digest.update(weight_sample(tensor))
    digest.update(repr((encoder.image_size, encoder.normalization, options)).encode())
    digest.update(_fed_to(encoder))
    return digest.hexdigest()[:20]


def _fed_to(encoder: Encoder) -> bytes:
    """The preprocessed form of a noise picture, coarsely: it shows the resizing and cropping."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 301, 3), dtype=np.uint8)
    pixels = encoder.preprocess(Image.fromarray(noise)).float().numpy()
    return np.round(4 * pixels).astype(np.int16).tobytes()
