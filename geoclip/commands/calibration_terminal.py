"""Terminal messages of a calibration: its progress, and its changes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from geoclip.commands.progress import progress
from geoclip.commands.terminal import print_table
from geoclip.errors import GeoclipError

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.photos.trained_photos import TrainedPhotos
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.runs.calibrate_model import FreshPhotos, ModelCalibration

UNCALIBRATED = "The tuned model stays uncalibrated."
LEFT_OUT = {
    "source": "photos of sources that were left out",
    "country": "photos of countries that were left out (they are of one source)",
    "block": "photos of 1° blocks that were left out (they are of one source and one country)",
}
"""Groups of left-out photos, the strictest first."""
FIGURES = (
    ("calibration error (ECE) of continents", ("continent", "ece"), "{:.3f}"),
    ("calibration error (ECE) of countries", ("country", "ece"), "{:.3f}"),
    ("50 % radii that hold the true point, %", ("holds_50", "holds"), "{:.0f}"),
    ("90 % radii that hold the true point, %", ("holds_90", "holds"), "{:.0f}"),
    ("median distance, km", ("median_km",), "{:,.0f}"),
    ("GeoScore", ("geoscore",), "{:,.0f}"),
    ("GeoScore, mean over countries", ("geoscore_by_country",), "{:,.0f}"),
)


def run_calibration(
    model: str | Path,
    photos: "FreshPhotos",
    trained: "TrainedPhotos",
    places: "Gazetteer",
    device: str | None,
    keep_posterior: bool = False,
    gallery: str | None = None,
) -> "ModelCalibration":
    """Calibrate a model and show its progress."""
    from geoclip.runs.calibrate_model import calibrate_model  # noqa: PLC0415
    from geoclip.support.process import keep_freed_memory  # noqa: PLC0415

    keep_freed_memory()
    return calibrate_model(
        model, photos, trained, places, device, progress, keep_posterior, gallery
    )


def run_held_out(
    model: Path, table: "pd.DataFrame", places: "Gazetteer", device: str | None
) -> None:
    """Calibrate a model folder on the photos of a table that its training held out, if enough."""
    from geoclip.photos.trained_photos import TrainedPhotos  # noqa: PLC0415
    from geoclip.runs.calibrate_model import FreshPhotos  # noqa: PLC0415
    from geoclip.training.checkpoints import writing_to  # noqa: PLC0415
    from geoclip.training.splits import HELD_BACK, TRAIN  # noqa: PLC0415

    trained = TrainedPhotos.read(model)
    try:
        is_trained = table["split"] == TRAIN
        kept = table["split"].isin(HELD_BACK)
        for_it = kept if kept.any() and not places.has_positions else ~is_trained
        seen = tuple(table.loc[is_trained, "place_id"].unique())
        photos = replace(FreshPhotos.of(table[for_it], trained), seen=seen)
        found = run_calibration(model, photos, trained, places, device)
        with writing_to(model):
            found.write(model)
    except GeoclipError as problem:  # the training was long, and its result is saved
        typer.echo(f"{UNCALIBRATED} {problem}", err=True)
        return
    tell_held_out(found)


def tell_held_out(found: "ModelCalibration") -> None:
    """Say what held-out photos selected, and that they now flatter it."""
    typer.echo("Calibrated on held-out photos; figures measured on them from now on are too good.")
    tell(found)


def tell(found: "ModelCalibration") -> None:
    """Print the left-out photos, the basis of the fit, and its effect on left-out photos."""
    figures = found.figures
    left_out = found.photos.told()
    if left_out:
        typer.echo(left_out)
    typer.echo(f"Fitted on {figures['photos']:,} photos of {figures['places']:,} places.")
    if "gallery" in figures:
        typer.echo("The weights of a gallery were fitted too: give one to geoclip locate.")
    if "class" in figures:
        _tell_classes(figures["class"])
        return
    kind = next((kind for kind in LEFT_OUT if kind in figures), None)
    if kind is None:
        typer.echo("They lie in one 1° block: nothing shows how the settings hold elsewhere.")
        return
    if kind != "source":
        typer.echo(
            "All photos are of one source, so these figures are too good: other sources differ."
        )
    before, after = figures[kind]["before"], figures[kind]["after"]
    typer.echo(f"On {LEFT_OUT[kind]}:")
    rows = [
        (what, _number(before, keys, form), _number(after, keys, form))
        for what, keys, form in FIGURES
    ]
    print_table(("", "before", "after"), rows, right=("before", "after"))


def _tell_classes(figures: dict[str, Any] | None) -> None:
    """What changed at each level of a table, on photos whose classes were left out of the fit."""
    if figures is None:
        typer.echo("Their classes are too few to leave some out: nothing shows how others do.")
        return
    typer.echo("On photos of classes that were left out:")
    before, after = figures["before"], figures["after"]
    forms = {
        (level, name): (f"{words} of {level}", form)
        for level in before
        if level != "gzsl"
        for name, words, form in (
            ("accuracy", "accuracy, mean over classes", "{:.1f}"),
            ("ece", "calibration error (ECE)", "{:.3f}"),
        )
    }
    deepest = [level for level in before if level != "gzsl"][-1]
    forms |= {("gzsl", name): (f"{name} of {deepest}", "{:.1f}") for name in "SUH"}
    rows = [
        (what, _number(before, keys, form), _number(after, keys, form))
        for keys, (what, form) in forms.items()
    ]
    print_table(("", "before", "after"), rows, right=("before", "after"))


def _number(figures: Any, keys: tuple[str, ...], form: str) -> str:
    for key in keys:
        figures = None if figures is None else figures.get(key)
    return "–" if figures is None else form.format(figures)
