"""Make the embedded model `street-tiny` from tables of geotagged street photos.

    python -m pipelines.embedded_models.train_street_tiny \\
        --photos photos.csv --photos photos_country.csv --looks location_encoder.safetensors \\
        --image-weights efficientnet-lite2.safetensors --out street-tiny

A text tower is taught the gazetteer; the first stages of the image tower look at every training
photo; its projection, then its last stages are trained by the project's loss and one whose labels
are smoothed by distance; the places are indexed. What the first two steps make is kept under
`--work` and not made again when the program is started anew, for another `--seed` say.
`place_looks.py` and `imagenet.py` say where `--looks` and `--image-weights` come from;
without them the class descriptions know coordinates alone and the trunk is random.
"""

import hashlib
import json
import shutil
from dataclasses import replace
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
from geoclip.ranking.place_index import SHIPPED_FOLDER, PlaceIndex
from geoclip.ranking.ranking import RankingSettings
from geoclip.support.memory import keep_freed_memory
from geoclip.training.batches import PhotoSet
from geoclip.training.distance_smoothing import DistanceSmoothing
from geoclip.training.labelled import label_photos, split_photos, training_photos
from geoclip.training.settings import TrainingSettings
from pipelines.command_line import run
from pipelines.embedded_models import text_pretraining as teach_gazetteer
from pipelines.embedded_models.cached_activations import (
    claim_folder,
    pooled_features,
    split_trunk,
    stage_outputs,
    with_mlp_projection,
)
from pipelines.embedded_models.last_stages import train_last_stages

IMAGE_TOWER, IMAGE_SIZE, FROZEN_STAGES = "tf_efficientnet_lite2", 256, 4
TEACHING_STEPS = 4500
VIEWS = 5
OTHER_WEIGHT = 0.3  # of photos that are no street views: unlike those that the model is made for
PROBING = TrainingSettings(
    epochs=12,
    batch_size=256,
    learning_rate=1e-3,
    text_learning_rate=0.0,  # the tower knows places without a photo; photos would pull it to few
    betas=(0.9, 0.999),
    weight_decay=1e-2,
    warmup=0.1,
    balance=0.7,
)
TUNING = replace(
    PROBING,
    epochs=4,
    batch_size=96,
    learning_rate=5e-4,
    weight_decay=2e-2,
    precision="bf16",
)
SMOOTHED = ((700.0, 1.0), (1000.0, 3.0))  # km and weight of the smoothed labels, by turns
TOGETHER = (1, 1, 2, 2)  # photos of a location tuned as one, their embeddings averaged
# Chosen on folds of the training photos that leave whole countries and blocks out.
RANKING = RankingSettings(
    point="expected_score_regions",
    temperatures=(1.5, 1.5, 1.5),
    point_temperature=1.7,
    radius_share=0.5,  # held 54 % of the folds' held-out and 48 % of their left-out places
    seen_penalty=0.15,
    size_power=0.1,
)


def start_encoder(
    work: Path, looks: Path | None, image_weights: Path | None, steps: int
) -> OpenClipEncoder:
    """The encoder with a taught text tower, taught first where `work` does not hold it."""
    folder = work / "taught"
    settings = teach_gazetteer.TeachingSettings(
        steps=steps, image_tower=IMAGE_TOWER, image_size=IMAGE_SIZE
    )
    taught_with = settings, *(file and _digest(file) for file in (looks, image_weights))
    key = hashlib.sha256(repr(taught_with).encode()).hexdigest()
    claim_folder(work / "taught-with", key, "what was taught with other files or steps")
    if not folder.is_dir():
        draft = work / "taught-unfinished"
        shutil.rmtree(draft, ignore_errors=True)
        teach_gazetteer.teach_folder(draft, settings, looks, image_weights)
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


def drawn_by_kind(photos: PhotoSet, street: str) -> PhotoSet:
    """The same photos, those outside folders whose names begin with `street` drawn more seldom."""
    is_street = [Path(path).parent.name.startswith(street) for path in photos.paths]
    return replace(photos, weights=np.where(is_street, 1.0, OTHER_WEIGHT))


def seen_countries(photos: PhotoSet, gazetteer: Gazetteer) -> tuple[str, ...]:
    """ISO codes of the countries with a training photo."""
    return tuple(sorted(set(gazetteer.country_codes[photos.rows].tolist())))


def write_model(encoder: OpenClipEncoder, out: Path, ranking: RankingSettings) -> None:
    """Write the model folder, half precision, with its settings and its place index."""
    encoder.model.half()
    encoder.save(out)
    settings = ModelSettings(CaptionSettings(), ranking)
    settings.write(out)
    stored = load_folder(out)
    index = PlaceIndex.build(stored, Gazetteer.default(), settings.captions)
    index.save(out / SHIPPED_FOLDER)


def train_street_tiny(
    photo_tables: list[Path],
    out: Path,
    work: Path,
    looks: Path | None = None,
    image_weights: Path | None = None,
    *,
    street: str = "gsv_",
    seed: int = 0,
    steps: int = TEACHING_STEPS,
    precision: str = TUNING.precision,
) -> None:
    """Make the model folder `out`; what the stages leave in `work` is not made again."""
    work.mkdir(parents=True, exist_ok=True)
    gazetteer = Gazetteer.default()
    table, missing = split_photos(label_photos(read_photo_table(photo_tables), gazetteer))
    photos = drawn_by_kind(training_photos(table, gazetteer), street)
    print(f"{len(photos)} training photos, {len(missing)} missing", flush=True)
    start = start_encoder(work, looks, image_weights, steps)
    encoder = with_mlp_projection(start, seed)
    first, last = split_trunk(encoder, FROZEN_STAGES)
    outputs = stage_outputs(encoder, first, photos, VIEWS, work / "stages")
    book = CaptionBook(gazetteer, CaptionSettings())
    losses = []
    for values in train_last_stages(
        encoder,
        last,
        outputs,
        pooled_features(encoder, last, outputs),
        photos,
        book,
        replace(PROBING, seed=seed),
        replace(TUNING, seed=seed, precision=precision),
        [DistanceSmoothing(encoder, book, *smoothed) for smoothed in SMOOTHED],
        tunings=len(TOGETHER),
        keep=work / f"seed{seed}",
        together=TOGETHER,
    ):
        losses.append(values["loss"])
        if values["step"] % 20 == 0:
            recent = float(np.mean(losses[-20:]))
            print(json.dumps({"step": values["step"], "loss": round(recent, 4)}), flush=True)
    write_model(encoder, out, replace(RANKING, seen_countries=seen_countries(photos, gazetteer)))
    print(f"wrote {out}", flush=True)


def main(
    *,
    photos: Annotated[list[Path], typer.Option(help="Photo table; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    work: Annotated[
        Path | None, typer.Option(help="Folder of what the steps make (default: OUT-work).")
    ] = None,
    looks: teach_gazetteer.Looks = None,
    image_weights: teach_gazetteer.ImageWeights = None,
    street: Annotated[str, typer.Option(help="How folders of street views begin.")] = "gsv_",
    seed: Annotated[int, typer.Option(help="Of all steps but the first.")] = 0,
    steps: Annotated[int, typer.Option(help="Of the text tower's pretraining.")] = TEACHING_STEPS,
    precision: Annotated[
        str,
        typer.Option(
            help="Of the last stages, bf16 or fp32; fp32 is faster where the processor has no "
            "bfloat16."
        ),
    ] = TUNING.precision,
) -> None:
    """Run the stages from the command line."""
    keep_freed_memory()
    train_street_tiny(
        photos,
        out,
        work or out.with_name(f"{out.name}-work"),
        looks,
        image_weights,
        street=street,
        seed=seed,
        steps=steps,
        precision=precision,
    )


if __name__ == "__main__":
    run(main)
