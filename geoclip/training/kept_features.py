"""Train the last stages of an image tower over what its first stages make of each photo, kept.

The first stages (timm's EfficientNet) are frozen, so their outputs are computed once for a few
views of every photo. First the projection is trained alone, over the frozen trunk, then the last
stages with it (linear probing, then fine-tuning; Kumar et al. 2022, arXiv 2202.10054): a photo of a
country without training photos loses less so than where all start at once. While the stages are
tuned they see another part of a kept map each time, as a random crop of the photo would show. What
comes out is the mean of the weights of several such tunings, each itself a running mean (model
soups; Wortsman et al. 2022, arXiv 2203.05482). A run that is cut off while photos are read goes on
where it was.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geoclip.captions import CaptionBook
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.errors import GeoclipError
from geoclip.files import write_whole
from geoclip.training.batches import Batches, PhotoSet, photo_pixels, seeded_generator
from geoclip.training.neighbourhoods import Neighbourhoods
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer
from geoclip.training.workers import Workers

DROPOUT = 0.3
CROP_SIDE = 0.75
"""Of a kept map's height and width: what a step of tuning sees, at half the work."""
AVERAGING = 0.98
"""What the running mean of the tuned weights keeps of itself at each step."""
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


def stage_outputs(
    encoder: OpenClipEncoder, stages: nn.Module, photos: PhotoSet, views: int, folder: Path
) -> np.ndarray:
    """What the first stages make of V views of N photos, (V, N, C, H, W) float16, kept in `folder`.

    View 0 is the photo as it is encoded for prediction, the others are augmented. A photo that
    cannot be read has NaN. Raises GeoclipError where `folder` keeps those of other photos or of
    another trunk.
    """
    digest = hashlib.sha256("\n".join(photos.ids).encode(errors="surrogateescape"))
    for value in stages.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    key = digest.hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "key.txt"
    if about.exists() and about.read_text() != key:
        raise GeoclipError(f"{folder} keeps features of other photos or weights; name another one.")
    write_whole(about, lambda file: file.write(key.encode()))
    encoder.model.eval()
    return np.stack(
        [
            np.concatenate(list(_view(encoder, stages, photos, view, folder)))
            for view in range(views)
        ]
    )


def _view(
    encoder: OpenClipEncoder, stages: nn.Module, photos: PhotoSet, view: int, folder: Path
) -> Iterator[np.ndarray]:
    for start in range(0, len(photos), _PHOTOS):
        file = folder / f"view{view}-{start:07d}.npy"
        if not file.exists():
            part = range(start, min(start + _PHOTOS, len(photos)))
            values = _of_photos(encoder, stages, photos, part, view).astype(np.float16)
            write_whole(file, partial(np.save, arr=values))
            print(f"view {view}: {part.stop} of {len(photos)} photos", flush=True)
        yield np.load(file)


@torch.inference_mode()
def _of_photos(
    encoder: OpenClipEncoder, stages: nn.Module, photos: PhotoSet, part: range, view: int
) -> np.ndarray:
    def pixels(i: int) -> Tensor | None:
        rng = seeded_generator("view", view, photos.ids[i]) if view else None
        return photo_pixels(encoder, photos.paths[i], rng)

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
        return stages(inputs).float().cpu().numpy()


def pooled_features(encoder: OpenClipEncoder, stages: nn.Module, outputs: np.ndarray) -> np.ndarray:
    """The trunk's features (V, N, w) float16: its last stages over the first ones' outputs."""
    encoder.model.eval()
    return np.stack(
        [
            np.concatenate(
                [
                    _passed(encoder, stages, torch.from_numpy(view[i : i + _BATCH].astype("f4")))
                    for i in range(0, len(view), _BATCH)
                ]
            ).astype(np.float16)
            for view in outputs
        ]
    )


class FeatureBatches(Batches):
    """Batches whose `pixels` are kept values of a random view of each photo, by epoch.

    Of features (V, N, w) the whole (n, w); of maps (V, N, C, H, W) random parts (n, C, h, w), whose
    sides are CROP_SIDE of theirs.
    """

    def __init__(self, kept: np.ndarray, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kept = kept

    def _pixels(self, i: int, epoch: int) -> Tensor | None:
        rng = seeded_generator("view", self.settings.seed, epoch, self.photos.ids[i])
        value = self.kept[rng.integers(len(self.kept)), i]
        for axis, size in enumerate(self._shape()[1:], start=1):
            first = rng.integers(value.shape[axis] - size + 1)
            value = value.take(range(first, first + size), axis)
        return None if np.isnan(value.flat[0]) else torch.from_numpy(value.astype(np.float32))

    def _blank(self) -> Tensor:
        return torch.zeros(self._shape())

    def _shape(self) -> tuple[int, ...]:
        width, *sides = self.kept.shape[2:]
        return width, *(ceil(CROP_SIDE * side) for side in sides)


class _Standard(nn.Module):
    """Features minus `mean`, over `std` (w,)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("std", torch.from_numpy(std))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std


def train_last_stages(
    encoder: OpenClipEncoder,
    stages: nn.Module,
    outputs: np.ndarray,
    features: np.ndarray,
    photos: PhotoSet,
    book: CaptionBook,
    probing: TrainingSettings,
    tuning: TrainingSettings | None = None,
    neighbourhoods: Neighbourhoods | None = None,
    batches: type[FeatureBatches] = FeatureBatches,
    tunings: int = 1,
) -> Iterator[dict[str, float]]:
    """Train the MLP behind the trunk, then with it the last `stages`, in place.

    `outputs` (V, N, C, H, W) come from `stage_outputs`, `features` (V, N, w) from
    `pooled_features`; `tuning=None` leaves the trunk as it is, else it is done `tunings` times, each
    from the same projection with a seed of its own. With `neighbourhoods` their classes' loss is
    added to the project's.
    Yields each step's figures of the project's loss. Inside, features are standardised, which the
    MLP's first layer takes in at the end: the encoder then reads photos again.
    """
    visual, memory_format = _visual(encoder), encoder.memory_format
    plain = features[0].astype(np.float32)
    mean, std = np.nanmean(plain, axis=0), np.nanstd(plain, axis=0) + 1e-6
    standard = ((features.astype(np.float32) - mean) / std).astype(np.float16)
    trunk, dropout = visual.trunk, nn.Dropout(DROPOUT)

    def run(kept: np.ndarray, settings: TrainingSettings) -> Iterator[dict[str, float]]:
        trainer = Trainer(encoder, photos, book, settings, Workers())
        trainer.batches = batches(
            kept, encoder, book, photos, settings, trainer.workers, neighbourhoods
        )
        yield from trainer.run()
        trainer.finish()

    try:
        # An encoder of photos asks for channels last; features have none.
        visual.trunk, encoder.memory_format = dropout, torch.contiguous_format
        yield from run(standard, probing)
        if tuning is not None:
            visual.trunk = nn.Sequential(stages, _Standard(mean, std), dropout).to(encoder.device)
            encoder.memory_format = memory_format
            probed, soup = deepcopy(encoder.model.state_dict()), AveragedModel(encoder.model)
            for member in range(tunings):
                encoder.model.load_state_dict(probed)
                mean_model = AveragedModel(
                    encoder.model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING)
                )
                for values in run(outputs, replace(tuning, seed=tuning.seed * tunings + member)):
                    mean_model.update_parameters(encoder.model)
                    yield values
                soup.update_parameters(mean_model.module)
            encoder.model.load_state_dict(soup.module.state_dict())
    finally:
        visual.trunk, encoder.memory_format = trunk, memory_format
    first = visual.head.mlp.fc1
    with torch.no_grad():
        first.weight /= torch.from_numpy(std)
        first.bias -= first.weight @ torch.from_numpy(mean)
    encoder.model.requires_grad_(True)


def _visual(encoder: OpenClipEncoder) -> Any:
    return encoder.model.visual
