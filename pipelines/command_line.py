"""Functions that all programs' command lines share."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from geoclip.commands.terminal import errors_in_one_sentence, inner_errors, user_error
from geoclip.errors import GeoclipError
from pipelines.storage import is_uri


def run(main: Callable[..., None], arguments: Sequence[str] | None = None) -> None:
    """Run a program; a user's mistake prints one sentence and exits with code 2."""
    with errors_in_one_sentence():
        try:
            command_of(main)(arguments)
        except Exception as problem:
            if user_error(problem) is None and (reason := storage_problem(problem)):
                raise GeoclipError(
                    f"The storage refuses or does not answer ({reason}); check the address, the "
                    "credentials and the network. What is done is kept: the same command goes on."
                ) from None
            raise


OF_STORAGE = (OSError, FileNotFoundError, PermissionError)
STORAGE = re.compile("AWS Error|[Bb]ucket|HTTP status|curlCode|[Cc]onnection|[Tt]imed? ?out")
"""Messages of errors of remote storage."""


def storage_problem(problem: BaseException) -> str | None:
    """The storage's message in an error, even if a Ray worker has wrapped it."""
    said = (" ".join(str(e).split()) for e, _ in inner_errors(problem) if type(e) in OF_STORAGE)
    return next((words for words in said if STORAGE.search(words)), None)


def command_of(main: Callable[..., None]) -> Any:
    """The command whose options are the parameters of `main`, and whose help is its module's.

    It is called with a list of words, by default the process's arguments.
    """
    app = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
    )
    app.command(help=sys.modules[main.__module__].__doc__)(main)
    return typer.main.get_command(app)


def local_path(text: str) -> Path:
    """The local path of an option, not a URI: `Path` would make a folder `s3:` from one."""
    if is_uri(text):
        raise typer.BadParameter(f"{text} is a URI; give a path on this machine")
    return Path(text)


def on_this_machine(text: str) -> Any:
    """An option for a local path, with its help."""
    return typer.Option(parser=local_path, metavar="PATH", help=text)


Inputs = Annotated[list[str], typer.Option(help="Input; may be repeated.")]
Model = Annotated[str, typer.Option(help="A known name, a folder, a URI or hf:ID.")]
OutFolder = Annotated[str, typer.Option(help="A folder or URI.")]
Actors = Annotated[int, typer.Option(min=1, help="Processes that run in parallel.")]
Workers = Annotated[int, typer.Option(min=1, help="Training workers.")]
Gpus = Annotated[float, typer.Option(min=0, help="GPUs of each actor.")]
Gpu = Annotated[bool, typer.Option("--gpu", help="One GPU for each worker.")]
Places = Annotated[
    Path | None, typer.Option(help="Folder or file of places instead of the packaged ones.")
]
