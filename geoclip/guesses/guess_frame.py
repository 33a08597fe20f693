"""The table of guesses as a GeoDataFrame with an analyst's methods.

This module imports geopandas; import it where it is needed.
"""

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses.phrases import guess_phrase

if TYPE_CHECKING:
    from geoclip.guesses.inline_map import InlineMap

SHOWN = 20
"""Photos that a notebook lists."""


class Guesses(gpd.GeoDataFrame):  # type: ignore[misc]  # geopandas has no types
    """A GeoDataFrame of guesses (see `geoclip.guesses.schema`), as `Locator.locate` makes it.

    `show` draws the map of `geoclip locate --map`, `explore` geopandas' own map with tiles of the
    internet, `to_excel` writes a workbook, `to_file` and `to_parquet` files for QGIS. A notebook
    shows each photo's guess in words.

    >>> table = Guesses({"path": ["=a.jpg"], "rank": [1], "country": ["Peru"]})
    >>> table._repr_html_()
    '<table>...<td>=a.jpg</td><td>Peru</td>...'
    """

    def _repr_html_(self) -> str:
        if not {"path", "rank", "country"} <= set(self.columns):
            return str(super()._repr_html_())
        first = pd.DataFrame(self[self["rank"] == 1])
        rows = "".join(
            f"<tr><td>{escape(Path(str(row['path'])).name)}</td><td>{escape(_told(row))}</td></tr>"
            for row in first.head(SHOWN).to_dict("records")
        )
        left = max(len(first) - SHOWN, 0)
        more = f"<p>and {left:,} more photos</p>" if left else ""
        head = "<thead><tr><th>photo</th><th>guess</th></tr></thead>"
        size = f"<p>{len(self):,} rows × {len(self.columns)} columns</p>"
        return f"<table>{head}<tbody>{rows}</tbody></table>{more}{size}"

    def show(self, truth: pd.DataFrame | None = None, **options: Any) -> "InlineMap":
        """The map of `geoclip locate --map` inside a notebook; it loads nothing.

        `truth` (path, lat, lon in degrees) is drawn too; `options` and errors are those of
        `write_map`.
        """
        from geoclip.guesses.inline_map import InlineMap  # noqa: PLC0415

        return InlineMap.of(self, truth, **options)

    def to_excel(self, path: str | os.PathLike[str]) -> None:
        """Write a workbook (.xlsx) without the geometry; text that looks like a formula stays text.

        Rows beyond a sheet's limit go to the next. Raises GeoclipError if openpyxl is missing or
        the file cannot be written.
        """
        from geoclip.guesses.spreadsheet import write_workbook  # noqa: PLC0415

        write_workbook(pd.DataFrame(self.drop(columns="geometry", errors="ignore")), Path(path))

    def explore(self, *arguments: Any, **options: Any) -> Any:
        """geopandas' interactive map (folium) of the rows that have a point; see its own help.

        Its tiles come from the internet. Raises GeoclipError if folium or mapclassify is missing.
        """
        placed = gpd.GeoDataFrame(self[self.geometry.notna()])
        try:
            return placed.explore(*arguments, **options)
        except ImportError as problem:
            raise GeoclipError(
                f"explore needs more packages ({str(problem).splitlines()[0]}): "
                "pip install 'geoclip-gzsl[notebooks]'."
            ) from None


def _told(row: dict[Any, Any]) -> str:
    return guess_phrase(row) or str(row.get("status", ""))
