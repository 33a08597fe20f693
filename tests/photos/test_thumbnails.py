"""Small pictures inside HTML: no metadata, nothing that could leave a cell."""

import base64
import io
import re

import pytest
from PIL import Image

from geoclip.photos.thumbnails import MOST_ROWS, SIDE, PhotoTable, thumbnail


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "<b>é&.jpg"
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    Image.new("RGB", (800, 400), (200, 30, 30)).save(path, exif=exif)
    return path


def picture_of(element: str) -> Image.Image:
    data = re.fullmatch(r'<img alt="" src="data:image/jpeg;base64,([^"]+)">', element)
    assert data is not None
    return Image.open(io.BytesIO(base64.b64decode(data[1])))


def test_a_thumbnail_is_small_and_says_nothing_of_the_camera(photo):
    small = picture_of(thumbnail(str(photo)))
    assert small.size == (SIDE, SIDE // 2) and not small.getexif()
    assert small.getpixel((5, 5)) == pytest.approx((200, 30, 30), abs=6)
    assert picture_of(thumbnail(str(photo), 60)).size == (60, 30)


def test_what_cannot_be_read_has_none(tmp_path):
    (tmp_path / "notes.jpg").write_text("no photo")
    assert thumbnail(str(tmp_path / "notes.jpg")) == thumbnail("photo 0") == ""


def test_a_table_shows_its_photos(photo):
    table = PhotoTable({"path": [str(photo), "photo 1"], "km": [1234.56, 1.0], "city": ["<i>", ""]})
    shown = table._repr_html_()
    assert shown.count("<img ") == 1 and "1,235" in shown and "&lt;i&gt;" in shown
    assert "<b>" not in shown and "<i>" not in shown
    assert type(table.sort_values("km")) is PhotoTable
    assert "<img" not in table[["km"]]._repr_html_()
    many = PhotoTable({"path": ["photo 1"] * (MOST_ROWS + 2)})
    assert "and 2 more rows" in many._repr_html_()
