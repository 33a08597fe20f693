"""The table of guesses in a notebook: in words, on maps and in a workbook."""

import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from geoclip.errors import GeoclipError
from geoclip.guesses.geo_table import to_geodataframe
from geoclip.guesses.guess_frame import SHOWN, Guesses
from geoclip.guesses.maps import write_map
from geoclip.guesses.spreadsheet import read_workbook

NASTY = "</iframe><script>alert(1)</script>\"'&.jpg"


def guess(path: str, rank: int = 1, **values: object) -> dict[str, object]:
    usual = {"country": "France", "lat": 45.75, "lon": 4.85, "probability": 0.5, "status": "ok"}
    return {"path": path, "rank": rank, **usual, **values}


@pytest.fixture
def guesses() -> Guesses:
    unread = {"country": "", "lat": np.nan, "lon": np.nan, "probability": np.nan}
    rows = [guess(f"a/{NASTY}"), guess("b.jpg"), guess("b.jpg", 2, country="Peru")]
    return to_geodataframe(pd.DataFrame([*rows, guess("c.jpg", status="truncated", **unread)]))


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_it_stays_a_geodataframe_with_its_methods(guesses):
    assert isinstance(guesses, gpd.GeoDataFrame)
    for part in (guesses[guesses["rank"] == 1], guesses.head(2), guesses.sort_values("path")):
        assert type(part) is Guesses and part.crs == "EPSG:4326"
    assert type(guesses[["path", "country"]]) is pd.DataFrame


def test_a_notebook_shows_the_first_guesses_in_words(guesses):
    shown = guesses._repr_html_()
    assert unescape(shown).count("France 50 %") == 2
    assert "Peru" not in shown and "truncated" in shown and "4 rows" in shown
    assert "<script>" not in shown and {tag for tag, _ in Tags(shown).tags} <= {
        *("table", "thead", "tbody", "tr", "th", "td", "p")
    }
    many = to_geodataframe(pd.DataFrame([guess(f"{i}.jpg") for i in range(SHOWN + 3)]))
    assert "and 3 more photos" in many._repr_html_()
    assert "<th>path</th>" in guesses[["path", "geometry"]]._repr_html_()


def test_the_map_is_that_of_the_command_in_a_frame_without_rights(guesses, tmp_path):
    truth = pd.DataFrame({"path": ["b.jpg"], "lat": [45.0], "lon": [4.0]})
    shown = guesses.show(truth)
    write_map(guesses, tmp_path / "map.html", truth)
    ((tag, attributes),) = Tags(shown._repr_html_()).tags
    assert tag == "iframe" and attributes["sandbox"] == "allow-scripts allow-popups"
    assert attributes["srcdoc"] == shown.page == (tmp_path / "map.html").read_text("utf-8")
    assert repr(shown) == "InlineMap(3 photos)"
    shown.save(tmp_path / "saved.html")
    assert (tmp_path / "saved.html").read_bytes() == (tmp_path / "map.html").read_bytes()


def test_a_workbook_holds_texts_and_no_formula(guesses, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    odd = ["=HYPERLINK(1)", "#N/A", "bell\x07.jpg", "+1", "é=1"]
    table = to_geodataframe(pd.DataFrame([guess(path, city="=1+1") for path in odd]))
    table.to_excel(tmp_path / "guesses.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "guesses.xlsx").active
    header, *rows = sheet.iter_rows()
    assert [cell.value for cell in header] == [name for name in table if name != "geometry"]
    assert {cell.data_type for row in rows for cell in row}.isdisjoint({"f", "e"})
    guesses.to_excel(tmp_path / "guesses.xlsx")  # over the first one
    assert len(read_workbook(tmp_path / "guesses.xlsx")) == len(guesses)
    table.to_excel(tmp_path / "guesses.xlsx")
    back = read_workbook(tmp_path / "guesses.xlsx")
    assert back["path"].tolist() == odd
    assert back["city"].tolist() == ["=1+1"] * 5 and back["lat"].astype(float).eq(45.75).all()
    assert [file.name for file in tmp_path.iterdir()] == ["guesses.xlsx"]


def test_what_is_no_workbook_is_refused(guesses, tmp_path):
    with pytest.raises(GeoclipError, match=r"\.xlsx"):
        guesses.to_excel(tmp_path / "guesses.xls")
    with pytest.raises(GeoclipError, match="cannot be written"):
        guesses.to_excel(tmp_path / "gone" / "guesses.xlsx")


def test_geopandas_own_map_gets_what_has_a_point(guesses, monkeypatch):
    """It is drawn in a notebook; its packages take seconds to import."""
    monkeypatch.setattr(gpd.GeoDataFrame, "explore", lambda frame, **given: (frame, given))
    placed, given = guesses.explore(tiles=None)
    assert placed["path"].tolist() == guesses["path"].tolist()[:3]
    assert type(placed) is gpd.GeoDataFrame and given == {"tiles": None}
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "folium", None)
    with pytest.raises(GeoclipError, match=r"geoclip-gzsl\[notebooks\]"):
        guesses.explore()


def test_the_original_is_left_as_it_is(guesses, tmp_path: Path):
    before = guesses.copy()
    guesses.show(), guesses._repr_html_()
    assert guesses.equals(before)
