"""`geoclip review`: a page on which guesses are accepted, corrected or rejected."""

from pathlib import Path
from typing import Annotated

import typer

from geoclip.commands.options import GazetteerOption
from geoclip.errors import GeoclipError

PAGE_ENDINGS = (".html", ".htm")


def review(
    guesses: Annotated[Path, typer.Argument(help="Table of guesses of `geoclip locate --out`.")],
    *,
    out: Annotated[Path, typer.Option(help="The page, one .html file.")] = Path("review.html"),
    gazetteer: GazetteerOption = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many photos, the first ones: about 0.1 MB each."),
    ] = None,
) -> None:
    """Write a page to review guesses on, before anything is written beside the photos.

    Run it where `geoclip locate` ran, so that the photos are found. The page shows each photo with
    its guesses and a map, works by keyboard and without a network, and exports reviewed.csv.
    `geoclip sidecar write reviewed.csv` writes sidecars of what was confirmed, and `geoclip
    calibrate MODEL --photos reviewed.csv` takes it as photos of known place.
    """
    from geoclip.guesses.guess_files import read_guesses  # noqa: PLC0415 - pandas is slow to import
    from geoclip.guesses.review_page import write_review  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415
    from geoclip.runs.run_files import check_output  # noqa: PLC0415

    check_output(out, "--out", PAGE_ENDINGS)
    if out.resolve() == guesses.resolve():
        raise GeoclipError(f"--out {out} is the table of guesses: name another file.")
    places = None if gazetteer is None else Gazetteer.read(gazetteer)
    n = write_review(read_guesses(guesses), out, places, limit=limit)
    typer.echo(f"Wrote {out} for {n:,} photos: open it in a browser.", err=True)
    typer.echo("It holds the photos and their paths: whoever gets it sees both.", err=True)
