"""The one reader of CSV lists."""

from pathlib import Path

import pytest

from geoclip.errors import GeoclipError
from geoclip.photos.csv_lists import read_csv_list


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text("Path,location_id,Square\na.jpg, x ,1\n\nfile:caf%E9.jpg,,2\n")
    return path


def test_paths_and_locations(listed: Path) -> None:
    table = read_csv_list(listed)
    assert table["photo_id"].tolist() == ["a.jpg", "file:caf%E9.jpg"]
    assert table["location_id"].tolist() == ["x", ""]
    assert table.index.tolist() == [2, 4]  # rows as a spreadsheet counts them
    assert read_csv_list(listed, "SQUARE")["location_id"].tolist() == ["1", "2"]


def test_a_list_without_locations(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\na.jpg\n")
    assert read_csv_list(tmp_path / "list.csv")["location_id"].tolist() == [""]
    with pytest.raises(GeoclipError, match="has no column location_id"):
        read_csv_list(tmp_path / "list.csv", "location_id")


def test_columns_are_checked_before_rows(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\n''\n")

    def refuse(table: object, file: Path) -> None:
        raise GeoclipError("of my own")

    with pytest.raises(GeoclipError, match="of my own"):
        read_csv_list(tmp_path / "list.csv", check_columns=refuse)
