"""Block by block gives the file that the whole table gives."""

import csv
import errno
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from geoclip.errors import GeoclipError
from geoclip.guesses.geo_table import to_geodataframe
from geoclip.guesses.guess_files import ENDINGS, read_guesses
from geoclip.guesses.schema import guess_table
from geoclip.guesses.writer import GuessWriter, write_guesses


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        {"path": f"{i}é.jpg", "lat": i / 7, "lon": -i, "probability": 0.1, "city": 'Ha "x"\n,'}
        for i in range(5)
    ]
    rows[2]["path"] = "carriage\rreturn.jpg"
    rows[3] |= {"lat": np.nan, "lon": np.nan, "status": "empty", "source": ""}
    rows[4] |= {"lat": np.nan, "lon": np.nan, "status": "empty", "source": ""}
    return guess_table(rows)


def stream(table: pd.DataFrame, path: Path, sizes: list[int], **extra: str) -> None:
    with GuessWriter(path, path.parent / "scratch", extra) as writer:
        start = 0
        for size in sizes:
            writer.write(table[start : start + size])
            start += size


def write_with_geopandas(table: pd.DataFrame, path: Path) -> None:
    frame = to_geodataframe(table)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".csv":
        table.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    elif path.suffix == ".xlsx":
        table.replace("\r", "_x000D_", regex=True).to_excel(path, index=False)  # ISO/IEC 29500
    else:
        frame.to_file(path, geometry_type="Point", index=False)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "name", ["Italy!", "a;b", "rome:day1", "#x", "[1]", "gpkg_x", os.fsdecode(b"\xe9")]
)
def test_names_that_libraries_take_for_something_else(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, name: str
) -> None:
    """GDAL reads `a!b` as b in an archive a, pyarrow `rome:day1` as a URI."""
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = Path(f"{name}{ending}")
    write_guesses(table, path)
    pd.testing.assert_frame_equal(read_guesses(path).reset_index(drop=True), table, atol=1e-6)
    assert [file.name for file in folder.iterdir()] == [path.name]


def test_an_exclamation_mark_spares_another_file(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.gpkg").write_text("mine")
    write_guesses(table, Path("a!mine.gpkg"))
    assert Path("mine.gpkg").read_text() == "mine"
    assert len(read_guesses(Path("a!mine.gpkg"))) == len(table)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("sizes", [[5], [1, 2, 0, 1, 1], [3, 2]])
def test_blocks(table: pd.DataFrame, tmp_path: Path, ending: str, sizes: list[int]) -> None:
    stream(table, tmp_path / f"guesses{ending}", sizes)
    whole = tmp_path / "whole" / f"guesses{ending}"
    whole.parent.mkdir()
    write_with_geopandas(table, whole)
    left, right = read_guesses(tmp_path / f"guesses{ending}"), read_guesses(whole)
    pd.testing.assert_frame_equal(left, right, atol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"guesses{ending}", "whole"]
    if ending not in (".csv", ".xlsx"):
        read = gpd.read_parquet if ending == ".parquet" else gpd.read_file
        frame, other = read(tmp_path / f"guesses{ending}"), read(whole)
        assert frame.crs == other.crs
        assert frame.geometry.notna().tolist() == [True, True, True, False, False]
        assert frame.geometry.x[1] == -1


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_row_at_all(tmp_path: Path, ending: str) -> None:
    stream(guess_table([]), tmp_path / f"guesses{ending}", [])
    assert len(read_guesses(tmp_path / f"guesses{ending}")) == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_extra_columns(table: pd.DataFrame, tmp_path: Path, ending: str) -> None:
    more = table.assign(error_km=[1.5, np.nan, 2, 3, 4], gps_note=["", "no", "", "", ""])
    path = tmp_path / f"guesses{ending}"
    stream(more, path, [2, 3], error_km="float64", gps_note="str")
    if ending == ".parquet":
        frame = pd.read_parquet(path)
    else:
        plain = {".csv": pd.read_csv, ".xlsx": pd.read_excel}
        frame = plain.get(ending, gpd.read_file)(path)
    assert frame["error_km"].tolist() == pytest.approx([1.5, np.nan, 2, 3, 4], nan_ok=True)
    assert frame["gps_note"][1] == "no"
    assert len(read_guesses(path)) == 5


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_error_leaves_the_old_file(table: pd.DataFrame, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"guesses{ending}"
    path.write_text("old")
    with pytest.raises(KeyError), GuessWriter(path, tmp_path / "scratch") as writer:
        writer.write(table)
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_file_is_whole_before_it_counts(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """A disk that fills up at the last byte must not have replaced the old file by then."""
    rows = []

    def fsync(_: int) -> None:
        (draft,) = (tmp_path / "scratch").iterdir()
        rows.append(len(read_guesses(draft)))

    monkeypatch.setattr("geoclip.guesses.writer.os.fsync", fsync)
    stream(table, tmp_path / f"guesses{ending}", [3, 2])
    assert rows == [5]


def test_a_full_disk(table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("geoclip.guesses.writer.os.fsync", full)
    with pytest.raises(GeoclipError, match=r"No space left on device.*same command"):
        stream(table, tmp_path / "guesses.csv", [5])
    assert list(tmp_path.iterdir()) == []


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(GeoclipError, match="ends in none"):
        GuessWriter(tmp_path / "guesses.txt", tmp_path / "scratch")
    (tmp_path / "file").touch()
    with pytest.raises(GeoclipError, match="cannot be written"):
        stream(guess_table([]), tmp_path / "file" / "guesses.csv", [])
