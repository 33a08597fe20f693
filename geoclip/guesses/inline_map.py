"""The map page inside a notebook."""

import os
import tempfile
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from geoclip.guesses.maps import write_map
from geoclip.support.files import write_whole

HEIGHT = 520
"""Pixels of the frame in a notebook."""


class InlineMap:
    """A map of guesses, which a notebook shows in a frame and `save` writes as an .html file.

    It loads nothing. GitHub's preview of notebooks omits frames.
    """

    def __init__(self, page: str, photos: int) -> None:
        self.page = page
        self.photos = photos

    @classmethod
    def of(
        cls, guesses: pd.DataFrame, truth: pd.DataFrame | None = None, **options: Any
    ) -> "InlineMap":
        """The page of `write_map`, with its options and errors."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "map.html"
            write_map(guesses, file, truth, **options)
            return cls(file.read_text(encoding="utf-8"), guesses["path"].nunique())

    def __repr__(self) -> str:
        return f"InlineMap({self.photos:,} photos)"

    def _repr_html_(self) -> str:
        style = f"width:100%;height:{HEIGHT}px;border:0"
        # Scripts run, but without their own origin they cannot reach the notebook.
        rights = 'sandbox="allow-scripts allow-popups" allow="clipboard-write"'
        page = escape(self.page)
        return f'<iframe title="Map of guesses" {rights} style="{style}" srcdoc="{page}"></iframe>'

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the map as an .html file, whole or not at all."""
        write_whole(Path(path), lambda file: file.write(self.page.encode()))
