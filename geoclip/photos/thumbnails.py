"""Small pictures of photos inside HTML, and tables that show them in a notebook."""

import base64
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from geoclip.errors import PhotoError
from geoclip.photos.opening import read_pictures
from geoclip.support.paths import decode_path

SIDE = 240
"""Pixels of a thumbnail's longer side."""
SIDE_IN_TABLES = 120
MOST_ROWS = 50


def thumbnail(path: str, side: int = SIDE) -> str:
    """A photo (the first frame of a video) as an `img` element; "" where it cannot be read.

    It holds the pixels as a JPEG, at most `side` pixels a side, and none of the photo's metadata.
    """
    try:
        picture = read_pictures(decode_path(path), None, 1, side)[0]
    except PhotoError:
        return ""
    picture.thumbnail((side, side))
    content = BytesIO()
    picture.save(content, "JPEG", quality=80)
    data = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'


class PhotoTable(pd.DataFrame):  # type: ignore[misc]  # pandas has no types
    """A DataFrame of photos by `path`, which a notebook shows with thumbnails.

    >>> type(PhotoTable({"path": ["a.jpg", "b.jpg"]}).head(1)).__name__
    'PhotoTable'
    """

    @property
    def _constructor(self) -> type["PhotoTable"]:
        return PhotoTable

    def _repr_html_(self) -> str | None:
        if "path" not in self.columns:
            return super()._repr_html_()  # type: ignore[no-any-return]
        rows = self.head(MOST_ROWS)
        names = [name for name in self.columns if name not in ("path", "geometry")]
        head = "".join(f'<th scope="col">{escape(str(n))}</th>' for n in ["photo", *names])
        lines = []
        for path, cells in zip(rows["path"], rows[names].itertuples(index=False), strict=True):
            picture = thumbnail(str(path), SIDE_IN_TABLES)
            photo = f"{picture}<br>{escape(Path(str(path)).name)}"
            told = "".join(f"<td>{escape(_cell(value))}</td>" for value in cells)
            lines.append(f"<tr><td>{photo}</td>{told}</tr>")
        left = len(self) - len(rows)
        more = f"<p>and {left:,} more rows</p>" if left else ""
        table = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
        return f"<table>{table}</table>{more}"


def _cell(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
