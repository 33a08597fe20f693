"""`geoclip gallery build`: embeddings of geotagged photos, to compare others with."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoclip.commands.options import (
    MODEL_HELP,
    DeviceOption,
    ExcludeOption,
    IncludeHiddenOption,
    JobsOption,
)
from geoclip.commands.terminal import SOME_UNREAD, told_left_out, told_reasons
from geoclip.encoders.registry import DEFAULT_MODEL, check_model_name
from geoclip.errors import GeoclipError
from geoclip.photos.folder_rules import FolderRules
from geoclip.support.process import made_to_last

if TYPE_CHECKING:
    from geoclip.runs.build_gallery import GalleryReport

gallery_app = typer.Typer(
    help="Galleries of geotagged photos, to compare others with.", no_args_is_help=True
)


@gallery_app.callback()
def galleries() -> None:
    """Galleries of geotagged photos, to compare others with."""


@gallery_app.command()
def build(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Photos, videos, folders and patterns whose files state a GPS position, or .csv "
            "tables with path, lat and lon."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the gallery; one that is there grows.")],
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = DEFAULT_MODEL,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Folder that pipelines.embed_photos wrote of the photos in the tables: no photo "
            "is read."
        ),
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Keep the paths of the photos in the gallery.")
    ] = False,
    exclude: ExcludeOption = None,
    include_hidden: IncludeHiddenOption = False,
    jobs: JobsOption = None,
    device: DeviceOption = None,
) -> None:
    """Build a gallery of photos of known position, or add to one.

    The gallery holds embeddings (what the model saw, in numbers) and positions, neither photos nor,
    without --names, their paths.
    The run may be stopped at any moment, and the same command goes on where it was. Photos that
    could not be read are listed in OUT/ledger.csv. Exits with 0 when all photos were read, 3 when
    some were not, and 2 for bad arguments.
    """
    if embeddings is not None:
        report = _of_embeddings(paths, embeddings, out, names)
    else:
        check_model_name(model)
        rules = FolderRules(tuple(exclude or ()), include_hidden)
        report = _of_photos(paths, rules, out, model, names, jobs or os.cpu_count() or 1, device)
    _tell(report, out)
    if report.failures:
        raise typer.Exit(SOME_UNREAD)


def _of_embeddings(paths: list[str], embeddings: Path, out: Path, names: bool) -> "GalleryReport":
    from geoclip.runs.build_gallery import add_embeddings, tabled_photos  # noqa: PLC0415

    if not all(path.lower().endswith(".csv") for path in paths):
        raise GeoclipError("--embeddings needs the .csv tables that say where the photos are from.")
    return add_embeddings(tabled_photos([Path(path) for path in paths]), embeddings, out, names)


def _of_photos(
    paths: list[str],
    rules: FolderRules,
    out: Path,
    model: str,
    names: bool,
    jobs: int,
    device: str | None,
) -> "GalleryReport":
    with made_to_last():
        from geoclip.commands.progress import progress  # noqa: PLC0415
        from geoclip.encoders import load_encoder  # noqa: PLC0415
        from geoclip.locator import default_device  # noqa: PLC0415
        from geoclip.photos.listing import (  # noqa: PLC0415
            PHOTO_SUFFIXES,
            VIDEO_SUFFIXES,
            list_left_out,
        )
        from geoclip.runs.build_gallery import build_gallery, listed_photos  # noqa: PLC0415
        from geoclip.support.process import keep_freed_memory  # noqa: PLC0415

        keep_freed_memory()
        photos, folders = (
            listed_photos(paths, rules),
            [p for p in paths if not p.lower().endswith(".csv")],
        )
        if told := told_left_out(list_left_out(folders, PHOTO_SUFFIXES | VIDEO_SUFFIXES, rules)):
            typer.echo(told, err=True)
        encoder = load_encoder(model, device or default_device(), True).for_photos()
    return build_gallery(photos, out, encoder, model, names=names, jobs=jobs, begin=progress)


def _tell(report: "GalleryReport", out: Path) -> None:
    typer.echo(f"{report.added:,} photos joined {out}.", err=True)
    for count, words in (
        (report.known, "were in it before"),
        (report.without_position, "have no trustworthy position and were left out"),
        (len(report.failures), "could not be read: see ledger.csv in it"),
    ):
        if count:
            typer.echo(f"{count:,} photos {words}.", err=True)
    if report.distrusted:
        typer.echo(f"Not trusted were: {told_reasons(report.distrusted)}.", err=True)
    if report.tuning is not None and report.tuning.probes:
        typer.echo(
            f"It has an index that finds {100 * report.tuning.recall:.1f} % of the ten nearest.",
            err=True,
        )
