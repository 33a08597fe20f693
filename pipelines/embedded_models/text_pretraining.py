"""Text-tower pretraining: before any photo the text tower learns the gazetteer.

    python -m pipelines.embedded_models.text_pretraining --out DIR

The tower learns to predict `place_features` from captions of all places, in all templates and with
alternate names, so captions of near places become near each other. A country without any photo then
already lies between its neighbours, so its photos can be placed (generalized zero-shot). In the
output folder the image tower is random, or with `--image-weights` that of ImageNet.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import nn
from torch.nn import functional as F

from geoclip.encoders import Encoder
from geoclip.encoders.loading import load_folder
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.place import CITY
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.place_index import SHIPPED_FOLDER, PlaceIndex
from geoclip.support.process import keep_freed_memory
from geoclip.training.optimizer import adamw, schedule, set_learning_rates
from pipelines.command_line import run
from pipelines.embedded_models.imagenet import MEAN, STD, load_imagenet_weights
from pipelines.embedded_models.place_features import PlaceFeatureSettings, place_features
from pipelines.embedded_models.place_looks import place_looks

Looks = Annotated[Path | None, typer.Option(help="GeoCLIP's location encoder as safetensors.")]
ImageWeights = Annotated[
    Path | None, typer.Option(help="EfficientNet-Lite weights as safetensors.")
]


@dataclass(frozen=True)
class PretrainingSettings:
    """Size of the text tower, and length and content of its pretraining.

    For a city with alternate names, a share `alternate_share` of the captions uses one of them.
    """

    width: int = 128
    layers: int = 3
    heads: int = 4
    context_length: int = 48
    image_tower: str = "test_convnext"
    image_size: int = 64
    steps: int = 4000
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05
    alternate_share: float = 0.25
    seed: int = 0
    features: PlaceFeatureSettings = field(default_factory=PlaceFeatureSettings)


def random_encoder(
    settings: PretrainingSettings,
    embed_dim: int | None = None,
    mean: Sequence[float] = (0.5,) * 3,
    std: Sequence[float] = (0.25,) * 3,
) -> OpenClipEncoder:
    """Build the encoder with random weights; embeddings are as long as the target features."""
    config = {
        "embed_dim": embed_dim or settings.features.dim,
        "vision_cfg": {
            "timm_model_name": settings.image_tower,
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": settings.image_size,
        },
        "text_cfg": {
            "context_length": settings.context_length,
            "vocab_size": 49408,
            "width": settings.width,
            "heads": settings.heads,
            "layers": settings.layers,
        },
    }
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        encoder = OpenClipEncoder.from_config("pretrained", config, mean=mean, std=std)
    with torch.no_grad():
        encoder.log_logit_scale.fill_(np.log(20.0))
    return encoder


class PretrainingTexts:
    """Seeded batches of caption texts with the rows of the places they name."""

    def __init__(self, book: CaptionBook, settings: PretrainingSettings) -> None:
        self.book = book
        self.settings = settings
        gazetteer = book.gazetteer
        names = gazetteer.alternate_names()
        rows = gazetteer.rows(names["place_id"]) if len(names) else np.empty(0, np.int64)
        self.alternates: dict[int, list[str]] = {}
        for row, name in zip(rows, names["name"], strict=True):
            self.alternates.setdefault(int(row), []).append(name)
        # Countries and regions are few; they recur often enough to be learnt like the cities.
        repeats = np.array([20, 3, 1])[gazetteer.levels]
        self.rows = np.repeat(np.arange(len(gazetteer)), repeats)

    def text(self, row: int, rng: np.random.Generator) -> str:
        """Draw one of the ways to name the place in `row`."""
        book, is_city = self.book, self.book.gazetteer.levels[row] == CITY
        if rng.random() < 0.5:
            text = book.text(row, True, not is_city or rng.random() < 0.5)
        else:
            text = str(rng.choice(book.prompts(row)))
        others = self.alternates.get(row)
        if others and rng.random() < self.settings.alternate_share:
            text = text.replace(book.gazetteer.names[row], str(rng.choice(others)), 1)
        return text

    def batches(self) -> Iterator[tuple[np.ndarray, list[str]]]:
        """Yield `steps` batches of (rows, texts)."""
        rng = np.random.default_rng(self.settings.seed)
        queue = np.empty(0, dtype=np.int64)
        for _ in range(self.settings.steps):
            while len(queue) < self.settings.batch_size:
                queue = np.concatenate([queue, rng.permutation(self.rows)])
            rows, queue = np.split(queue, [self.settings.batch_size])
            yield rows, [self.text(int(row), rng) for row in rows]


def pretrain_text_tower(
    encoder: Encoder, book: CaptionBook, settings: PretrainingSettings, features: np.ndarray
) -> Iterator[dict[str, float]]:
    """Train the text tower in place; yields step and loss (1 - cosine to the target).

    `features` (P, d) are the unit vectors to learn, by gazetteer row.
    """
    targets = torch.from_numpy(features)
    parameters = encoder.tower_parameters("text")
    rated = [(parameter, settings.learning_rate) for parameter in parameters]
    optimizer = adamw(rated, settings.weight_decay, betas=(0.9, 0.98))
    encoder.model.train()
    for step, (rows, texts) in enumerate(PretrainingTexts(book, settings).batches()):
        set_learning_rates(optimizer, schedule(step, settings.steps, settings.warmup))
        predicted = encoder.text_features(encoder.tokenize(texts))
        loss = 1 - F.cosine_similarity(predicted, targets[rows]).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        yield {"step": step + 1, "loss": loss.item()}
    encoder.model.eval()


@torch.no_grad()
def clear_unused_tokens(encoder: OpenClipEncoder, book: CaptionBook) -> int:
    """Set the embeddings of tokens that no caption uses to 0, so that the file compresses.

    Returns the number of tokens in use.
    """
    texts = [text for row in range(len(book.gazetteer)) for text in book.prompts(row)]
    texts += [book.text(row) for row in range(len(book.gazetteer))]
    texts += list(book.gazetteer.alternate_names()["name"])
    weights = encoder.model.get_parameter("token_embedding.weight")
    used = np.zeros(len(weights), dtype=bool)
    for start in range(0, len(texts), 4096):
        used[encoder.tokenize(texts[start : start + 4096]).numpy().reshape(-1)] = True
    weights[torch.from_numpy(~used)] = 0
    return int(used.sum())


def evaluate_pretraining(
    encoder: Encoder, book: CaptionBook, targets: np.ndarray, count: int = 2000
) -> dict[str, float]:
    """Distance in km from the city named by a full caption to the one nearest to its embedding.

    `targets` (P, d) are the features that were learnt. Returns the median and the percentage
    within 200 km, of `count` cities.
    """
    gazetteer = book.gazetteer
    cities = gazetteer.level_rows("city")
    rows = np.random.default_rng(0).choice(cities, min(count, len(cities)), replace=False)
    features = encoder.encode_texts([book.text(int(row)) for row in rows])
    nearest = cities[(features @ targets[cities].T).argmax(axis=1)]
    lat, lon = gazetteer.lat, gazetteer.lon
    km = great_circle_km(lat[rows], lon[rows], lat[nearest], lon[nearest])
    return {"median_km": float(np.median(km)), "within_200_km": float((km <= 200).mean() * 100)}


def start_encoder(
    settings: PretrainingSettings, embed_dim: int, image_weights: Path | None
) -> OpenClipEncoder:
    """Build the encoder to pretrain, its image tower random or filled from ImageNet weights."""
    if image_weights is None:
        return random_encoder(settings, embed_dim)
    encoder = random_encoder(settings, embed_dim, MEAN, STD)
    load_imagenet_weights(encoder.model.visual.trunk, image_weights)  # type: ignore[union-attr,arg-type]
    return encoder


def write_pretrained(
    out: Path,
    settings: PretrainingSettings,
    looks: Path | None = None,
    image_weights: Path | None = None,
    gazetteer: Gazetteer | None = None,
) -> None:
    """Pretrain an encoder's text tower and write its folder, printing progress.

    `gazetteer` defaults to the packaged one.
    """
    places = gazetteer or Gazetteer.default()
    book = CaptionBook(places, CaptionSettings())
    known = None if looks is None else place_looks(looks, places.lat, places.lon)
    features = place_features(places, settings.features, known)
    encoder = start_encoder(settings, features.shape[1], image_weights)
    began = time.monotonic()
    for record in pretrain_text_tower(encoder, book, settings, features):
        if record["step"] % 50 == 0:
            rate = record["step"] / (time.monotonic() - began)
            left = (settings.steps - record["step"]) / rate / 60
            print(
                f"step {record['step']}/{settings.steps}  loss {record['loss']:.4f}  "
                f"{left:.0f} min left",
                flush=True,
            )
    used = clear_unused_tokens(encoder, book)
    encoder.model.half()
    encoder.save(out)
    encoder.model.float()
    figures = evaluate_pretraining(encoder, book, features)
    print(json.dumps({"tokens": used, **figures}), flush=True)


def write_index(model: Path, gazetteer: Gazetteer, captions: CaptionSettings | None = None) -> None:
    """Write a model folder's own place index, from the weights as stored."""
    index = PlaceIndex.build(load_folder(model), gazetteer, captions)
    index.save(model / SHIPPED_FOLDER)


def main(
    *,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    steps: Annotated[int, typer.Option(help="Steps.")] = PretrainingSettings.steps,
    looks: Looks = None,
    image_tower: Annotated[str, typer.Option(help="Of timm.")] = PretrainingSettings.image_tower,
    image_size: Annotated[int, typer.Option(help="Pixels.")] = PretrainingSettings.image_size,
    image_weights: ImageWeights = None,
) -> None:
    """Pretrain a small text tower on the packaged gazetteer and write the encoder's folder."""
    keep_freed_memory()
    settings = PretrainingSettings(steps=steps, image_tower=image_tower, image_size=image_size)
    write_pretrained(out, settings, looks, image_weights)
    write_index(out, Gazetteer.default())


if __name__ == "__main__":
    run(main)
