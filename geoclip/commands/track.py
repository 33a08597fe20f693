"""`geoclip track`: where each moment of a video was filmed."""

from pathlib import Path
from typing import Annotated

import typer

from geoclip.commands.options import MODEL_HELP
from geoclip.commands.progress import progress
from geoclip.commands.terminal import print_table
from geoclip.encoders.registry import DEFAULT_MODEL, check_model_name
from geoclip.errors import GeoclipError


def track(
    clip: Annotated[Path, typer.Argument(help="A video.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Rows along time: .csv, .parquet, .geojson or .gpkg.")
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="Map as one .html file.")] = None,
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = DEFAULT_MODEL,
    moments: Annotated[
        int, typer.Option(min=1, help="Pictures that are looked at, at even distances.")
    ] = 16,
    window: Annotated[
        int, typer.Option(min=1, help="Neighbouring moments that answer together; odd.")
    ] = 3,
    top_k: Annotated[int, typer.Option(min=1, help="Places for each moment.")] = 1,
) -> None:
    """Follow a moving clip: a guess for each of its moments, in order of time.

    For instance: geoclip track drive.mp4 --out drive.csv --map drive.html
    """
    check_model_name(model)
    if window % 2 == 0:
        raise GeoclipError(f"--window {window} is even: give an odd number, such as {window + 1}.")
    from geoclip.guesses.guess_files import ENDINGS  # noqa: PLC0415
    from geoclip.guesses.maps import write_map  # noqa: PLC0415
    from geoclip.locator import Locator  # noqa: PLC0415
    from geoclip.runs.clip_track import locate_clip, write_track  # noqa: PLC0415
    from geoclip.runs.run_files import MAP_ENDINGS, check_output  # noqa: PLC0415

    check_output(out, "--out", ENDINGS)
    check_output(map_file, "--map", MAP_ENDINGS)
    locator = Locator.from_pretrained(model, watch=progress)
    for warning in locator.warnings:
        typer.echo(warning, err=True)
    found = locate_clip(clip, locator, moments=moments, window=window, top_k=top_k)
    if out is not None:
        write_track(found, out)
        typer.echo(f"Wrote {out}", err=True)
    if map_file is not None:
        write_map(found, map_file, title="Where the clip was filmed", way=True)
        typer.echo(f"Wrote {map_file}", err=True)
    if out is None:
        columns = ("seconds", "level", "continent", "country", "region", "city", "lat", "lon")
        shown = found.assign(
            **{name: found[name].map("{:.2f}".format) for name in ("seconds", "lat", "lon")}
        )
        rows = shown[list(columns)].astype(str).to_numpy().tolist()
        print_table(columns, rows, right=("seconds", "lat", "lon"))
