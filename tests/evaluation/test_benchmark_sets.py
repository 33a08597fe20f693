"""Truth files of benchmarks in their layouts, photos in their folders, and the published rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from geoclip.errors import GeoclipError
from geoclip.evaluation.benchmark_rows import (
    COLUMNS,
    evaluated_rows,
    measured_table,
    published_rows,
    read_guess_parts,
)
from geoclip.evaluation.benchmark_sets import TRUTH_FILES, PhotoSet, read_listed

NAMES, LAT, LON = ["a.jpg", "b.jpg"], [45.75, -33.9], [4.85, 151.2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "00").mkdir(parents=True)
    for name in ("a.jpg", "00/b.jpg"):
        (folder / name).touch()
    return folder


def assert_the_two(listed: pd.DataFrame) -> None:
    assert listed["name"].tolist() == NAMES
    assert listed["lat"].tolist() == LAT
    assert listed["lon"].tolist() == LON


@pytest.mark.parametrize(
    "text",
    [
        "IMG_ID,AUTHOR,LAT,LON,S3_Label\na.jpg,x,45.75,4.85,1\nb.jpg,y,-33.9,151.2,2\n",
        "filename,latitude,longitude\na.jpg,45.75,4.85\nb.jpg,-33.9,151.2\n",
        "id,latitude,longitude,country\na.jpg,45.75,4.85,FR\nb.jpg,-33.9,151.2,AU\n",
        "path,lat,lng\na.jpg,45.75,4.85\nb.jpg,-33.9,151.2\n",
    ],
)
def test_csv_layouts(tmp_path: Path, text: str) -> None:
    (tmp_path / "truth.csv").write_text(text)
    assert_the_two(read_listed(tmp_path / "truth.csv"))


def test_mat_layouts(tmp_path: Path) -> None:
    file, cells = tmp_path / "truth.mat", np.array(NAMES, dtype=object)
    savemat(file, {"filename": cells, "lat": LAT, "lon": LON})
    assert_the_two(read_listed(file))
    savemat(file, {"filename": cells, "GPS": np.stack([LAT, LON], axis=1)})
    assert_the_two(read_listed(file))
    rows = [{"filename": n, "latitude": a, "longitude": o} for n, a, o in zip(NAMES, LAT, LON)]  # noqa: B905
    savemat(file, {"photos": rows})
    assert_the_two(read_listed(file))
    file.write_bytes(b"no matlab")
    with pytest.raises(GeoclipError, match="no readable MATLAB file"):
        read_listed(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,lat,lon\na,1,2\n", "needs IMG_ID, filename or id"),
        ("IMG_ID,LAT,LON\n", "lists no photo"),
        ("IMG_ID,LAT,LON\na.jpg,100,2\n", "row 2"),
        ("IMG_ID,LAT,LON\na.jpg,,\n", "lat and lon are missing"),
        ("IMG_ID,LAT,LON\na.jpg,1,2\na.jpg,1,2\n", "row"),
    ],
)
def test_bad_truth_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(GeoclipError, match=message):
        read_listed(tmp_path / "truth.csv")


def test_photos_are_found_by_path_name_and_id(folder: Path) -> None:
    (folder / "test.csv").write_text("id,latitude,longitude\na,1,2\nb,3,4\ngone,5,6\n")
    photos = PhotoSet.open("osv5m", folder)
    assert photos.found == [str(folder / "a.jpg"), str(folder / "00/b.jpg")]
    assert photos.missing == 1
    assert photos.photos["lat"].tolist() == [1, 3, 5]


def test_what_is_no_benchmark_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    truth = tmp_path / "mine.csv"
    truth.write_text("IMG_ID,LAT,LON\nother.jpg,1,2\n")
    for arguments, message in (
        (("im2gps", folder), r"no truth file of im2gps \(im2gps_places365.csv"),
        (("im2gps", folder, truth), "holds none of the 1 photos"),
        (("im2gsp", folder), "neither a known benchmark"),
        ((str(truth), tmp_path / "nowhere"), "is no folder"),
    ):
        with pytest.raises(GeoclipError, match=message):
            PhotoSet.open(*arguments)


def test_published_rows_are_those_of_the_papers() -> None:
    rows = {row.system: row for row in published_rows("im2gps3k")}
    streetclip = rows["StreetCLIP zero-shot"].figures["within_km"]
    assert streetclip == {"25": 22.4, "200": 37.4, "750": 61.3, "2500": 80.4}
    assert all(row.source and row.protocol for row in rows.values())
    for row in rows.values():
        shares = list(row.figures["within_km"].values())
        assert shares == sorted(shares)
    assert published_rows("im2gps") and published_rows("osv5m")[0].figures["geoscore"] == 3361
    assert published_rows("mine") == []


def test_rows_against_distances_by_hand(folder: Path) -> None:
    (folder / "im2gps.csv").write_text("IMG_ID,LAT,LON\na.jpg,0,0\nb.jpg,0,0\nc.jpg,0,0\n")
    photos = PhotoSet.open("im2gps", folder)
    guesses = pd.DataFrame({"path": photos.found, "lat": [0.0, 1.0], "lon": [0.0, 0.0]})
    (row,) = evaluated_rows(photos, guesses, "mine", "by hand")
    within = row.figures["within_km"]
    assert [round(value, 1) for value in within.values()] == [33.3, 33.3, 66.7, 66.7, 66.7]
    assert row.figures["n"] == 3 and row.figures["missing"] == 1
    elsewhere = guesses.assign(path=["/cluster/a.jpg", "/cluster/b.jpg"])
    (again,) = evaluated_rows(photos, elsewhere, "mine", "")
    assert again.figures == row.figures


def test_refused_photos_are_left_out_and_said(folder: Path) -> None:
    (folder / "im2gps.csv").write_text("IMG_ID,LAT,LON\na.jpg,0,0\nb.jpg,0,0\nc.jpg,0,0\n")
    photos = PhotoSet.open("im2gps", folder)
    guesses = pd.DataFrame({"path": photos.found, "lat": [0.0, None], "lon": [0.0, None]})
    guesses["status"] = ["ok", "no evidence"]
    without, as_misses = evaluated_rows(photos, guesses, "mine", "")
    assert without.system == "mine, without 1 refused as no evidence"
    assert (without.figures["n"], without.figures["missing"]) == (2, 1)
    assert without.figures["within_km"]["1"] == 50
    assert as_misses.system == "mine, with 1 refused as no evidence as misses"
    assert as_misses.figures["n"] == 3
    assert as_misses.figures["within_km"]["1"] == pytest.approx(100 / 3)
    (only,) = evaluated_rows(photos, guesses.iloc[1:], "mine", "")
    assert only.figures["within_km"]["1"] == 0


def test_measured_rows_have_both_means_and_intervals(folder: Path) -> None:
    text = "IMG_ID,LAT,LON,AUTHOR\na.jpg,45.75,4.85,x\nb.jpg,-12.05,-77.04,y\nc.jpg,45.75,4.85,y\n"
    (folder / "im2gps.csv").write_text(text)
    photos = PhotoSet.open("im2gps", folder)
    guesses = pd.DataFrame({"path": photos.found, "lat": [45.75, 0.0], "lon": [4.85, 0.0]})
    (row,) = evaluated_rows(photos, guesses, "mine", "")
    ends = row.figures["intervals"]
    assert (ends["clusters"], ends["n_clusters"]) == ("author", 2)
    assert row.interval("within_km 25") == [0, 100]
    table = measured_table([row, *published_rows("im2gps")])
    (cells,) = [cells for cells in table if cells[2] == "25 km"]
    assert cells[:2] == ["im2gps", "mine"]
    assert cells[3] == "33.3 (0.0 to 100.0)"
    assert cells[4].startswith("25.0 (")  # of France one of two, of Peru none
    assert measured_table(published_rows("im2gps")) == []
    assert len(row.cells()) == len(COLUMNS)


def test_the_parts_of_a_cluster_are_guesses(folder: Path, tmp_path: Path) -> None:
    from geoclip.guesses.writer import write_guesses

    out = tmp_path / "parts"
    out.mkdir()
    for i, name in enumerate(("a.jpg", "b.jpg")):
        part = {"path": [f"s3://b/{name}"], "rank": 1, "source": "model", "status": "ok"}
        write_guesses(pd.DataFrame(part).assign(lat=float(i), lon=0.0), out / f"{i}.parquet")
    table = read_guess_parts(out)
    assert sorted(table["lat"]) == [0, 1]
    (folder / "im2gps.csv").write_text("IMG_ID,LAT,LON\na.jpg,0,0\nb.jpg,0,0\n")
    (row,) = evaluated_rows(PhotoSet.open("im2gps", folder), table, "cluster", "")
    assert row.figures["within_km"]["1"] == 50


def test_parts_keep_what_the_report_needs(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    out.mkdir()
    part = {"path": ["a.jpg"], "rank": 1, "status": "ok", "lat": 0.0, "lon": 0.0, "place_id": "FR"}
    part |= {"level": "country", "probability": 0.7, "radius_km": 5.0, "radius_90_km": 50.0}
    pd.DataFrame(part).to_parquet(out / "0.parquet")
    (folder / "im2gps.csv").write_text("IMG_ID,LAT,LON\na.jpg,0,0\n")
    photos = PhotoSet.open("im2gps", folder)
    (row,) = evaluated_rows(photos, read_guess_parts(out), "cluster", "")
    assert row.figures["within_radius"] == row.figures["within_radius_90"] == 100
    assert row.figures["levels"]["country"]["at_level"] == 100
    (out / "1.parquet").write_bytes(b"no parquet")
    with pytest.raises(GeoclipError, match="holds no Parquet parts of one table"):
        read_guess_parts(out)


def test_every_known_benchmark_has_names_of_truth_files() -> None:
    assert list(TRUTH_FILES) == ["im2gps", "im2gps3k", "yfcc4k", "osv5m"]
    assert all(TRUTH_FILES.values())


def test_published_predictions_give_the_published_row(shared_data: Path, tmp_path: Path) -> None:
    """The ISNs' own file of predictions against the row that their paper prints."""
    truth = shared_data / "im2gps" / "im2gps_places365.csv"
    names = read_listed(truth)["name"]
    for name in names:
        (tmp_path / name).touch()
    photos = PhotoSet.open("im2gps", tmp_path, truth)
    assert photos.missing == 0 and len(photos.photos) == 237
    own = read_guess_parts(shared_data / "im2gps" / "published" / "im2gps_ISNs_M-fstar-S3.csv")
    (row,) = evaluated_rows(photos, own, "ISNs", "")
    assert row.figures["intervals"]["clusters"] == "author"
    within = row.figures["within_km"]
    (printed,) = [row for row in published_rows("im2gps") if row.system == "ISNs"]
    assert within == pytest.approx(printed.figures["within_km"], abs=0.05)
