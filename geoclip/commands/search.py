"""`geoclip search`: the photos of a gallery that match a text or resemble a photo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoclip.commands.options import DeviceOption
from geoclip.commands.terminal import print_table
from geoclip.encoders.registry import check_model_name
from geoclip.errors import GeoclipError
from geoclip.support.process import made_to_last

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.runs.search_gallery import Found


def search(
    gallery: Annotated[Path, typer.Argument(help="Folder of `geoclip gallery build`.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Words for the photos to find."),
    ] = None,
    *,
    like: Annotated[list[Path] | None, typer.Option(help="Example photo; may be repeated.")] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            help="CSV table of known answers, with photo and text or like: says how many are found."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Photos for each query.")] = 10,
    photos: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder, pattern or table of the gallery's photos, to name those it keeps no path "
            "of; may be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Table of results: .csv, .parquet or .geojson.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="A contact sheet as one .html file, with thumbnails.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The gallery's model (default: its name at that time).")
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Search a gallery by words or by a photo.

    For instance: geoclip search GALLERY "palm trees beside a tram" --page found.html

    A photo finds neither itself nor a copy of it.
    """
    if bool(queries) == bool(texts or like):
        raise GeoclipError("Say what to search for: words, --like PHOTO, or --queries alone.")
    if model is not None:
        check_model_name(model)
    with made_to_last():
        from geoclip.evaluation.html_page import check_page  # noqa: PLC0415
        from geoclip.evaluation.retrieval import RECALL_AT  # noqa: PLC0415
        from geoclip.runs import search_gallery as library  # noqa: PLC0415
        from geoclip.runs.contact_sheet import write_sheet  # noqa: PLC0415
        from geoclip.runs.run_files import check_output  # noqa: PLC0415

    check_output(out, "--out", library.ENDINGS)
    if page is not None:
        check_page(page)
    names = _names_of(photos or [])
    lookup, encoder = library.open_to_search(gallery, model, device)
    asked = library.Queries.of(texts or [], like or [])
    if queries is not None:
        asked, top = library.read_queries(queries, lookup.gallery), max(top, *RECALL_AT)
    found = library.find(lookup, encoder, asked.texts, asked.like, top)
    table, recall = found.table(names), _recall_rows(found, asked.true)
    if out is not None:
        library.write_found(table, out)
    if page is not None:
        write_sheet(table, asked.like, recall, page)
        if not table["path"].any():
            typer.echo(f"{page} has no pictures: name the gallery's photos by --photos.", err=True)
    if recall:
        print_table(recall[0], recall[1:], right=recall[0][1:])
    elif out is None:
        _show(table)


def _names_of(photos: list[str]) -> dict[str, str]:
    """Paths of photos by their ids in galleries."""
    if not photos:
        return {}
    from geoclip.runs.build_gallery import listed_photos  # noqa: PLC0415

    listed = listed_photos(photos)
    return dict(zip(listed["gallery_id"], listed["path"], strict=True))


def _recall_rows(found: "Found", true: list[set[int]]) -> list[list[str]]:
    if not true:
        return []
    shares = found.recall(true)
    titles = {"queries": f"{len(true):,} queries", "chance": "chance"}
    rows = [[titles[who], *(f"{v:.1f} %" for v in of.values())] for who, of in shares.items()]
    return [["", *(f"recall@{k}" for k in shares["queries"])], *rows]


def _show(table: "pd.DataFrame") -> None:
    """A table for each query; file names only where one is known."""
    table = table.assign(name=table["path"].map(lambda path: Path(path).name))
    named = bool((table["path"] != "").any())
    columns = ["rank", "photo_id", *(["name"] if named else []), "lat", "lon", "similarity"]
    digits = {"lat": 4, "lon": 4, "similarity": 3}
    cells = table.assign(
        **{name: table[name].map(f"{{:.{n}f}}".format) for name, n in digits.items()}
    )
    for query, rows in cells.groupby("query", sort=False):
        texts = rows[columns].astype(str).to_numpy().tolist()
        print_table(columns, texts, right=("rank", *digits), title=str(query))
