import io
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from geoclip.commands.evaluate import evaluate
from geoclip.errors import GeoclipError
from geoclip.evaluation.matching import evaluate_files, evaluate_tables, read_answers
from geoclip.evaluation.published_predictions import read_published_predictions
from geoclip.guesses.geo_table import to_geodataframe
from geoclip.guesses.schema import guess_table
from geoclip.guesses.writer import write_guesses
from geoclip.places.sphere import great_circle_km

PUBLISHED = ["im2gps_ISNs_M-fstar-S3.csv", "im2gps_base_M-m.csv"]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def run(*arguments: object):
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracies_to_the_last_digit(shared_data, name):
    """`geoclip evaluate published/NAME --truth im2gps_places365.csv --json` gives these figures."""
    folder = shared_data / "im2gps"
    report = evaluate_files(folder / "published" / name, folder / "im2gps_places365.csv").report()
    published = read_published_predictions(folder / "published" / name)
    for threshold, printed in published.accuracies.items():
        assert f"{report['within_km'][threshold] / 100:.6g}" == printed
    assert f"{report['mean_km']:.2f}" == published.mean_km
    assert (report["n"], report["answered"], report["missing"]) == (237, 237, 0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_distances_photo_by_photo(shared_data, name):
    """The files' distances, two decimals, are ours: haversine on a sphere of 6371.0 km."""
    folder = shared_data / "im2gps"
    lines = (folder / "published" / name).read_text().split("\n\n")[0].splitlines()[1:]
    printed = sorted(float(line.split(",")[5]) for line in lines)
    km = evaluate_files(folder / "published" / name, folder / "im2gps_places365.csv").km
    assert [round(float(d), 2) for d in sorted(km)] == printed


def test_missing_photos_are_misses(tmp_path):
    truth = write(tmp_path / "t.csv", "IMG_ID,LAT,LON\na,0,0\nb,10,10\nc,0,0\n")
    guesses = write(tmp_path / "g.csv", "IMG_ID,lat,lon\nb,10,11\nother,1,1\n")
    evaluation = evaluate_files(guesses, truth)
    km = float(great_circle_km(10, 10, 10, 11))
    assert evaluation.km.tolist() == [math.inf, pytest.approx(km), math.inf]
    assert evaluation.unused == 1
    report = evaluation.report()
    assert list(report)[:7] == [
        "within_km",
        "n",
        "answered",
        "missing",
        "median_km",
        "mean_km",
        "geoscore",
    ]
    assert set(list(report)[7:]) == {
        "no_evidence",
        "within_km_by_country",
        "geoscore_by_country",
        "countries",
        "intervals",
        "without_no_evidence",
        "levels",
        "calibration",
        "radii",
        "risk_coverage",
        "recall_area",
    }
    assert (report["n"], report["answered"], report["missing"]) == (3, 1, 2)
    assert report["median_km"] is None
    assert report["mean_km"] == pytest.approx(km)
    assert report["geoscore"] == pytest.approx(5000 * math.exp(-km / 1492.7) / 3)
    assert report["within_km"]["200"] == pytest.approx(100 / 3)


def test_stated_radii_are_judged(tmp_path):
    """Two of three stated radii hold the place; a photo without a radius does not count."""
    truth = write(tmp_path / "t.csv", "path,lat,lon\na,0,0\nb,0,0\nc,0,0\nd,0,0\n")
    lines = "path,lat,lon,radius_km\na,0,1,112\nb,0,1,111\nc,0,0,0\nd,0,50,\n"
    guesses = write(tmp_path / "g.csv", lines)
    result = run(guesses, "--truth", truth, "--json")
    assert json.loads(result.stdout)["within_radius"] == pytest.approx(100 * 2 / 3)
    assert "holds the place of 66.7 %" in run(guesses, "--truth", truth).stdout


def test_no_guesses_at_all(tmp_path):
    truth = write(tmp_path / "t.csv", "IMG_ID,LAT,LON\na,0,0\n")
    result = run(write(tmp_path / "g.csv", "IMG_ID,lat,lon\n"), "--truth", truth, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["missing"], report["mean_km"], report["geoscore"]) == (1, None, 0)
    assert "1 of 1 photos have no answer" in result.stderr


@pytest.mark.parametrize(
    "name",
    ["photos/a.jpg", "{folder}/photos/a.jpg", "./truth/photos/a.jpg", "linked/photos/a.jpg"],
)
def test_spellings_of_a_path_meet(tmp_path, monkeypatch, name):
    truth = write(tmp_path / "truth/t.csv", "path,lat,lon\nphotos/a.jpg,1,2\nphotos/b.jpg,3,4\n")
    (tmp_path / "linked").symlink_to(tmp_path / "truth")
    monkeypatch.chdir(tmp_path)
    guesses = write(tmp_path / "g.csv", f"path,lat,lon\n{name.format(folder=truth.parent)},1,2\n")
    assert evaluate_files(guesses, truth).km.tolist() == [0, math.inf]
    assert evaluate_files(guesses, Path("truth/t.csv")).km.tolist() == [0, math.inf]


def test_img_ids_meet_photos_anywhere_but_other_files_do_not(tmp_path):
    here = write(tmp_path / "elsewhere" / "a.jpg", "")
    guesses = write(tmp_path / "g.csv", f"path,lat,lon\n{here},1,2\n")
    by_id = write(tmp_path / "t.csv", "IMG_ID,LAT,LON\na.jpg,1,2\n")
    assert evaluate_files(guesses, by_id).km.tolist() == [0]
    by_path = write(tmp_path / "p.csv", "path,lat,lon\na.jpg,1,2\n")
    assert evaluate_files(guesses, by_path).km.tolist() == [0]
    write(tmp_path / "a.jpg", "")  # now they are two files
    with pytest.raises(GeoclipError, match=r"answers no photo of .*check that the two belong"):
        evaluate_files(guesses, by_path)


def test_paths_meet_by_their_ends(tmp_path):
    """Tables of another machine: which paths match, which are reported, and which are ambiguous."""
    lines = "trip/1.jpg,0,0\nhome/1.jpg,10,10\n2.jpg,20,20\n3.jpg,30,30\n"
    truth = write(tmp_path / "t.csv", f"path,lat,lon\n{lines}")
    rows = "/a/trip/1.jpg,0,0\n/a/home/1.jpg,10,10\n/a/b/2.jpg,20,20\n/a/work/1.jpg,0,0\n"
    guesses = write(tmp_path / "g.csv", f"path,lat,lon\n{rows}")
    assert evaluate_files(guesses, truth).km.tolist() == [0, 0, 0, math.inf]
    told = run(guesses, "--truth", truth).stderr.splitlines()
    assert "1 guesses ignored for photos that are not in the truth (/a/work/1.jpg)." in told
    assert "1 of 4 photos have no answer: counted as misses (3.jpg)." in told
    guesses.write_text(f"path,lat,lon\n{rows}/b/2.jpg,20,20\n")
    with pytest.raises(GeoclipError, match=r"g.csv, row 4 \(and 1 more rows\): .*several photos"):
        evaluate_files(guesses, truth)
    guesses.write_text("path,lat,lon\n1.jpg,0,0\n")
    with pytest.raises(GeoclipError, match=r"row 2: the end of '1.jpg' fits several photos"):
        evaluate_files(guesses, truth)


def test_two_files_here_never_match_by_their_ends(tmp_path):
    """Paths are also relative to the truth's folder, where nobody is while the tables are read."""
    truth = write(tmp_path / "t.csv", "path,lat,lon\na/1.jpg,0,0\nb/2.jpg,1,1\n")
    guesses = write(tmp_path / "g.csv", "path,lat,lon\n1.jpg,0,0\nb/2.jpg,1,1\n")
    (tmp_path / "a").mkdir()
    assert evaluate_files(guesses, truth).missing == 0
    write(tmp_path / "1.jpg", "")
    write(tmp_path / "a" / "1.jpg", "")
    assert evaluate_files(guesses, truth).unmatched == ("1.jpg",)


def test_photos_with_gps_are_left_out(tmp_path):
    """The figures are those of tables without these photos, whatever else is asked."""
    lines = ["a,1,2", "b,3,4", "c,5,6", "d,7,8"]
    truth = write(tmp_path / "t.csv", "\n".join(["path,lat,lon", *lines]))
    rows = ["b,1,3,4,gps", "b,2,3,5,gps", "x,1,0,0,model", "d,1,7,9,model", "c,1,5,7,model"]
    guesses = write(tmp_path / "g.csv", "\n".join(["path,rank,lat,lon,source", *rows]))
    found = evaluate_files(guesses, truth, skip_gps=True)
    fewer = write(tmp_path / "fewer.csv", "\n".join(["path,lat,lon", *lines[:1], *lines[2:]]))
    model = write(tmp_path / "model.csv", "\n".join(["path,rank,lat,lon,source", *rows[2:]]))
    assert found.km.tolist() == evaluate_files(model, fewer).km.tolist()
    assert found.report() == evaluate_files(model, fewer).report()
    assert (found.skipped, found.missing, found.unmatched) == (1, 1, ("x",))
    told = run(guesses, "--truth", truth, "--skip-gps", "--report", tmp_path / "r.html")
    assert "1 photos left out that answer with their own GPS." in told.stderr
    assert "answer with their own GPS" in (tmp_path / "r.html").read_text()
    assert "--skip-gps" in str(run(guesses, "--truth", truth).exception)
    album = write(tmp_path / "album.csv", "path,lat,lon,source\na,1,2,gps\nb,3,4,album\n")
    with pytest.raises(GeoclipError, match=r"row 3: .*'album'.*: drop such rows"):
        evaluate_files(album, truth, skip_gps=True)
    only = write(tmp_path / "only.csv", "path,lat,lon\nb,3,4\n")
    with pytest.raises(GeoclipError, match="All photos answer with their own GPS"):
        evaluate_files(guesses, only, skip_gps=True)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".geojson", ".gpkg"])
def test_located_photos_of_every_ending(tmp_path, ending):
    truth = write(tmp_path / "t.csv", "path,lat,lon\na,1,2\nb,3,4\nfile:caf%E9,5,6\n")
    rows = [
        {"path": "a", "rank": 2, "lat": 1, "lon": 2, "status": "ok"},
        {"path": "a", "rank": 1, "lat": 1, "lon": 3, "status": "ok"},
        {"path": "b", "status": "truncated"},
        {"path": os.fsdecode(b"caf\xe9"), "lat": 5, "lon": 6, "status": "ok"},
    ]
    write_guesses(guess_table(rows), tmp_path / f"g{ending}")
    km = evaluate_files(tmp_path / f"g{ending}", truth).km.tolist()
    assert km == [pytest.approx(float(great_circle_km(1, 2, 1, 3))), math.inf, 0]


def test_answers_of_other_sources_need_leave(tmp_path):
    truth = write(tmp_path / "t.csv", "path,lat,lon\na,1,2\nb,1,2\n")
    guesses = write(tmp_path / "g.csv", "path,source,lat,lon\na,model,1,2\nb,gps,1,2\n")
    with pytest.raises(GeoclipError, match=r"row 3: the answer's source is 'gps'.*--allow-gps"):
        evaluate_files(guesses, truth)
    assert evaluate_files(guesses, truth, allow_gps=True).answered == 2
    assert run(guesses, "--truth", truth, "--json", "--allow-gps").exit_code == 0


def test_a_gallerys_answers_count(tmp_path):
    """It never answers with the photo itself."""
    truth = write(tmp_path / "t.csv", "path,lat,lon\na,45.8,4.9\n")
    row = {"path": "a", "source": "gallery", "level": "spot", "lat": 45.8, "lon": 4.9}
    named = {"country_code": "FR", "country": "France", "continent": "Europe", "status": "ok"}
    write_guesses(guess_table([row | named]), tmp_path / "g.csv")
    assert evaluate_files(tmp_path / "g.csv", truth).km.tolist() == [0]


def test_two_answers_for_one_photo_are_refused(tmp_path):
    truth = write(tmp_path / "t.csv", "path,lat,lon\na,1,2\n")
    guesses = write(tmp_path / "g.csv", f"path,lat,lon\na,1,2\n{tmp_path}/a,1,2\n")
    with pytest.raises(GeoclipError, match="row 3: a second answer for"):
        evaluate_files(guesses, truth)


def test_the_command_prints_levels_or_json(tmp_path):
    truth = write(tmp_path / "t.csv", "IMG_ID,LAT,LON\na,0,0\nb,0,0\n")
    guesses = write(tmp_path / "g.csv", "IMG_ID,lat,lon\na,0,0\n")
    text = run(guesses, "--truth", truth)
    assert text.exit_code == 0
    for word in ("street", "city", "region", "country", "continent", "50.00 %", "GeoScore 2500.0"):
        assert word in text.stdout
    report = json.loads(run(guesses, "--truth", truth, "--json").stdout)
    assert report["within_km"] == {"1": 50, "25": 50, "200": 50, "750": 50, "2500": 50}
    assert report["median_km"] is None


def test_bad_arguments_exit_with_2_and_one_sentence(tmp_path):
    from geoclip.commands.app import app

    truth = write(tmp_path / "t.csv", "IMG_ID,LAT,LON\na,0,0\n")
    guesses = write(tmp_path / "g.csv", "IMG_ID,lat,lon\na,91,0\n")
    result = CliRunner().invoke(app, ["evaluate", str(guesses), "--truth", str(truth), "--json"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "row 2: lat 91" in result.stderr
    assert result.stderr.count("\n") == 1


def table(text: str) -> pd.DataFrame:
    """As read by an analyst's own pandas: numbers are numbers."""
    return pd.read_csv(io.StringIO(text))


def test_tables_are_evaluated_as_files_are(shared_data, tmp_path):
    folder = shared_data / "im2gps"
    files = folder / "published" / PUBLISHED[0], folder / "im2gps_places365.csv"
    evaluation = evaluate_tables(read_answers(files[0]), pd.read_csv(files[1]))
    np.testing.assert_array_equal(evaluation.km, evaluate_files(*files).km)
    own = table("path,rank,lat,lon,radius_km,extra\na,1,1,2,5,x\na,2,9,9,,y\nb,1,3,4,,z\n")
    truth = table("IMG_ID,LAT,LON\nb,3,5\na,1,2\nc,0,0\n")
    own.to_csv(tmp_path / "g.csv", index=False)
    truth.to_csv(tmp_path / "t.csv", index=False)
    by_file, by_table = (
        evaluate_files(tmp_path / "g.csv", tmp_path / "t.csv"),
        evaluate_tables(own, truth),
    )
    np.testing.assert_array_equal(by_table.km, by_file.km)
    np.testing.assert_array_equal(by_table.stated("radius_km"), by_file.stated("radius_km"))
    assert by_table.report() == by_file.report()


def test_tables_take_paths_numbers_and_points(tmp_path, monkeypatch):
    """Ids of any kind, a GeoDataFrame, any index; relative paths start at the working directory."""
    monkeypatch.chdir(tmp_path)
    guesses = guess_table(
        [{"path": tmp_path / "a.jpg", "lat": 1, "lon": 2}, {"path": "b.jpg", "lat": 3, "lon": 4}]
    )
    truth = pd.DataFrame({"Path": [Path("b.jpg"), Path("a.jpg")], "lat": [3, 1], "lon": [4.0, 2.0]})
    twice = truth.set_axis([7, 7])
    assert evaluate_tables(to_geodataframe(guesses), twice).km.tolist() == [0, 0]
    by_id = evaluate_tables(table("img_id,lat,lon\n7,1,2\n"), table("IMG_ID,LAT,LON\n7,1,2\n"))
    assert by_id.km.tolist() == [0]


@pytest.mark.parametrize(
    ("guesses", "truth", "said"),
    [
        ("path,lat,lon\na,91,0\n", "path,lat,lon\na,1,2\n", r"guesses, row 0: lat 91"),
        ("path,lat,lon\na,x,0\n", "path,lat,lon\na,1,2\n", r"guesses, row 0: lat 'x'"),
        ("path,lat,lon\na,1,2\n", "path,lat,lon\na,1,2\nb,,\n", r"truth, row 1: .*missing"),
        ("path,lat,lon\na,1,2\n", "path,lat,lon\na,1,2\na,1,2\n", r"truth, row 1: photo 'a'"),
        ("path,lat,lon\na,1,2\n", "path,lat,lon\n,1,2\n", r"truth, row 0: path is empty"),
        ("path,lat,lon\na,1,2\n", "path,lat\na,1\n", r"truth has the columns path, lat"),
        ("path,lat,lon\na,1,2\n", "path,lat,lon\n", r"truth lists no photo"),
        ("path,lat,lon\na,1,2\n", "path,lat,lon\nb,1,2\n", r"answers no photo of .*truth"),
        ("path,lat,lon\na,1,2\na,1,2\n", "path,lat,lon\na,1,2\n", r"row 1: a second answer"),
        ("path,lat\na,1\n", "path,lat,lon\na,1,2\n", r"guesses has no column lon"),
        (
            "path,source,lat,lon\na,gps,1,2\n",
            "path,lat,lon\na,1,2\n",
            r"row 0: .*'gps'.*allow_gps=True",
        ),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_as_files_are(guesses, truth, said):
    with pytest.raises(GeoclipError, match=said) as caught:
        evaluate_tables(table(guesses), table(truth))
    assert len(str(caught.value).splitlines()) == 1
