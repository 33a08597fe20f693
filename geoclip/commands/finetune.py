"""`geoclip finetune`: the library's training on one machine, without a cluster."""

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geoclip.commands.terminal import printable
from geoclip.encoders.registry import DEFAULT_MODEL, KNOWN_MODELS, check_model_name
from geoclip.errors import GeoclipError
from geoclip.training.settings import TrainingSettings

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.encoders import Encoder
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.training.batches import PhotoSet
    from geoclip.training.trainer import Trainer

RUN_FILE = "run.json"
HELD_OUT_FILE = "held_out.csv"
MISSING_FILE = "missing.csv"
UNREADABLE_FILE = "unreadable.csv"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's `**settings` by one option for each field of TrainingSettings."""
    hints = get_type_hints(TrainingSettings)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[
                hints[field.name],
                typer.Option(help=field.metadata["help"], rich_help_panel="Training"),
            ],
        )
        for field in fields(TrainingSettings)
    ]
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=own + options)  # type: ignore[attr-defined]
    return command


@with_settings
def finetune(
    photos: Annotated[
        list[Path], typer.Argument(help="CSV files with path and lat, lon or country_code.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder of checkpoints and the tuned encoder.")],
    model: Annotated[
        str, typer.Option(help="Start: a name of `geoclip models`, a folder, or hf:ID.")
    ] = DEFAULT_MODEL,
    gazetteer: Annotated[
        Path | None, typer.Option(help="Folder or file of places instead of the built-in ones.")
    ] = None,
    held_out: Annotated[
        float,
        typer.Option(min=0, max=0.9, help="Share of countries not trained on, without a split."),
    ] = 0.15,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps.")] = 100,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    **settings: Any,
) -> None:
    """Fine-tune an encoder on photos of known places, on this machine.

    Photos whose `split` is "train" are trained on; without that column whole countries and 1°
    blocks are held out and listed in OUT/held_out.csv. The same command goes on where a run was
    stopped. The tuned encoder is in OUT/encoder: `geoclip locate --model OUT/encoder`.
    """
    check_model_name(model)
    training = TrainingSettings(**settings)
    table, missing, places = _photos(photos, gazetteer, training.seed, held_out)
    from geoclip.training.labelled import training_photos  # noqa: PLC0415

    seen = training_photos(table, places)
    about = {
        "model": str(Path(model).absolute()) if Path(model).is_dir() else model,
        "gazetteer": places.fingerprint,
        "settings": training.identity(),
        "photos": seen.digest(),
    }
    _check_run(out / RUN_FILE, about)
    encoder, trainer = _trainer(model, seen, places, training, device)
    _write_lists(out, about, table, missing)
    with _progress(trainer) as report:
        from geoclip.training.checkpoints import train_here  # noqa: PLC0415

        folder = train_here(trainer, out, checkpoint_every, report)
    _tell_unreadable(trainer, out / UNREADABLE_FILE)
    from geoclip.ranking.model_settings import ModelSettings  # noqa: PLC0415

    seen_countries = places.country_codes[seen.rows].tolist()
    tuned = ModelSettings.read(encoder.folder).tuned(seen_countries)
    with _writing_to(folder):
        tuned.write(folder)
    for notice in dict.fromkeys(encoder.warnings):
        typer.echo(f"geoclip: {printable(notice)}", err=True)
    if model in KNOWN_MODELS:
        licence = KNOWN_MODELS[model].licence
        typer.echo(
            f"The starting weights are under {licence}, and so are the tuned ones.", err=True
        )
    typer.echo(f"Fine-tuned encoder in {folder}: geoclip locate PHOTOS --model {folder}")


def _photos(
    tables: list[Path], gazetteer: Path | None, seed: int, held_out: float
) -> tuple["pd.DataFrame", "pd.DataFrame", "Gazetteer"]:
    """The photos with place and split, those whose files are missing, and the places."""
    from geoclip.photos.photo_table import read_photo_table  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415
    from geoclip.training.labelled import label_photos, split_photos  # noqa: PLC0415

    photos = read_photo_table(tables)
    places = Gazetteer.read(gazetteer)
    return *split_photos(label_photos(photos, places), seed, held_out), places


def _write_lists(
    out: Path, about: dict[str, Any], table: "pd.DataFrame", missing: "pd.DataFrame"
) -> None:
    """Note in `out` what the run is made of, and the photos held out and missing."""
    from geoclip.training.splits import TRAIN  # noqa: PLC0415

    others = table[table["split"] != TRAIN]
    columns = ["path", "lat", "lon", "country_code", "location_id", "split"]
    with _writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / RUN_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        others[columns].to_csv(out / HELD_OUT_FILE, index=False)
        missing[["photo_id", "path"]].to_csv(out / MISSING_FILE, index=False)
    typer.echo(
        f"{len(table) - len(others):,} photos to train on, {len(others):,} held out, "
        f"{len(missing):,} missing.",
        err=True,
    )


def _tell_unreadable(trainer: "Trainer", file: Path) -> None:
    """List the photos that were left out because they could not be read, if there are any."""
    photos = trainer.batches.photos
    unreadable = [
        (name, path)
        for name, path in zip(photos.ids, photos.paths, strict=True)
        if name in trainer.batches.unreadable
    ]
    if unreadable:
        import pandas as pd  # noqa: PLC0415

        with _writing_to(file.parent):
            pd.DataFrame(unreadable, columns=["photo_id", "path"]).to_csv(file, index=False)
        typer.echo(
            f"{len(unreadable):,} photos could not be read and were left out; they are in {file}.",
            err=True,
        )


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise GeoclipError(
            f"{folder} cannot be written to ({problem.strerror}); free space there and give the "
            "same command again, or name another folder."
        ) from None


def _check_run(file: Path, about: dict[str, Any]) -> None:
    """Refuse a folder that belongs to a run with another of what `about` holds."""
    if not file.exists():
        return
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise GeoclipError(f"{file} is not readable ({problem}); name another --out.") from None
    for name, value in json.loads(json.dumps(about)).items():
        if name in earlier and earlier[name] != value:
            raise GeoclipError(
                f"{file.parent} belongs to a run with other {name} ({earlier[name]}); give the "
                "same command to go on, or name another --out."
            )


def _trainer(
    model: str,
    photos: "PhotoSet",
    places: "Gazetteer",
    settings: TrainingSettings,
    device: str | None,
) -> tuple["Encoder", "Trainer"]:
    from geoclip.encoders import load_encoder  # noqa: PLC0415
    from geoclip.locator import default_device  # noqa: PLC0415
    from geoclip.places.captions import CaptionBook  # noqa: PLC0415
    from geoclip.ranking.model_settings import ModelSettings  # noqa: PLC0415
    from geoclip.support.process import keep_freed_memory  # noqa: PLC0415
    from geoclip.training.trainer import Trainer  # noqa: PLC0415

    keep_freed_memory()
    encoder = load_encoder(model, device or default_device())
    book = CaptionBook(places, ModelSettings.read(encoder.folder).captions)
    return encoder, Trainer(encoder, photos, book, settings)


@contextmanager
def _progress(trainer: "Trainer") -> Iterator[Callable[[dict[str, float]], None]]:
    """A bar on stderr with loss and time left; ten lines in all where stderr is a file."""
    console = Console(stderr=True)
    columns = (
        TextColumn("fine-tuning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    steps = trainer.batches.steps
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=steps, loss=float("nan"))

        def report(record: dict[str, float]) -> None:
            step = int(record["step"])
            bar.update(task, completed=step, loss=record["loss"])
            if not console.is_terminal and (step == steps or step % max(1, steps // 10) == 0):
                typer.echo(f"step {step:,} of {steps:,}: loss {record['loss']:.3f}", err=True)

        yield report
