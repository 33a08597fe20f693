"""A contact sheet: photos found in a gallery by queries, as one self-contained page."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from geoclip.evaluation.html_page import heading, page, table, write_text
from geoclip.photos.thumbnails import thumbnail

SIDE = 240
"""Pixels of a thumbnail's longer side."""
TITLE = "What was found in the gallery"
FOOTER = "Anyone who gets this page sees these photos and where they were taken."


def write_sheet(
    found: pd.DataFrame, like: Sequence[str], recall: Sequence[Sequence[str]], path: Path
) -> None:
    """Write a page of a table of `Found.table`, with thumbnails of the photos whose `path` is
    readable.

    `like` are the queries that are photos. `recall` is a table that comes first, if it has rows.
    Raises GeoclipError where the page cannot be written.
    """
    parts = [heading("Recall"), table(recall)] if recall else []
    for query, rows in found.groupby("query", sort=False):
        is_photo = query in like
        parts.append(heading(f"Like {Path(query).name}" if is_photo else f"“{query}”"))
        parts.append('<div class="sheet">')
        parts += [_figure(query, ["the photo itself"])] if is_photo else []
        parts += [*_figures(rows), "</div>"]
    write_text(path, page(TITLE, parts, FOOTER, pictures=True))


def _figures(rows: pd.DataFrame) -> Iterator[str]:
    for row in rows.to_dict("records"):
        name = Path(row["path"]).name or row["photo_id"]
        position = f"{row['lat']:.4f}, {row['lon']:.4f}"
        yield _figure(row["path"], [f"{row['rank']}. {row['similarity']:.3f}", name, position])


def _figure(path: str, lines: Sequence[str]) -> str:
    picture = _thumbnail(path) if path else ""
    caption = "<br>".join(map(escape, lines))
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(path: str) -> str:
    """The picture as an HTML element, without its metadata; "" for an unreadable one."""
    data, _ = thumbnail(path, SIDE)
    return f'<img alt="" src="data:image/jpeg;base64,{data}">' if data else ""
