"""The application: registers the subcommands and turns errors into one sentence."""

import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from geoclip.commands.benchmark import benchmark
from geoclip.commands.calibrate import calibrate
from geoclip.commands.classes import classes
from geoclip.commands.compare import compare
from geoclip.commands.evaluate import evaluate
from geoclip.commands.explain import explain
from geoclip.commands.finetune import finetune
from geoclip.commands.gallery import gallery_app
from geoclip.commands.gazetteers import gazetteer_app
from geoclip.commands.locate import locate
from geoclip.commands.mix import mix
from geoclip.commands.models import models_app
from geoclip.commands.review import review
from geoclip.commands.search import search
from geoclip.commands.sidecar import sidecar_app
from geoclip.commands.terminal import errors_in_one_sentence
from geoclip.commands.track import track


class OneSentenceGroup(TyperGroup):
    """Subcommands whose errors are one sentence."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        with errors_in_one_sentence():
            return super().invoke(ctx)


app = typer.Typer(
    cls=OneSentenceGroup,
    help="Say where on Earth photos were taken. Not for finding out where private people live.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command()(locate)
app.command()(review)
app.command()(evaluate)
app.command()(compare)
app.command()(benchmark)
app.command()(classes)
app.command()(finetune)
app.command()(calibrate)
app.command()(mix)
app.command()(search)
app.command()(explain)
app.command()(track)
app.add_typer(models_app, name="models")
app.add_typer(gallery_app, name="gallery")
app.add_typer(gazetteer_app, name="gazetteer")
app.add_typer(sidecar_app, name="sidecar")


def _print_version(wanted: bool) -> None:
    if wanted:
        from geoclip import __version__  # noqa: PLC0415  (reads the installed metadata)

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Say where on Earth photos were taken. Not for finding out where private people live."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # place names use all scripts
            stream.reconfigure(errors="backslashreplace")
