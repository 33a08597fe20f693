"""Workbooks have a table's content, as other programs see it."""

import zipfile

import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.guesses import spreadsheet
from geoclip.guesses.guess_files import read_guesses
from geoclip.guesses.schema import guess_table
from geoclip.guesses.writer import write_guesses

ODD = ["=1+1", "+41", "-1", "@SUM(A1)", "=HYPERLINK(1)", "00123", "1e5", "TRUE", "2026-01-01", "NA"]


def test_texts_stay_texts_and_numbers_numbers(tmp_path):
    table = guess_table([{"path": t, "place_id": "0042", "lat": 1.5, "lon": -0.1} for t in ODD])
    write_guesses(table, tmp_path / "t.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx").worksheets[0]
    header, *rows = sheet.iter_rows()
    names = [cell.value for cell in header]
    assert names == list(table.columns)
    for row, text in zip(rows, ODD, strict=True):
        cells = dict(zip(names, row, strict=True))
        assert (cells["path"].value, cells["path"].data_type) == (text, "s")
        assert (cells["place_id"].value, cells["place_id"].number_format) == ("0042", "@")
        assert (cells["lat"].value, cells["lon"].value, cells["rank"].value) == (1.5, -0.1, 1)
        assert cells["probability"].value is None
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        assert b"<f" not in archive.read("xl/worksheets/sheet1.xml")
    pd.testing.assert_frame_equal(read_guesses(tmp_path / "t.xlsx").reset_index(drop=True), table)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


AWKWARD = st.sampled_from(["_x000D_", "a_x0041_", "\0", "\r\n", " a ", "\x1b"])


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(TEXTS | AWKWARD, min_size=1))
def test_any_text_comes_back(tmp_path, texts):
    book = spreadsheet.Workbook(tmp_path / "t.xlsx", sheet_rows=4)
    frame = pd.DataFrame({"text": texts, "number": range(len(texts))})
    book.append(frame[:2])
    book.append(frame[2:])
    book.close()
    back = spreadsheet.read_workbook(tmp_path / "t.xlsx")
    assert back["text"].tolist() == texts
    assert back["number"].astype(int).tolist() == list(range(len(texts)))


def test_without_the_library_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(spreadsheet, "find_spec", lambda _: None)
    with pytest.raises(GeoclipError, match=r"geoclip-gzsl\[excel\]"):
        write_guesses(guess_table([]), tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []
