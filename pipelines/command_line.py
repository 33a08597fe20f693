"""What the command lines of all programs share."""

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
    """Run a program; an error a user can mend is one sentence and exit code 2."""
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
"""What errors of storage that is not on this machine say."""


def storage_problem(problem: BaseException) -> str | None:
    """What storage says in an error, however deeply a worker of Ray has wrapped it."""
    said = (" ".join(str(e).split()) for e, _ in inner_errors(problem) if type(e) in OF_STORAGE)
    return next((words for words in said if STORAGE.search(words)), None)


def command_of(main: Callable[..., None]) -> Any:
    """The command whose options are the parameters of `main`, its help that of main's module.

    It is called with a list of words, by default those of the process.
    """
    app = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
    )
    app.command(help=sys.modules[main.__module__].__doc__)(main)
    return typer.main.get_command(app)


def local_path(text: str) -> Path:
    """The path of an option that is no URI: `Path` would make a folder `s3:` of one."""
    if is_uri(text):
        raise typer.BadParameter(f"{text} is a URI; give a path on this machine")
    return Path(text)


def on_this_machine(text: str) -> Any:
    """An option for a path that is no URI, with its help."""
    return typer.Option(parser=local_path, metavar="PATH", help=text)


Inputs = Annotated[list[str], typer.Option(help="Input; may be repeated.")]
Model = Annotated[str, typer.Option(help="A known name, a folder, a URI or hf:ID.")]
OutFolder = Annotated[str, typer.Option(help="A folder or URI.")]
Actors = Annotated[int, typer.Option(min=1, help="Processes that work side by side.")]
Workers = Annotated[int, typer.Option(min=1, help="Training workers.")]
Gpus = Annotated[float, typer.Option(min=0, help="GPUs of each actor.")]
Gpu = Annotated[bool, typer.Option("--gpu", help="One GPU for each worker.")]
Places = Annotated[
    Path | None, typer.Option(help="Folder or file of places instead of the packaged ones.")
]
