"""Train the projection of an image tower alone, over what its trunk makes of each photo, kept.

The trunk (timm) is frozen, so its outputs are computed once for a few views of every photo and
the projection then trains in minutes on a processor. A run that is cut off while computing them
goes on where it was.
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

from geoclip.captions import CaptionBook
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.errors import GeoclipError
from geoclip.files import write_whole
from geoclip.training.batches import Batches, PhotoSet, photo_pixels, seeded_generator
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer
from geoclip.training.workers import Workers

DROPOUT = 0.3
_PHOTOS = 256
_BATCH = 32


def with_mlp_projection(start: OpenClipEncoder, seed: int = 0) -> OpenClipEncoder:
    """The same towers, the image trunk followed by an untrained MLP (one hidden layer, GELU)."""
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


def trunk_features(
    encoder: OpenClipEncoder, photos: PhotoSet, views: int, folder: Path, seed: int = 0
) -> np.ndarray:
    """Outputs (V, N, w) float16 of the image trunk for V views of N photos, kept in `folder`.

    View 0 is the photo as it is encoded for prediction, the others are augmented. A photo that
    cannot be read has NaN. Raises GeoclipError where `folder` keeps those of other photos or of
    another trunk.
    """
    trunk = _visual(encoder).trunk
    digest = hashlib.sha256("\n".join([*photos.ids, str(seed)]).encode(errors="surrogateescape"))
    for value in trunk.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    key = digest.hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "key.txt"
    if about.exists() and about.read_text() != key:
        raise GeoclipError(f"{folder} keeps features of other photos or weights; name another one.")
    write_whole(about, lambda file: file.write(key.encode()))
    encoder.model.eval()
    return np.stack(
        [np.concatenate(list(_view(encoder, photos, view, folder, seed))) for view in range(views)]
    )


def _view(
    encoder: OpenClipEncoder, photos: PhotoSet, view: int, folder: Path, seed: int
) -> Iterator[np.ndarray]:
    for start in range(0, len(photos), _PHOTOS):
        file = folder / f"view{view}-{start:07d}.npy"
        if not file.exists():
            part = range(start, min(start + _PHOTOS, len(photos)))
            values = _outputs(encoder, photos, part, view, seed).astype(np.float16)
            write_whole(file, partial(np.save, arr=values))
            print(f"view {view}: {part.stop} of {len(photos)} photos", flush=True)
        yield np.load(file)


@torch.inference_mode()
def _outputs(
    encoder: OpenClipEncoder, photos: PhotoSet, part: range, view: int, seed: int
) -> np.ndarray:
    def pixels(i: int) -> Tensor | None:
        rng = seeded_generator("view", seed, view, photos.ids[i]) if view else None
        return photo_pixels(encoder, photos.paths[i], rng)

    blank = torch.zeros(3, encoder.image_size, encoder.image_size)
    rows = []
    with ThreadPoolExecutor(torch.get_num_threads()) as readers:
        for start in range(part.start, part.stop, _BATCH):
            read = list(readers.map(pixels, range(start, min(start + _BATCH, part.stop))))
            stacked = torch.stack([blank if p is None else p for p in read]).to(encoder.device)
            stacked = stacked.contiguous(memory_format=encoder.memory_format)
            with torch.autocast(encoder.device.type, torch.bfloat16):
                found = _visual(encoder).trunk(stacked).float().cpu().numpy()
            found[[p is None for p in read]] = np.nan
            rows.append(found)
    return np.concatenate(rows)


class FeatureBatches(Batches):
    """Batches whose `pixels` (n, w) are features of a random view of each photo, drawn by epoch."""

    def __init__(self, features: np.ndarray, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.features = features

    def _pixels(self, i: int, epoch: int) -> Tensor | None:
        rng = seeded_generator("view", self.settings.seed, epoch, self.photos.ids[i])
        row = self.features[rng.integers(len(self.features)), i]
        return None if np.isnan(row[0]) else torch.from_numpy(row.astype(np.float32))

    def _blank(self) -> Tensor:
        return torch.zeros(self.features.shape[2])


def train_projection(
    encoder: OpenClipEncoder,
    features: np.ndarray,
    photos: PhotoSet,
    book: CaptionBook,
    settings: TrainingSettings,
) -> Iterator[dict[str, float]]:
    """Train the MLP behind the trunk in place, by the project's loss; yields each step's figures.

    `features` (V, N, w) come from `trunk_features`. Inside, they are standardised, which the
    MLP's first layer takes in at the end: the encoder then reads photos again.
    """
    visual, memory_format = _visual(encoder), encoder.memory_format
    plain = features[0].astype(np.float32)
    mean, std = np.nanmean(plain, axis=0), np.nanstd(plain, axis=0) + 1e-6
    standard = ((features.astype(np.float32) - mean) / std).astype(np.float16)
    trunk = visual.trunk
    # What comes in are its outputs; an encoder of photos asks for channels last, vectors have none.
    visual.trunk, encoder.memory_format = nn.Dropout(DROPOUT), torch.contiguous_format
    try:
        trainer = Trainer(encoder, photos, book, settings, Workers())
        trainer.batches = FeatureBatches(standard, encoder, book, photos, settings, trainer.workers)
        yield from trainer.run()
        trainer.finish()
    finally:
        visual.trunk, encoder.memory_format = trunk, memory_format
    first = visual.head.mlp.fc1
    with torch.no_grad():
        first.weight /= torch.from_numpy(std)
        first.bias -= first.weight @ torch.from_numpy(mean)
    encoder.model.requires_grad_(True)


def _visual(encoder: OpenClipEncoder) -> Any:
    return encoder.model.visual
