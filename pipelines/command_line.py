"""What the command lines of all programs share."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from geoclip.errors import GeoclipError
from geoclip.ranking.model_settings import as_tuples
from pipelines.storage import is_uri

BAD_INPUT = 2
Settings = TypeVar("Settings")


def run(main: Callable[[], None]) -> None:
    """Run a program; an error a user can mend is one sentence and exit code 2."""
    try:
        main()
    except Exception as problem:
        cause = _user_error(problem)
        if cause is None:
            raise
        print(f"geoclip: {cause}", file=sys.stderr)
        sys.exit(BAD_INPUT)


def _user_error(problem: BaseException | None) -> GeoclipError | None:
    """Find the GeoclipError that a Ray worker raised, however deeply it is wrapped."""
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        inner = getattr(problem, "worker_failures", None)
        wrapped = next(iter(inner.values())) if inner else getattr(problem, "cause", None)
        # Ray's own error is of the class of what it wraps, too, but reads as a traceback.
        if wrapped is None and isinstance(problem, GeoclipError):
            return problem
        problem = wrapped or problem.__cause__ or problem.__context__
    return None


def add_settings(parser: argparse.ArgumentParser, settings: type, defaults: Any = None) -> None:
    """Add an option for every field of a settings dataclass, with its help and default."""
    group = parser.add_argument_group(settings.__name__.removesuffix("Settings").lower())
    hints = get_type_hints(settings)
    for field in fields(settings):
        default = getattr(defaults, field.name) if defaults is not None else field.default
        option = f"--{field.name.replace('_', '-')}"
        text = f"{field.metadata['help']} (default: %(default)s)"
        told: dict[str, Any] = {"default": default, "help": text}
        choices = [kind for kind in get_args(hints[field.name]) if kind is not type(None)]
        kind = choices[0] if choices else hints[field.name]
        if choices == [float, float]:
            group.add_argument(option, type=float, nargs=2, **told)
        elif kind is bool:
            group.add_argument(option, action=argparse.BooleanOptionalAction, **told)
        else:
            group.add_argument(option, type=kind, **told)


def read_settings(arguments: argparse.Namespace, settings: type[Settings]) -> Settings:
    """Make the settings dataclass from parsed options."""
    values = {field.name: getattr(arguments, field.name) for field in fields(settings)}  # type: ignore[arg-type]
    return settings(**as_tuples(values))


def at_least_one(text: str) -> int:
    """The number of an option that counts workers or places."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def local_path(text: str) -> Path:
    """The path of an option that is no URI: `Path` would make a folder `s3:` of one."""
    if is_uri(text):
        raise argparse.ArgumentTypeError(f"{text} is a URI; give a path on this machine")
    return Path(text)


def photo_parser(description: str | None, out_help: str) -> argparse.ArgumentParser:
    """A parser with the options of every program that sends photos through an encoder."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", action="append", required=True, help="may be repeated")
    parser.add_argument("--model", required=True, help="a known name, a folder, a URI or hf:ID")
    parser.add_argument("--out", required=True, help=out_help)
    parser.add_argument("--actors", type=at_least_one, default=2)
    parser.add_argument("--gpus", type=float, default=0, help="GPUs an actor")
    return parser
