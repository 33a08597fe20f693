"""`geoclip sidecar undo`: take back the sidecars that `geoclip locate --sidecar` wrote."""

from pathlib import Path
from typing import Annotated

import typer

from geoclip.commands.terminal import printable

SOME_KEPT = 3

sidecar_app = typer.Typer(help="Take back XMP sidecars.", no_args_is_help=True)


@sidecar_app.callback()
def sidecar() -> None:
    """Take back XMP sidecars."""


@sidecar_app.command()
def undo(
    journal: Annotated[Path, typer.Argument(help="The journal that was written with them.")],
) -> None:
    """Remove exactly the sidecars that a journal names and that are as they were written.

    Exits with 0 when none of them is left, and 3 when some were changed since and stay.
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
