"""`geoclip explain`: the parts of a photo that speak for a caption."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from geoclip.commands.options import MODEL_HELP
from geoclip.commands.progress import progress
from geoclip.commands.terminal import print_table
from geoclip.encoders.registry import DEFAULT_MODEL, check_model_name


class MapMethod(StrEnum):
    """How evidence is found: `encoders.evidence_maps.METHODS`."""

    occlusion = "occlusion"
    gradient = "gradient"


def explain(
    photo: Annotated[Path, typer.Argument(help="A photo.")],
    captions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CAPTION]...",
            help="Captions to explain (default: the three likeliest countries).",
        ),
    ] = None,
    *,
    page: Annotated[Path, typer.Option(help="Page with these parts marked, one .html file.")],
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = DEFAULT_MODEL,
    method: Annotated[
        MapMethod,
        typer.Option(
            help="occlusion: hide parts of the photo in turn; gradient: faster, by the model's "
            "gradient."
        ),
    ] = MapMethod.occlusion,
) -> None:
    """Show which parts of a photo speak for a caption and which against it.

    For instance: geoclip explain photo.jpg "a photo in Japan" "a photo in Korea" --page why.html
    """
    check_model_name(model)
    from geoclip.evaluation.html_page import check_page  # noqa: PLC0415
    from geoclip.runs.explain_photo import explain_photo, write_explained  # noqa: PLC0415

    check_page(page)
    explained = explain_photo(photo, captions or [], model, method, progress)
    write_explained(explained, page)
    rows = zip(explained.captions, explained.shares, strict=True)
    print_table(
        ("caption", "share"), [[name, f"{share:.1%}"] for name, share in rows], right=("share",)
    )
    typer.echo(f"Wrote {page}", err=True)
