from pathlib import Path

import pytest

from geoclip.errors import GeoclipError
from geoclip.support.tables import coordinates, read_text_table, refuse_no_coordinates


def table(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message(path: Path) -> str:
    with pytest.raises(GeoclipError) as caught:
        coordinates(read_text_table(path), path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_reads_text_with_spreadsheet_row_numbers(tmp_path):
    path = table(tmp_path, '\ufeffPath, LAT,country_code\r\n a,1,NA\r\n\r\n"b,\nc",2\r\n')
    frame = read_text_table(path)
    assert list(frame.columns) == ["path", "lat", "country_code"]
    assert frame.values.tolist() == [[" a", "1", "NA"], ["b,\nc", "2", ""]]
    assert frame.index.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"path,lat,lon\n\xe9\x81,1,2\n", "not UTF-8"),
        (b"PK\3\4\24\0path,lat,lon\n", "not UTF-8"),
        ("path,lat,lon\n".encode("utf-16") + b"a", "no text"),
        (b"path,lat,lon\na,1,2,3\n", "not a well-formed CSV"),
        (b"path,lat,lon\na,1,2\nb,1,2,3\n", "line 3"),
        (b'path,lat,lon\n"a,1,2\n', "not a well-formed CSV"),
        (b"IMG_ID,LAT,LON,lat,lon\na,1,2,3,4\n", "more than one column lat"),
        (b"path,lat,lon,lat,lon\na,1,2,3,4\n", "more than one column lat"),
    ],
)
def test_a_bad_file_gets_one_sentence(tmp_path, content, words):
    assert words in message(table(tmp_path, content))


def test_absent_files_and_folders_are_named(tmp_path):
    assert "does not exist" in message(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "cannot be read" in message(tmp_path / "folder.csv")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("1,2\n91,0\n", "row 3: lat 91 is not between -90 and 90"),
        ("1,100\n-90.5,0\n91,0\n", "row 3 (and 1 more rows): lat -90.5"),
        ("1,2\n1,181\n", "row 3: lon 181 is not between"),
        ("1,200.5\n", "here -159.5"),
        ("1,360.5\n", "correct or drop the row"),
        ("48°51'24\"N,2\n", "here 48.85667"),
        ('"48,8577",2\n', "here 48.8577"),
        ("48 51.4 N,2\n", "row 2: lat '48 51.4 N' is not a number: write decimal degrees"),
        (
            "48,2 W\n",
            "row 2: lon '2 W' is not a number: write decimal degrees with a point, here -2",
        ),
        ("nan,2\n", "row 2: lat 'nan' is not a number"),
        ("1,inf\n", "row 2: lon 'inf' is not a number"),
        ('"1,5",2\n', "row 2: lat '1,5' is not a number"),
        ("1,\n", "row 2: only one of lat and lon"),
        ("151.2,-33.9\n2.3,48.9\n-122.4,37.8\n", "row 2 (and 1 more rows): lat is 151.2"),
    ],
)
def test_a_bad_row_is_named_with_its_cure(tmp_path, rows, words):
    assert words in message(table(tmp_path, "lat,lon\n" + rows))


def test_swapped_names_are_told_apart_from_a_single_slip(tmp_path):
    swapped = message(table(tmp_path, "lat,lon\n151.2,-33.9\n-122.4,37.8\n"))
    assert "LAT and LON are swapped in the header" in swapped
    slip = message(table(tmp_path, "lat,lon\n1,120\n151.2,-33.9\n"))
    assert "exchange" not in slip
    assert "or exchange LAT and LON" in message(table(tmp_path, "lat,lon\n151.2,-33.9\n"))


@pytest.mark.parametrize(("far", "words"), [(5, "are swapped"), (4, "or exchange LAT and LON")])
def test_one_place_in_twenty_gives_a_swap_away(tmp_path, far, words):
    rows = "48.9,2.3\n" * (100 - far) + "151.2,-33.9\n" * far
    assert words in message(table(tmp_path, "lat,lon\n" + rows))


def test_limits_are_inclusive_and_empty_pairs_are_nan(tmp_path):
    path = table(tmp_path, "path,lat,lon\na,90,-180\nb,-90,180\nc,,\n")
    lat, lon = coordinates(read_text_table(path), path)
    assert lat.tolist()[:2] == [90, -90]
    assert lon.tolist()[:2] == [-180, 180]
    with pytest.raises(GeoclipError, match="row 4: lat and lon are missing"):
        refuse_no_coordinates(lat, lat.index, path)
