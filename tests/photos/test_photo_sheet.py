"""A table with small pictures: no metadata, nothing that could leave a cell."""

import base64
import io
import re

import pytest
from PIL import Image

from geoclip.photos.photo_sheet import MOST_ROWS, SIDE, PhotoTable


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "<b>é&.jpg"
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    Image.new("RGB", (800, 400), (200, 30, 30)).save(path, exif=exif)
    return path


def test_a_table_shows_its_photos(photo, tmp_path):
    (tmp_path / "notes.jpg").write_text("no photo")
    paths = [str(photo), str(tmp_path / "notes.jpg"), "photo 2"]
    table = PhotoTable({"path": paths, "km": [1234.56, 1.0, 2.0], "city": ["<i>", "", ""]})
    shown = table._repr_html_()
    (data,) = re.findall(r'<img alt="" src="data:image/jpeg;base64,([^"]+)">', shown)
    small = Image.open(io.BytesIO(base64.b64decode(data)))
    assert small.size == (SIDE, SIDE // 2) and not small.getexif()
    assert small.getpixel((5, 5)) == pytest.approx((200, 30, 30), abs=6)
    assert "1,235" in shown and "&lt;i&gt;" in shown and "notes.jpg" in shown
    assert "<b>" not in shown and "<i>" not in shown


def test_parts_of_a_table_show_them_too(photo):
    table = PhotoTable({"path": [str(photo), "photo 1"], "km": [2.0, 1.0]})
    assert type(table.sort_values("km")) is type(table.head(1)) is PhotoTable
    assert "<img" not in table[["km"]]._repr_html_()
    many = PhotoTable({"path": ["photo 1"] * (MOST_ROWS + 2)})
    assert "and 2 more rows" in many._repr_html_()
