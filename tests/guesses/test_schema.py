import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyogrio.errors import DataSourceError

from geoclip.errors import GeoclipError
from geoclip.guesses import writer as guesses_writer
from geoclip.guesses.geo_table import to_geodataframe
from geoclip.guesses.guess_files import ENDINGS, read_guesses
from geoclip.guesses.schema import (
    COLUMNS,
    NUMBERS,
    TEXTS,
    guess_table,
    to_guesses,
)
from geoclip.guesses.writer import write_guesses
from geoclip.support.paths import decode_path

LATIN = os.fsdecode(b"caf\xe9.jpg")


def rows() -> list[dict]:
    return [
        {
            "path": Path('a,"b"\nc.jpg'),
            "rank": 1,
            "source": "model",
            "place_id": "0042",
            "city": "Lüderitz",
            "country_code": "NA",
            "lat": -26.6481,
            "lon": 15.1591,
            "place_lat": 1 / 3,
            "place_lon": 15.0,
            "probability": 0.25,
            "status": "ok",
        },
        {
            "path": "2020-01-01",
            "rank": 1,
            "source": "gps",
            "lat": 90.0,
            "lon": -180,
            "status": "ok",
        },
        {"path": LATIN, "status": "truncated"},
    ]


def test_the_table_has_the_schemas_columns_and_dtypes():
    table = guess_table(rows())
    assert tuple(table.columns) == COLUMNS
    assert (table[list(NUMBERS)].dtypes == "float64").all()
    assert (table[list(TEXTS)].dtypes == "str").all()
    assert table["rank"].dtype == "int64"
    assert table["rank"].tolist() == [1, 1, 1]
    assert table["source"].tolist() == ["model", "gps", "model"]
    assert table["city"].tolist() == ["Lüderitz", "", ""]
    assert np.isnan(table["lat"].iloc[2])
    assert guess_table(table).equals(table)


def test_an_empty_table_has_the_schema_too():
    table = guess_table([])
    assert len(table) == 0
    assert table.dtypes.equals(guess_table(rows()).dtypes)


def test_geodataframe_has_a_point_for_every_answer():
    frame = to_geodataframe(guess_table(rows()))
    assert frame.crs.to_epsg() == 4326
    assert (frame.geometry.iloc[0].x, frame.geometry.iloc[0].y) == (15.1591, -26.6481)
    assert frame.geometry.iloc[2] is None


@pytest.mark.parametrize("ending", [*ENDINGS, ".GeoJSON"])
@pytest.mark.parametrize(
    "select", [slice(None), slice(2, 3), slice(0)], ids=["all", "none", "empty"]
)
def test_what_is_written_is_read(tmp_path, ending, select):
    table = guess_table(rows()[select])
    path = tmp_path / f"out{ending}"
    write_guesses(table, path)
    write_guesses(table, path)  # over an older file
    result = read_guesses(path)
    pd.testing.assert_frame_equal(result.reset_index(drop=True), table)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    if select == slice(None):
        assert decode_path(result["path"].iloc[2]) == Path(LATIN)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_frame_with_undecodable_names_is_written(tmp_path, ending):
    paths = pd.Series([LATIN], dtype=object)  # pandas' own text type cannot hold this name
    frame = pd.DataFrame({"path": paths, "lat": [1.0], "lon": [2.0]})
    write_guesses(frame, tmp_path / f"out{ending}")
    assert decode_path(read_guesses(tmp_path / f"out{ending}")["path"].iloc[0]) == Path(LATIN)


def test_geojson_is_plain_geojson(tmp_path):
    write_guesses(guess_table(rows()), tmp_path / "out.geojson")
    content = json.loads((tmp_path / "out.geojson").read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    assert "crs" not in content
    assert content["features"][0]["geometry"]["coordinates"] == [15.1591, -26.6481]
    assert content["features"][2]["geometry"] is None
    assert content["features"][2]["properties"]["lat"] is None


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    write_guesses(guess_table(rows()), path)
    before = path.read_bytes()

    def half(table, draft, header):
        draft.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(guesses_writer, "_append_csv", half)
    with pytest.raises(GeoclipError, match="cannot be written"):
        write_guesses(guess_table([]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_of_its_own_errors_gets_one_sentence(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise DataSourceError("Failed to create file.")

    monkeypatch.setattr("geopandas.GeoDataFrame.to_file", refused)
    with pytest.raises(GeoclipError, match=r"written \(Failed to create file\)"):
        write_guesses(guess_table(rows()), tmp_path / "out.gpkg")


def test_unknown_endings_and_folders_are_refused(tmp_path):
    with pytest.raises(GeoclipError, match=r"none of .parquet, .geojson, .csv, .gpkg"):
        write_guesses(guess_table([]), tmp_path / "out.ods")
    with pytest.raises(GeoclipError, match=r"none of .parquet"):
        read_guesses(tmp_path / "out.ods")
    with pytest.raises(GeoclipError, match="its folder does not exist"):
        write_guesses(guess_table([]), tmp_path / "none" / "out.csv")


@pytest.mark.parametrize("ending", [".parquet", ".geojson", ".gpkg"])
def test_absent_and_broken_files_get_one_sentence(tmp_path, ending):
    path = tmp_path / f"in{ending}"
    with pytest.raises(GeoclipError, match="does not exist"):
        read_guesses(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(GeoclipError, match=f"no readable {ending} file") as caught:
        read_guesses(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IMG_ID,lat,lon\na,1,2\nb,91,2\n", "row 3: lat 91"),
        ("IMG_ID,lat,lon\na,nan,2\n", "row 2: lat 'nan' is not a number"),
        ("IMG_ID,lat,lon\na,,\n", "row 2: lat and lon are missing: fill them in"),
        ("path,lat,lon,status\na,,,ok\n", "row 2: lat and lon are missing"),
        ("path,lat,lon,rank\na,1,2,0\n", "row 2: rank is not 1, 2, 3"),
        ("path,lat,lon,rank\na,1,2,\n", "row 2: rank is not 1, 2, 3"),
        ("path,lat\na,1\n", "has no column lon: guesses need"),
        ("IMG_ID,lat,lon\n,1,2\n", "row 2: path is empty"),
        ("IMG_ID,lat,lon\na,140,2\nb,-140,2\n", "swapped in the header"),
    ],
)
def test_bad_guesses_get_one_sentence(tmp_path, text, words):
    path = tmp_path / "guesses.csv"
    path.write_text(text)
    with pytest.raises(GeoclipError, match=words) as caught:
        read_guesses(path)
    assert str(path) in str(caught.value)


def test_nan_in_parquet_is_named_by_row(tmp_path):
    path = tmp_path / "guesses.parquet"
    pd.DataFrame({"path": ["a", "b"], "lat": [1, np.nan], "lon": [1, np.nan]}).to_parquet(path)
    with pytest.raises(GeoclipError, match="row 2: lat and lon are missing"):
        read_guesses(path)
    pd.DataFrame({"path": ["a", "b"], "lat": [1, 2], "lon": [1, np.inf]}).to_parquet(path)
    with pytest.raises(GeoclipError, match=r"row 2: lon"):
        read_guesses(path)


def test_a_photo_that_could_not_be_read_is_no_error(tmp_path):
    path = tmp_path / "guesses.csv"
    path.write_text("path,lat,lon,status\na,1,2,ok\nb,,,truncated\n")
    table = read_guesses(path)
    assert table.index.tolist() == [2, 3]
    assert table["lat"].isna().tolist() == [False, True]


def test_rows_are_guesses_whose_fields_are_the_columns() -> None:
    rows = [{"path": Path("a.jpg"), "city": "Lyon", "country": "France", "probability": 0.25}]
    best, unread = to_guesses(guess_table([*rows, {"path": "b.jpg", "status": "truncated"}]))
    assert (best.path, best.rank, best.source) == ("a.jpg", 1, "model")
    assert tuple(asdict(best)) == COLUMNS
    assert str(best) == "Lyon, France 25 %"
    assert str(unread) == "truncated"
    assert np.isnan(best.radius_km)
