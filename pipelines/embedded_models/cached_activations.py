"""Cached activations: the outputs of an image tower's first stages for each photo, on disk.

The first stages are frozen while the last ones are trained (`last_stages.py`), so a few versions
of every photo pass them once. An interrupted run resumes after the last photos cached.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.errors import GeoclipError
from geoclip.support.files import write_whole
from geoclip.training.photo_set import PhotoSet
from geoclip.training.pictures import PictureReader, Showing, picture_pixels

DROPOUT = 0.3
_PHOTOS = 256
_BATCH = 32


def with_mlp_projection(start: OpenClipEncoder, seed: int = 0) -> OpenClipEncoder:
    """The same towers; an untrained MLP (one hidden layer, GELU) follows the image trunk."""
    config = deepcopy(start.model_config)
    config["vision_cfg"].update(timm_proj="mlp", timm_proj_bias=True, timm_drop=DROPOUT)
    mean, std = start.normalization
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = OpenClipEncoder.from_config("with projection", config, mean=mean, std=std)
    encoder.tokenizer = start.tokenizer
    head = "visual.head."
    weights = {k: v for k, v in start.model.state_dict().items() if not k.startswith(head)}
    missing, unknown = encoder.model.load_state_dict(weights, strict=False)
    if unknown or not all(name.startswith(head) for name in missing):
        raise GeoclipError(f"{start.name} has no timm image tower whose projection can be trained.")
    return encoder


def split_trunk(encoder: OpenClipEncoder, stages: int) -> tuple[nn.Module, nn.Module]:
    """The image trunk's stem with its first `stages` stages, and the rest up to its pooling.

    Both share their weights with the encoder. Raises GeoclipError for a trunk of another kind.
    """
    trunk: Any = getattr(_visual(encoder), "trunk", None)
    parts = ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "global_pool")
    if not all(hasattr(trunk, part) for part in parts) or not 0 < stages < len(trunk.blocks):
        raise GeoclipError(
            f"{encoder.name} has no EfficientNet of more than {stages} stages; name another tower."
        )
    first = nn.Sequential(trunk.conv_stem, trunk.bn1, *trunk.blocks[:stages])
    last = nn.Sequential(*trunk.blocks[stages:], trunk.conv_head, trunk.bn2, trunk.global_pool)
    return first, last


def cached_activations(
    encoder: OpenClipEncoder, stages: nn.Module, photos: PhotoSet, versions: int, folder: Path
) -> np.ndarray:
    """Activations (V, N, C, H, W) float16 of V versions of N photos, cached in `folder`.

    Version 0 is the photo as encoded for prediction, the others are augmented. An unreadable photo
    has NaN. Raises GeoclipError if `folder` holds activations of other photos or another trunk.
    """
    digest = hashlib.sha256("\n".join(photos.ids).encode(errors="surrogateescape"))
    for value in stages.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    claim_folder(folder, digest.hexdigest(), "activations of other photos or weights")
    encoder.model.eval()
    return np.stack(
        [
            np.concatenate(list(_version(encoder, stages, photos, version, folder)))
            for version in range(versions)
        ]
    )


def claim_folder(folder: Path, key: str, others: str) -> None:
    """Mark `folder` as holding the data of `key`; GeoclipError if it holds `others`."""
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "key.txt"
    if about.exists() and about.read_text() != key:
        raise GeoclipError(f"{folder} holds {others}; name another one.")
    write_whole(about, lambda file: file.write(key.encode()))


def _version(
    encoder: OpenClipEncoder, stages: nn.Module, photos: PhotoSet, version: int, folder: Path
) -> Iterator[np.ndarray]:
    for start in range(0, len(photos), _PHOTOS):
        file = folder / f"view{version}-{start:07d}.npy"
        if not file.exists():
            part = range(start, min(start + _PHOTOS, len(photos)))
            values = _of_photos(encoder, stages, photos, part, version).astype(np.float16)
            write_whole(file, partial(np.save, arr=values))
            print(f"version {version}: {part.stop} of {len(photos)} photos", flush=True)
        yield np.load(file)


@torch.inference_mode()
def _of_photos(
    encoder: OpenClipEncoder, stages: nn.Module, photos: PhotoSet, part: range, version: int
) -> np.ndarray:
    def pixels(i: int) -> Tensor | None:
        key = ("view", version, photos.ids[i]) if version else None
        return picture_pixels(encoder, picture(Showing(photos.paths[i], key)), bool(version))

    picture = PictureReader(encoder.image_size)
    blank = torch.zeros(3, encoder.image_size, encoder.image_size)
    rows = []
    with ThreadPoolExecutor(torch.get_num_threads()) as readers:
        for start in range(part.start, part.stop, _BATCH):
            read = list(readers.map(pixels, range(start, min(start + _BATCH, part.stop))))
            stacked = torch.stack([blank if p is None else p for p in read])
            found = _passed(encoder, stages, stacked)
            found[[p is None for p in read]] = np.nan
            rows.append(found)
    return np.concatenate(rows)


@torch.inference_mode()
def _passed(encoder: OpenClipEncoder, stages: nn.Module, inputs: Tensor) -> np.ndarray:
    """Outputs float32 of part of the trunk, computed in bfloat16."""
    inputs = inputs.to(encoder.device).contiguous(memory_format=encoder.memory_format)
    with torch.autocast(encoder.device.type, torch.bfloat16):
        activations: np.ndarray = stages(inputs).float().cpu().numpy()
    return activations


def pooled_features(
    encoder: OpenClipEncoder, stages: nn.Module, activations: np.ndarray
) -> np.ndarray:
    """The trunk's features (V, N, w) float16: its last stages over the cached activations."""
    encoder.model.eval()
    return np.stack(
        [
            np.concatenate(
                [
                    _passed(encoder, stages, torch.from_numpy(version[i : i + _BATCH].astype("f4")))
                    for i in range(0, len(version), _BATCH)
                ]
            ).astype(np.float16)
            for version in activations
        ]
    )


def _visual(encoder: OpenClipEncoder) -> Any:
    return encoder.model.visual
