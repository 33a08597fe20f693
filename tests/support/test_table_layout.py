"""Tables as spreadsheets of many languages write them."""

import csv
import io

import pytest

from geoclip.support.angles import decimal_degrees
from geoclip.support.table_layout import layout_of
from geoclip.support.tables import coordinates, read_text_table

ROWS = [
    ("Zürich, See.jpg", "47,3769", "8,5417"),
    ("côte.jpg", "51,5", "-0,12"),
    ("c.jpg", "-33,86", "151,21"),
    ("1;2|3.jpg", "+40", "-7,4e1"),
]
NUMBERS = [[47.3769, 51.5, -33.86, 40], [8.5417, -0.12, 151.21, -74]]


def written(separator: str, rows: list[tuple[str, ...]], end: str = "\r\n") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows([("path", "lat", "lon"), *rows])
    return text.getvalue()


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
@pytest.mark.parametrize("separator", list(";\t|"))
@pytest.mark.parametrize("above", ["", "sep={}\r\n", '"sep={}"\n'])
def test_spreadsheets_of_many_languages_are_read(tmp_path, encoding, separator, above):
    path = tmp_path / "t.csv"
    text = above.format(separator) + written(separator, ROWS)
    path.write_bytes(text.encode(encoding))
    frame = read_text_table(path)
    assert frame["path"].tolist() == [row[0] for row in ROWS]
    assert [numbers.tolist() for numbers in coordinates(frame, path)] == NUMBERS
    first = 3 if above else 2
    assert frame.index.tolist() == list(range(first, first + len(ROWS)))


def test_commas_between_cells_leave_those_in_cells_alone(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(written(",", [("a;b.jpg", "1.5", "2"), ("1,5", "3", "4")]))
    frame = read_text_table(path)
    assert frame["path"].tolist() == ["a;b.jpg", "1,5"]
    path.write_text("sep=,\npath,lat,lon\na,1,2\n")
    assert read_text_table(path).values.tolist() == [["a", "1", "2"]]


@pytest.mark.parametrize("header", ["path", '"path;a;b",lat', "path,lat;x", "", "sep=ab", "sep"])
def test_commas_are_the_rule(tmp_path, header):
    path = tmp_path / "t.csv"
    path.write_text(header)
    assert layout_of(path).separator == ","


def test_a_guessed_encoding_is_said(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_bytes("path,lat,lon\nZürich.jpg,1,2\n".encode("cp1252"))
    assert read_text_table(path)["path"].tolist() == ["Zürich.jpg"]
    assert "t.csv is not UTF-8 text (byte 14)" in caplog.text


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("48°51'24\"N", 48 + 51 / 60 + 24 / 3600),
        ("48° 51′ 24.5″ S", -(48 + 51 / 60 + 24.5 / 3600)),
        ("2 20 56 W", -(2 + 20 / 60 + 56 / 3600)), ("-33:51:30", -33.858333333333334),
        ("48.8566 N", 48.8566), ("w 2,295", -2.295), ("48d51m24s", 48.85666666666667),
        ("12°30'", 12.5), ("0°0'0\"E", 0), ("N48", 48), ("−33,86", -33.86),
        ("48°60'", None), ("N 48 S", None), ("abc", None), ("", None), ("2026-01-01", None),
        ("1,2,3", None), ("48°51'24\"X", None),
    ],
)  # fmt: skip
def test_angles(text, degrees):
    found = decimal_degrees(text)
    assert found == (None if degrees is None else pytest.approx(degrees))
