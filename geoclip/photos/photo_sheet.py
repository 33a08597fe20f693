"""Tables of photos that show them in a notebook."""

from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from geoclip.photos.thumbnails import thumbnail

SIDE = 120
"""Pixels of a picture's longer side."""
MOST_ROWS = 50


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
            data, _ = thumbnail(str(path), SIDE)
            picture = f'<img alt="" src="data:image/jpeg;base64,{data}"><br>' if data else ""
            photo = picture + escape(Path(str(path)).name)
            told = "".join(f"<td>{escape(_cell(value))}</td>" for value in cells)
            lines.append(f"<tr><td>{photo}</td>{told}</tr>")
        left = len(self) - len(rows)
        more = f"<p>and {left:,} more rows</p>" if left else ""
        table = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
        return f"<table>{table}</table>{more}"


def _cell(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
