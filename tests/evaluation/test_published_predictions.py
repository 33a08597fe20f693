import pytest

from geoclip.errors import GeoclipError
from geoclip.evaluation.published_predictions import read_published_predictions
from geoclip.guesses.schema import COLUMNS


def test_published_predictions(shared_data):
    path = shared_data / "im2gps" / "published" / "im2gps_ISNs_M-fstar-S3.csv"
    published = read_published_predictions(path)
    assert len(published.guesses) == 237
    assert tuple(published.guesses.columns) == COLUMNS
    assert published.accuracies == {
        "1": "0.168776",
        "25": "0.43038",
        "200": "0.518987",
        "750": "0.666667",
        "2500": "0.801688",
    }
    assert published.mean_km == "1732.86"


def test_a_prediction_file_without_its_last_lines(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("img_id,gt_lat,predicted_lat,gt_long,predicted_long\na,0,1,0,2\n")
    published = read_published_predictions(path)
    assert published.guesses[["lat", "lon"]].to_numpy().tolist() == [[1, 2]]
    assert (published.accuracies, published.mean_km) == ({}, None)
    path.write_text("img_id,predicted_lat\na,1\n")
    with pytest.raises(GeoclipError, match="no column predicted_long"):
        read_published_predictions(path)
    path.write_text("img_id,predicted_lat,predicted_long\na,95,1\n")
    with pytest.raises(GeoclipError, match="row 2: lat 95"):
        read_published_predictions(path)


def test_predictions_beside_other_coordinates(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("img_id,lat,lon,predicted_lat,predicted_long\na,50,60,1,2\n")
    published = read_published_predictions(path)
    assert published.guesses[["lat", "lon"]].to_numpy().tolist() == [[1, 2]]


def test_a_last_line_that_is_too_short(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(
        "img_id,predicted_lat,predicted_long\na,1,2\nstreet acc (1km),city,region\n0.1,0.2,0.3\n"
    )
    with pytest.raises(GeoclipError, match="row 4: 3 columns are too few for the accuracies"):
        read_published_predictions(path)
