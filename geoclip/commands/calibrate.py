"""`geoclip calibrate`: fit a model's ranking to photos of known place."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoclip.commands.calibration_terminal import run_calibration, tell
from geoclip.commands.options import MODEL_HELP, DeviceOption, GazetteerOption
from geoclip.commands.terminal import printable
from geoclip.encoders.registry import KNOWN_MODELS, check_model_name, model_folder
from geoclip.errors import GeoclipError

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.photos.trained_photos import TrainedPhotos
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.runs.calibrate_model import FreshPhotos, ModelCalibration


def calibrate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    *,
    photos: Annotated[
        list[Path],
        typer.Option(
            help="CSV file with path and lat, lon or country_code of photos that the model was not "
            "trained on; may be repeated."
        ),
    ],
    source_column: Annotated[
        str | None,
        typer.Option(
            help="Column that says where a photo comes from: a collection, a camera, a web site. "
            "Default: source, where there is one; else a photo's folder."
        ),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Only photos of this split; may be repeated.")
    ] = None,
    gazetteer: GazetteerOption = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|self",
            help="Fit too how much a gallery counts: a folder of `geoclip gallery build`, or self "
            "for these photos, each asked about with the others.",
        ),
    ] = None,
    device: DeviceOption = None,
    keep_posterior: Annotated[
        bool,
        typer.Option(
            "--keep-posterior",
            help="Fit the radii alone; the probabilities (the posterior) and the point stay.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for a calibrated copy; the model itself stays as it is."),
    ] = None,
) -> None:
    """Make a model's probabilities and radii hold what they say (calibrate it).

    The settings are kept beside the model and are used from now on; those of a hub's or embedded
    model are kept in your data folder. Photos that the model was trained on are left out. The
    figures are of photos that were left out: whole sources, countries, 1° blocks. All of them are
    in calibration.json beside the settings. For instance:
    geoclip calibrate streetclip --photos photos.csv
    """
    check_model_name(model)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise GeoclipError(f"{out} is there already and not empty; name a new folder.")
    from geoclip.photos.trained_photos import TrainedPhotos  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415

    trained, places = TrainedPhotos.read(model_folder(model)), Gazetteer.read(gazetteer)
    fresh = _fresh(photos, source_column, split or [], trained, places)
    found = run_calibration(model, fresh, trained, places, device, keep_posterior, gallery)
    folder = _write(found, model, out)
    tell(found)
    typer.echo(f"The settings are in {folder}, with all figures.")
    words = ["geoclip", "locate", "PHOTOS", "--model", str(out or model)]
    words += [] if gazetteer is None else ["--gazetteer", str(gazetteer)]
    typer.echo(f"Use it: {printable(shlex.join(words))}")


def _fresh(
    tables: list[Path],
    source_column: str | None,
    splits: list[str],
    trained: "TrainedPhotos",
    places: "Gazetteer",
) -> "FreshPhotos":
    """The photos of the tables and splits that the model was not trained on."""
    from geoclip.photos.photo_table import read_photo_table  # noqa: PLC0415
    from geoclip.runs.calibrate_model import FreshPhotos, ids_trained_on  # noqa: PLC0415
    from geoclip.training.photo_set import label_photos  # noqa: PLC0415

    every = read_photo_table(tables, source_column)
    photos = _of_splits(every, splits)
    if not len(trained.records):
        typer.echo(
            "Nobody noted which photos the model was trained on: see to it that these are others.",
            err=True,
        )
    fresh = FreshPhotos.of(label_photos(photos, places), trained)
    if places.has_positions:
        return fresh
    # A model does not note its classes: the photos of all splits tell which it has seen.
    return replace(fresh, seen=ids_trained_on(label_photos(every, places), trained))


def _of_splits(photos: "pd.DataFrame", splits: list[str]) -> "pd.DataFrame":
    there = sorted(set(photos["split"]) - {""})
    for name in splits:
        if name not in there:
            known = f"the splits are {', '.join(there)}" if there else "they have no splits"
            raise GeoclipError(f"No photo is of the split {name!r}: {known}.")
    return photos[photos["split"].isin(splits)] if splits else photos


def _write(found: "ModelCalibration", model: str, out: Path | None) -> Path:
    """Write the settings where they belong or into a copy of the model; returns the folder."""
    from geoclip.ranking.model_settings import settings_folder  # noqa: PLC0415
    from geoclip.training.checkpoints import writing_to  # noqa: PLC0415

    folder = settings_folder(model) if out is None else out
    with writing_to(folder):
        if out is not None:
            _copy(model, out)
        found.write(folder)
    return folder


def _copy(model: str, out: Path) -> None:
    """Write the model's folder anew, licence and card included; a hub model's is made."""
    from geoclip.encoders import load_encoder  # noqa: PLC0415

    folder = model_folder(model)
    if folder is None:
        load_encoder(model).save(out)
        if model in KNOWN_MODELS:
            typer.echo(f"The weights are under {KNOWN_MODELS[model].licence}.", err=True)
    else:
        shutil.copytree(folder, out, dirs_exist_ok=True)
