"""`geoclip sidecar`: write XMP sidecars of reviewed guesses, and remove sidecars."""

from pathlib import Path
from typing import Annotated

import typer

from geoclip.commands.options import GazetteerOption
from geoclip.commands.terminal import printable

SOME_KEPT = 3

sidecar_app = typer.Typer(
    help="Write sidecars (.xmp files beside photos), and take them back.",
    no_args_is_help=True,
)


@sidecar_app.callback()
def sidecar() -> None:
    """Write sidecars (.xmp files beside photos), and take them back."""


@sidecar_app.command()
def write(
    reviewed: Annotated[
        Path, typer.Argument(help="reviewed.csv from the page of `geoclip review`.")
    ],
    *,
    journal: Annotated[
        Path | None,
        typer.Option(help="File that notes what is written (default: REVIEWED-sidecars.jsonl)."),
    ] = None,
    gazetteer: GazetteerOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the sidecars that would be written.")
    ] = False,
) -> None:
    """Write a sidecar (.xmp file) beside each photo that was accepted or corrected, and no other.

    Photos with their own position and sidecars of other programs stay unchanged. Exits with 0 when
    all photos got one, and 3 when some did not.
    """
    from geoclip.commands.locate_terminal import Terminal  # noqa: PLC0415
    from geoclip.guesses.reviewed import read_reviewed  # noqa: PLC0415 - pandas is slow to import
    from geoclip.guesses.sidecars import write_sidecars  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415

    places = None if gazetteer is None else Gazetteer.read(gazetteer)
    noted = journal or reviewed.with_name(f"{reviewed.stem}-sidecars.jsonl")
    report = write_sidecars(read_reviewed(reviewed, places), noted, dry_run)
    Terminal().sidecars(report, noted)
    for path, reason in report.skipped:
        typer.echo(f"No sidecar for {printable(str(path))}: {reason}.", err=True)
    if report.skipped:
        raise typer.Exit(SOME_KEPT)


@sidecar_app.command()
def undo(
    journal: Annotated[Path, typer.Argument(help="The file that noted what was written.")],
) -> None:
    """Remove exactly the unchanged sidecars of a journal (file of notes).

    Exits with 0 when none of them is left, and 3 when some were changed and stay.
    """
    from geoclip.guesses.sidecars import undo_sidecars  # noqa: PLC0415 - pandas is slow to import

    report = undo_sidecars(journal)
    for path, reason in report.kept:
        typer.echo(f"Kept {printable(str(path))}: {reason}.", err=True)
    gone = f"; {len(report.gone):,} were gone already" if report.gone else ""
    kept = f"; {len(report.kept):,} kept" if report.kept else ""
    typer.echo(f"Removed {len(report.removed):,} sidecars{gone}{kept}.")
    if report.kept:
        raise typer.Exit(SOME_KEPT)
