"""`geoclip finetune`: the library's training on one machine, without a cluster."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoclip.commands.calibration_terminal import run_held_out
from geoclip.commands.finetune_terminal import (
    step_progress,
    steps_told,
    tell_change,
    tell_unreadable,
)
from geoclip.commands.options import (
    MODEL_HELP,
    DeviceOption,
    GazetteerOption,
    RecipeOption,
    read_settings,
    with_settings,
)
from geoclip.commands.terminal import printable
from geoclip.encoders.registry import DEFAULT_MODEL, KNOWN_MODELS, check_model_name
from geoclip.errors import GeoclipError
from geoclip.training.settings import (
    EvaluationSettings,
    Keep,
    Recipe,
    TrainingSettings,
    check_keep,
)

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.places.gazetteer import Gazetteer
    from geoclip.training.batches import Batches
    from geoclip.training.photo_set import PhotoSet

RUN_FILE = "run.json"
HELD_OUT_FILE = "held_out.csv"
MISSING_FILE = "missing.csv"
UNREADABLE_FILE = "unreadable.csv"
MAP_FILE = "map.html"


@with_settings(EvaluationSettings, TrainingSettings)
def finetune(
    photos: Annotated[
        list[Path], typer.Argument(help="CSV files with path and lat, lon or country_code.")
    ],
    *,
    out: Annotated[
        Path, typer.Option(help="Folder of the tuned encoder and its checkpoints (saved states).")
    ],
    model: Annotated[str, typer.Option(help=f"What to start from. {MODEL_HELP}")] = DEFAULT_MODEL,
    gazetteer: GazetteerOption = None,
    held_out: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of countries not trained on, where there is no split.",
        ),
    ] = 0.15,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between saved states.")] = 100,
    keep: Annotated[Keep, typer.Option(help="Checkpoint that becomes the encoder.")] = Keep.LAST,
    recipe: RecipeOption = Recipe.DEFAULT,
    device: DeviceOption = None,
    **settings: Any,
) -> None:
    """Teach a model with photos of known places (fine-tuning), on this machine.

    What learns is the encoder, the part of a model that looks at photos and reads captions. Photos
    whose `split` is "train" are trained on; without that column whole countries and 1° blocks
    are held out and listed in OUT/held_out.csv. With --evaluate-every the figures on held
    out photos are in OUT/evaluations.csv. The same command resumes an interrupted run. The tuned
    encoder is in OUT/encoder. At the end held-out photos are located before and after, and
    OUT/map.html shows them; then it is calibrated on them where they are of 50 places or more.
    """
    check_model_name(model)
    training = read_settings(recipe.settings, settings)
    evaluation = read_settings(EvaluationSettings, settings)
    check_keep(keep, training, evaluation)
    table, missing, places = _photos(photos, gazetteer, training.seed, held_out)
    from geoclip.training.held_out import draw_held_out, settled  # noqa: PLC0415
    from geoclip.training.photo_set import training_photos  # noqa: PLC0415
    from geoclip.training.splits import TRAIN  # noqa: PLC0415

    seen = training_photos(table, places)
    about = {
        "model": str(Path(model).absolute()) if Path(model).is_dir() else model,
        "gazetteer": places.fingerprint,
        "settings": training.identity(),
        "photos": seen.digest(),
    }
    _check_run(out / RUN_FILE, about)
    evaluation, drawn = settled(evaluation, places), None
    if evaluation.evaluate_every:
        drawn = draw_held_out(table, evaluation, training.seed, places)
    batches = _batches(model, seen, places, training, device)
    _write_lists(out, about, table, missing)
    folder = _train(out, model, batches, evaluation, drawn, checkpoint_every, keep)
    for warning in dict.fromkeys(batches.encoder.warnings):
        typer.echo(f"geoclip: {printable(warning)}", err=True)
    if model in KNOWN_MODELS:
        licence = KNOWN_MODELS[model].licence
        typer.echo(
            f"The starting weights are under {licence}, and so are the tuned ones.", err=True
        )
    others = table[table["split"] != TRAIN]
    # Before the ranking is fitted to these photos: what is measured on them then flatters.
    if places.has_positions:
        tell_change(model, folder, others, places, device, out / MAP_FILE)
    run_held_out(folder, table, places, device)
    own = "" if places.has_positions else f" --gazetteer {gazetteer}"
    typer.echo(f"Fine-tuned encoder in {folder}. Next: geoclip locate PHOTOS --model {folder}{own}")


def _photos(
    tables: list[Path], gazetteer: Path | None, seed: int, held_out: float
) -> tuple["pd.DataFrame", "pd.DataFrame", "Gazetteer"]:
    """The photos with place and split, those whose files are missing, and the places."""
    from geoclip.photos.photo_table import read_photo_table  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415
    from geoclip.training.photo_set import label_photos, split_photos  # noqa: PLC0415

    photos = read_photo_table(tables)
    places = Gazetteer.read(gazetteer)
    return *split_photos(label_photos(photos, places), seed, held_out), places


def _write_lists(
    out: Path, about: dict[str, Any], table: "pd.DataFrame", missing: "pd.DataFrame"
) -> None:
    """Note in `out` what the run is made of, and the photos held out and missing."""
    from geoclip.training.checkpoints import writing_to  # noqa: PLC0415
    from geoclip.training.splits import TRAIN  # noqa: PLC0415

    others = table[table["split"] != TRAIN]
    columns = ["path", "lat", "lon", "country_code", "location_id", "split"]
    if others["lat"].isna().all():  # a table of levels names the class instead
        columns.insert(1, "place_id")
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / RUN_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        others[columns].to_csv(out / HELD_OUT_FILE, index=False)
        missing[["photo_id", "path"]].to_csv(out / MISSING_FILE, index=False)
    typer.echo(
        f"{len(table) - len(others):,} photos to train on, {len(others):,} held out, "
        f"{len(missing):,} missing.",
        err=True,
    )


def _check_run(file: Path, about: dict[str, Any]) -> None:
    """Refuse a folder that belongs to a run with another of what `about` holds."""
    from geoclip.training.identity import check_same_run  # noqa: PLC0415

    if not file.exists():
        return
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise GeoclipError(f"{file} is not readable ({problem}); name another --out.") from None
    check_same_run(file.parent, noted, about)


def _batches(
    model: str,
    seen: "PhotoSet",
    places: "Gazetteer",
    training: TrainingSettings,
    device: str | None,
) -> "Batches":
    """The batches for the encoder to start from, with the captions that its settings ask for."""
    from geoclip.encoders import load_encoder  # noqa: PLC0415
    from geoclip.locator import default_device  # noqa: PLC0415
    from geoclip.places.captions import CaptionBook  # noqa: PLC0415
    from geoclip.ranking.model_settings import ModelSettings  # noqa: PLC0415
    from geoclip.support.process import keep_freed_memory  # noqa: PLC0415
    from geoclip.training.batches import Batches  # noqa: PLC0415

    keep_freed_memory()
    encoder = load_encoder(model, device or default_device())
    book = CaptionBook(places, ModelSettings.of_model(model).captions)
    return Batches(encoder, book, seen, training)


def _train(
    out: Path,
    model: str,
    batches: "Batches",
    evaluation: EvaluationSettings,
    drawn: "pd.DataFrame | None",
    checkpoint_every: int,
    keep: Keep,
) -> Path:
    """Train to the end and return the folder of the tuned encoder."""
    from geoclip.photos.trained_photos import TrainedPhotos  # noqa: PLC0415
    from geoclip.ranking.model_settings import ModelSettings  # noqa: PLC0415
    from geoclip.training.checkpoints import FolderCheckpoints  # noqa: PLC0415
    from geoclip.training.held_out import HeldOut  # noqa: PLC0415
    from geoclip.training.loop import run_training  # noqa: PLC0415
    from geoclip.training.trainer import Trainer  # noqa: PLC0415

    start, book = ModelSettings.of_model(model), batches.book
    held_out = (
        None
        if drawn is None
        else HeldOut(drawn, book, batches.workers, start.ranking_of(book.gazetteer))
    )
    store = FolderCheckpoints(out, evaluation.best_by if keep == Keep.BEST else None)
    trainer = Trainer(batches)
    typer.echo(f"{steps_told(batches)} {trainer.plan}", err=True)
    with step_progress(batches.steps) as report:
        run_training(
            trainer,
            store,
            checkpoint_every=checkpoint_every,
            held_out=held_out,
            evaluate_every=evaluation.evaluate_every,
            report=report,
        )
    tell_unreadable(batches, out / UNREADABLE_FILE)
    before = TrainedPhotos.read(batches.encoder.folder)
    trained = batches.photos.trained(book.gazetteer, before)
    return store.export(start.tuned(trained.countries), trained)
