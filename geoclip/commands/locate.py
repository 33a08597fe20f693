"""`geoclip locate`: photos in, a table of guesses and a map out."""

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geoclip.commands.terminal import print_table, printable
from geoclip.errors import GeoclipError
from geoclip.known_models import KNOWN_MODELS, check_model_name

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.locator import Locator

SOME_UNREAD = 3
DEFAULT_MODEL = "street-tiny"
TABLE_ENDINGS = (".parquet", ".geojson", ".csv", ".gpkg")
MAP_ENDINGS = (".html", ".htm")


def locate(
    paths: Annotated[
        list[str], typer.Argument(help="Photos, folders, globs, or a .csv with a `path` column.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Table of guesses: .parquet, .geojson, .csv or .gpkg.")
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="A map as one .html file.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A name of `geoclip models`, a folder, or hf:ID.")
    ] = None,
    gazetteer: Annotated[
        Path | None, typer.Option(help="Folder or file of places instead of the built-in ones.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Guesses for each photo.")] = 5,
    group_by: Annotated[
        str | None, typer.Option(help="CSV column; photos that share a value are one place.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
) -> None:
    """Guess where photos were taken.

    Originals are only read. Exits with 0 when all photos were read, 3 when some were not, and 2
    for bad arguments.
    """
    _check_output(out, "--out", TABLE_ENDINGS)
    _check_output(map_file, "--map", MAP_ENDINGS)
    model = _chosen_model(model)
    photos, groups = _photos(paths, group_by)
    locator = _load(model, gazetteer, device)
    with _progress_bar() as bar:
        task = bar.add_task("locating", total=len(photos))
        guesses = locator.locate(
            photos,
            top_k=top_k,
            group_by=groups,
            progress=lambda done: bar.advance(task, done),
        )
    _print_notices(locator)
    _write(guesses, out, map_file)
    _report_unread(guesses)


def _check_output(path: Path | None, option: str, endings: tuple[str, ...]) -> None:
    """Refuse a file that could not be written before any work is done."""
    if path is None:
        return
    if path.suffix.lower() not in endings:
        listed = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise GeoclipError(f"{option} {path} has an unknown ending: use {listed}.")
    if not path.absolute().parent.is_dir():
        raise GeoclipError(f"The folder of {option} {path} does not exist: create it first.")


def _chosen_model(model: str | None) -> str:
    if model is not None:
        check_model_name(model)
        return model
    if DEFAULT_MODEL in KNOWN_MODELS:
        return DEFAULT_MODEL
    raise GeoclipError(
        "No model comes with this version: name one with --model, a folder or a name from "
        "`geoclip models`."
    )


def _photos(paths: list[str], group_by: str | None) -> tuple[list[Path], list[str] | None]:
    from geoclip.photo_files import photos_and_groups  # noqa: PLC0415

    return photos_and_groups(paths, group_by)


def _load(model: str, gazetteer: Path | None, device: str | None) -> "Locator":
    from geoclip.gazetteer import Gazetteer  # noqa: PLC0415
    from geoclip.locator import Locator  # noqa: PLC0415

    places = None if gazetteer is None else Gazetteer.read(gazetteer)
    return Locator.from_pretrained(model, gazetteer=places, device=device)


def _progress_bar() -> Progress:
    """A bar on stderr, so that stdout holds the table alone; nothing where stderr is a file."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )


def _print_notices(locator: "Locator") -> None:
    for notice in dict.fromkeys(locator.notices):
        typer.echo(f"geoclip: {printable(notice)}", err=True)


def _write(guesses: "pd.DataFrame", out: Path | None, map_file: Path | None) -> None:
    if out is None:
        _print_guesses(guesses)
    else:
        from geoclip.guesses import write_guesses  # noqa: PLC0415

        write_guesses(guesses, out)
        typer.echo(f"Wrote {out}", err=True)
    if map_file is not None:
        from geoclip.maps import write_map  # noqa: PLC0415

        write_map(guesses, map_file)
        typer.echo(f"Wrote {map_file}", err=True)


def _print_guesses(guesses: "pd.DataFrame") -> None:
    columns = ("photo", "rank", "place", "lat", "lon", "probability", "radius km")
    rows = [_table_row(row) for row in guesses.to_dict("records")]
    print_table(columns, rows, right=columns[3:])


def _table_row(row: dict[str, Any]) -> tuple[str, ...]:
    if row["status"] != "ok":
        return str(row["path"]), "", str(row["status"]), "", "", "", ""
    named = [row[level] for level in ("city", "region", "country")]
    return (
        str(row["path"]) if row["rank"] == 1 else "",
        str(row["rank"]),
        ", ".join(name for name in named if isinstance(name, str) and name),
        _number(row["lat"], 3),
        _number(row["lon"], 3),
        _number(row["probability"], 3),
        _number(row["radius_km"], 0),
    )


def _number(value: float | None, digits: int) -> str:
    """The number, or nothing where there is none."""
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _report_unread(guesses: "pd.DataFrame") -> None:
    """Say how many photos could not be read and why; then exit with 3."""
    first = guesses.drop_duplicates("path")
    reasons = Counter(first.loc[first["status"] != "ok", "status"])
    if reasons:
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        unread = sum(reasons.values())
        typer.echo(f"{unread} of {len(first)} photos could not be read: {listed}.", err=True)
        raise typer.Exit(SOME_UNREAD)
