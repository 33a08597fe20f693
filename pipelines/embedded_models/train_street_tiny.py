"""Make the embedded model `street-tiny` from tables of geotagged street photos.

    python -m pipelines.embedded_models.train_street_tiny \\
        --photos photos.csv --photos photos_country.csv --looks location_encoder.safetensors \\
        --image-weights efficientnet-lite2.safetensors --out street-tiny

The text tower is pretrained on the gazetteer. The first stages of the image tower see every
training photo once, and their activations are cached. Its projection, then its last stages are
trained with the contrastive loss and label smoothing by distance. The places are indexed. `--work`
keeps the results of the steps, so another run, with another `--seed` say, reuses them.
`place_looks.py` and `imagenet.py` give the sources of `--looks` and `--image-weights`; without them
the place features know only coordinates and the trunk starts random.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from geoclip.encoders.loading import load_folder
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.errors import GeoclipError
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.settings import PointEstimate, Prior, RankingSettings, Temperatures
from geoclip.support.process import keep_freed_memory
from geoclip.training.checkpoints import Record
from geoclip.training.label_smoothing import LabelSmoothing
from geoclip.training.photo_set import PhotoSet, label_photos, split_photos, training_photos
from geoclip.training.settings import TrainingSettings
from pipelines.command_line import run
from pipelines.embedded_models.cached_activations import (
    cached_activations,
    claim_folder,
    pooled_features,
    split_trunk,
    with_mlp_projection,
)
from pipelines.embedded_models.last_stages import train_last_stages
from pipelines.embedded_models.text_pretraining import (
    ImageWeights,
    Looks,
    PretrainingSettings,
    write_index,
    write_pretrained,
)

PRETRAINING = PretrainingSettings(steps=4500, image_tower="tf_efficientnet_lite2", image_size=256)
PROBING = TrainingSettings(
    epochs=12,
    batch_size=256,
    learning_rate=1e-3,
    text_learning_rate=0.0,  # the tower knows places without photos; photos would pull it to few
    betas=(0.9, 0.999),
    weight_decay=1e-2,
    warmup=0.1,
    balance=0.7,
    chunk_size=256,  # a whole batch, whatever the memory: dropout draws anew for each chunk
)
TUNING = replace(
    PROBING,
    epochs=4,
    batch_size=96,
    learning_rate=5e-4,
    weight_decay=2e-2,
    precision="bf16",
)
# Chosen on folds of the training photos without whole countries and blocks; the temperature of the
# point on photos of other collections. The radii are fitted on these afterwards, by `geoclip
# calibrate --keep-posterior`.
RANKING = RankingSettings(
    temperatures=Temperatures(1.5, 1.5, 1.5),
    point=PointEstimate.expected_score_regions(temperature=1.15),
    prior=Prior(country_size_exponent=0.1),
)
STACKING_FACTOR = 0.15


@dataclass(frozen=True)
class Recipe:
    """Settings of all steps; the defaults are those of the shipped model.

    The first `frozen_stages` of the image tower see `versions` of each photo: itself and augmented
    ones. A photo that is no street view is drawn with `other_weight` instead of 1: the model is not
    made for such photos. `smoothing` holds km and weight of label smoothing by distance, and
    `views` the number of a location's views tuned as one; the members of the soup, as many as
    `views`, alternate between both.
    """

    pretraining: PretrainingSettings = PRETRAINING
    frozen_stages: int = 4
    versions: int = 5
    other_weight: float = 0.3
    probing: TrainingSettings = PROBING
    tuning: TrainingSettings = TUNING
    smoothing: tuple[tuple[float, float], ...] = ((700.0, 1.0), (1000.0, 3.0))
    views: tuple[int, ...] = (1, 1, 2, 2)


STREET_TINY = Recipe()


def start_encoder(
    work: Path,
    settings: PretrainingSettings,
    gazetteer: Gazetteer,
    looks: Path | None,
    image_weights: Path | None,
) -> OpenClipEncoder:
    """The encoder with a pretrained text tower, from `work` if that holds it."""
    folder = work / "pretrained"
    files = [file and _digest(file) for file in (looks, image_weights)]
    made_of = settings, gazetteer.fingerprint, files
    key = hashlib.sha256(repr(made_of).encode()).hexdigest()
    claim_folder(work / "pretrained-with", key, "pretraining with other files or settings")
    if not folder.is_dir():
        draft = work / "pretrained-unfinished"
        shutil.rmtree(draft, ignore_errors=True)
        write_pretrained(draft, settings, looks, image_weights, gazetteer)
        draft.rename(folder)
    encoder = load_folder(folder)
    if not isinstance(encoder, OpenClipEncoder):
        raise GeoclipError(f"{folder} holds no open_clip encoder; delete it and start again.")
    return encoder


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as problem:
        raise GeoclipError(f"{file} cannot be read ({problem.strerror}); check it.") from None


def weighted_by_kind(photos: PhotoSet, street: str, other_weight: float) -> PhotoSet:
    """Give photos in folders whose names begin with `street` the weight 1, others another."""
    is_street = [Path(path).parent.name.startswith(street) for path in photos.paths]
    return replace(photos, weights=np.where(is_street, 1.0, other_weight))


def seen_countries(photos: PhotoSet, gazetteer: Gazetteer) -> tuple[str, ...]:
    """ISO codes of the countries with a training photo."""
    return tuple(sorted(set(gazetteer.country_codes[photos.rows].tolist())))


def ranking_of_model(photos: PhotoSet, gazetteer: Gazetteer) -> RankingSettings:
    """The recipe's ranking, with calibrated stacking of the countries with a training photo."""
    seen = seen_countries(photos, gazetteer)
    return replace(
        RANKING, prior=replace(RANKING.prior, seen_countries=seen, stacking_factor=STACKING_FACTOR)
    )


def write_model(
    encoder: OpenClipEncoder, out: Path, photos: PhotoSet, gazetteer: Gazetteer
) -> None:
    """Write the model folder, half precision: its settings, training photos and place index."""
    encoder.model.half()
    encoder.save(out)
    settings = ModelSettings(CaptionSettings(), ranking_of_model(photos, gazetteer))
    settings.write(out)
    photos.trained(gazetteer).write(out)
    write_index(out, gazetteer, settings.captions)


def train_street_tiny(
    photo_tables: list[Path],
    out: Path,
    work: Path,
    looks: Path | None = None,
    image_weights: Path | None = None,
    *,
    recipe: Recipe = STREET_TINY,
    gazetteer: Gazetteer | None = None,
    street: str = "gsv_",
    seed: int = 0,
) -> None:
    """Make the model folder `out`; results kept in `work` are reused.

    `gazetteer` defaults to the packaged one. Raises GeoclipError if `work` holds results of other
    photos, files or settings.
    """
    work.mkdir(parents=True, exist_ok=True)
    gazetteer = gazetteer or Gazetteer.default()
    table, missing = split_photos(label_photos(read_photo_table(photo_tables), gazetteer))
    photos = weighted_by_kind(training_photos(table, gazetteer), street, recipe.other_weight)
    print(f"{len(photos)} training photos, {len(missing)} missing", flush=True)
    start = start_encoder(work, recipe.pretraining, gazetteer, looks, image_weights)
    encoder = with_mlp_projection(start, seed)
    first, last = split_trunk(encoder, recipe.frozen_stages)
    activations = cached_activations(encoder, first, photos, recipe.versions, work / "stages")
    book = CaptionBook(gazetteer, CaptionSettings())
    losses: list[float] = []

    def report(metrics: Record) -> None:
        losses.append(metrics["loss"])
        if metrics["step"] % 20 == 0:
            recent = float(np.mean(losses[-20:]))
            print(json.dumps({"step": metrics["step"], "loss": round(recent, 4)}), flush=True)

    train_last_stages(
        encoder,
        last,
        activations,
        pooled_features(encoder, last, activations),
        photos,
        book,
        replace(recipe.probing, seed=seed),
        replace(recipe.tuning, seed=seed),
        [LabelSmoothing(encoder, book, *smoothed) for smoothed in recipe.smoothing],
        views=recipe.views,
        keep=work / f"seed{seed}",
        report=report,
    )
    write_model(encoder, out, photos, gazetteer)
    print(f"wrote {out}", flush=True)


def main(
    *,
    photos: Annotated[list[Path], typer.Option(help="Photo table; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    work: Annotated[
        Path | None, typer.Option(help="Folder of the steps' results (default: OUT-work).")
    ] = None,
    looks: Looks = None,
    image_weights: ImageWeights = None,
    street: Annotated[
        str, typer.Option(help="First letters of folders with street views.")
    ] = "gsv_",
    seed: Annotated[int, typer.Option(help="Seed of all steps but the first.")] = 0,
    steps: Annotated[int, typer.Option(help="Of text-tower pretraining.")] = PRETRAINING.steps,
    precision: Annotated[
        str,
        typer.Option(
            help="Precision of the soup's members, bf16 or fp32; fp32 is faster on CPUs without "
            "bfloat16."
        ),
    ] = TUNING.precision,
) -> None:
    """Run the stages from the command line."""
    keep_freed_memory()
    recipe = replace(
        STREET_TINY,
        pretraining=replace(PRETRAINING, steps=steps),
        tuning=replace(TUNING, precision=precision),
    )
    train_street_tiny(
        photos,
        out,
        work or out.with_name(f"{out.name}-work"),
        looks,
        image_weights,
        recipe=recipe,
        street=street,
        seed=seed,
    )


if __name__ == "__main__":
    run(main)
