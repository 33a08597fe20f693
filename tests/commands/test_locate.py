"""`geoclip locate` with an encoder without weights: arguments, outputs, exit codes."""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_locator import FakeLocator, use_fake_locator
from gps_files import exif_of, gpx
from PIL import Image
from small_world import CITIES
from typer.testing import CliRunner, Result

from geoclip.commands import locate as command
from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.guesses.guess_files import ENDINGS, read_guesses
from geoclip.guesses.schema import COLUMNS
from geoclip.locator import Locator
from geoclip.photos.listing import VIDEO_SUFFIXES
from geoclip.places.gazetteer import Gazetteer


@pytest.fixture(autouse=True)
def fake_locator(monkeypatch: pytest.MonkeyPatch, small_gazetteer: Gazetteer) -> None:
    use_fake_locator(monkeypatch, small_gazetteer)


def make_photo(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return make_photo(tmp_path / "photo.jpg")


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, ["locate", *map(str, arguments)], input=stdin)


def assert_refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 2
    assert result.stderr.startswith("geoclip: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize("ending", ENDINGS)
def test_tables(photo: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"guesses{ending}"
    result = run(photo, "--model", "streetclip", "--out", out, "--top-k", 2)
    assert result.exit_code == 0, result.output
    table = read_guesses(out)
    assert list(table["rank"]) == [1, 2]
    assert set(COLUMNS) <= set(table.columns)
    assert result.stdout == ""


def test_the_endings_are_those_of_the_writer() -> None:
    assert command.TABLE_ENDINGS == ENDINGS


def test_the_table_on_the_terminal(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = FakeLocator.gazetteer_of_ten
    row = table.level_rows("country")[0]
    monkeypatch.setattr(table, "names", np.where(table.names == table.names[row], "[red]F", ""))
    given = photo, "--model", "streetclip", "--top-k", 10
    result = run(*given, "--level", "country")
    assert result.exit_code == 0
    assert "photo.jpg" in result.stdout
    assert "[red]F" in result.stdout  # text, not markup
    sure = run(*given, "--confidence", 1)
    assert "cannot tell (" in sure.stdout and "Europe" in sure.stdout
    assert (
        run(*given, "--level", "street").exit_code == run(*given, "--confidence", 2).exit_code == 2
    )
    assert result.stderr.count("weights are random") == 1
    assert result.stderr.count("probabilities of this model are not calibrated") == 1


def test_tracks(photo: Path, tmp_path: Path) -> None:
    taken = datetime(2023, 5, 1, 14, 0, 30)
    exif = exif_of(taken=taken.strftime("%Y:%m:%d %H:%M:%S"))
    Image.open(photo).save(photo, exif=exif)
    points = [(taken - timedelta(hours=2, seconds=s), 45.7, 4.8) for s in (-20, 20)]
    tracks = gpx(tmp_path / "a.gpx", points), gpx(tmp_path / "b.gpx", points[:1])
    out = tmp_path / "guesses.csv"
    named = [text for track in tracks for text in ("--gpx", track)]
    result = run(photo, "--out", out, *named, "--gpx-offset", "+02:00")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out)
    assert table[["source", "lat", "gps_file"]].values.tolist() == [["gps", 45.7, "a.gpx"]]
    result = run(photo, "--out", out, "--gpx", *tracks[::-1], "--gpx-offset", "2:00")  # a shell's
    assert result.exit_code == 0, result.output
    assert pd.read_csv(out)["gps_file"].tolist() == ["a.gpx"]
    assert_refused(run(photo, "--gpx", tracks[0], "--gpx-offset", "two"), "'two'", "+02:00")
    assert_refused(run(photo, "--gpx", photo), "photo.jpg is no usable GPX track")
    assert_refused(run(photo, "--gpx", tracks[0], "--out", "a.gpx"), "unknown ending")


def test_method_and_point_override_the_models_own(photo: Path, tmp_path: Path) -> None:
    out, own = tmp_path / "guesses.csv", FakeLocator.from_pretrained("streetclip")
    options = ("--model", "streetclip", "--out", out, "--evidence", "off", "--top-k", 10)
    protocol = ("--method", "greedy", "--point", "city", "--level", "city")
    assert run(photo, *options, *protocol).exit_code == 0
    table = read_guesses(out)
    values = own.embed([photo]).values
    places = own.gazetteer
    scores = own.index.embeddings @ values[0]
    countries = {places.country_codes[row] for row in places.level_rows("city")}
    best = max(countries, key=lambda code: scores[places.rows([code])[0]])
    inside = [row for row in places.level_rows("city") if places.country_codes[row] == best]
    assert table["place_id"].tolist() == [
        places.ids[row] for row in sorted(inside, key=lambda row: -scores[row])
    ]
    first = table.iloc[0]
    assert (first["lat"], first["lon"]) == (first["place_lat"], first["place_lon"])
    refused = run(photo, "--method", "best")
    assert refused.exit_code == 2 and "--method" in refused.stderr


def test_a_gallery_that_is_none_is_refused(photo: Path, tmp_path: Path) -> None:
    result = run(photo, "--model", "streetclip", "--gallery", tmp_path / "none")
    assert result.exit_code == 2
    assert "is no gallery" in result.stderr and "Traceback" not in result.stderr


def test_some_unread(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("text")
    result = run(
        tmp_path, tmp_path / "absent.jpg", "--model", "streetclip", "--out", tmp_path / "o.csv"
    )
    assert result.exit_code == 3
    assert "2 of 3 photos could not be read: 1 not a photo, 1 missing." in result.stderr
    assert list(read_guesses(tmp_path / "o.csv").drop_duplicates("path")["status"]) == [
        "not a photo", "ok", "missing",
    ]  # fmt: skip


def test_map(photo: Path, tmp_path: Path) -> None:
    result = run(photo, "--model", "streetclip", "--map", tmp_path / "map.html")
    assert result.exit_code == 0
    assert "photo.jpg" in (tmp_path / "map.html").read_text()
    assert str(tmp_path) not in (tmp_path / "map.html").read_text()


def test_options_reach_the_locator(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,location_id\nphoto.jpg,there\n")
    arguments = ("--model", "hf:some/model", "--device", "cpu", "--location-id", "location_id")
    assert run(tmp_path / "list.csv", *arguments, "--top-k", 3).exit_code == 0
    asked = FakeLocator.asked
    assert (asked["name"], asked["device"], asked["gazetteer"]) == ("hf:some/model", "cpu", None)
    assert (asked["precision"], asked["compile"]) == ("auto", False)
    assert run(photo, *arguments[:2], "--precision", "bf16", "--compile").exit_code == 0
    assert (FakeLocator.asked["precision"], FakeLocator.asked["compile"]) == ("bf16", True)


def test_a_gazetteer_of_ones_own(photo: Path, tmp_path: Path) -> None:
    result = run(photo, "--model", "streetclip", "--gazetteer", tmp_path / "absent.csv")
    assert_refused(result, "absent.csv")


def test_bad_arguments(photo: Path, tmp_path: Path) -> None:
    model = ("--model", "streetclip")
    assert_refused(run(photo, *model, "--out", "x.txt"), ".parquet, .geojson, .csv, .gpkg or .xlsx")
    assert_refused(run(photo, *model, "--out", tmp_path / "no" / "x.csv"), "does not exist")
    assert_refused(run(photo, *model, "--map", photo), ".html")
    for option in ("--location-id", "--group-by"):
        assert_refused(run(photo, *model, option, "location_id"), "needs a .csv")
    (tmp_path / "folder").mkdir()
    assert_refused(run(tmp_path / "folder", *model), "No photos were found")
    assert run(photo, *model, "--top-k", 0).exit_code == 2
    assert run(photo, *model, "--precision", "fp8").exit_code == 2
    assert run(*model).exit_code == 2
    assert run(photo, "--no-such-option").exit_code == 2


def test_an_input_is_not_written_over(photo: Path, tmp_path: Path) -> None:
    lists = [tmp_path / name for name in ("list.csv", "o.parquet-ledger.csv", "o.html")]
    for path in lists:
        path.write_text("path,lat\nphoto.jpg,1\n")
    (tmp_path / "link.csv").symlink_to(lists[0])
    for arguments in (
        (lists[0], "--out", tmp_path / "." / "list.csv"),
        (lists[0], "--out", tmp_path / "link.csv"),
        (lists[1], "--out", tmp_path / "o.parquet"),
        (photo, lists[2], "--map", lists[2]),
    ):
        assert_refused(run(*arguments, *MODEL), "would take the place of")
    assert all(path.read_text() == "path,lat\nphoto.jpg,1\n" for path in lists)


def test_places_and_other_tables_are_not_written_over(photo: Path, tmp_path: Path) -> None:
    places = tmp_path / "places.csv"
    places.write_text("name,lat,lon\nLyon,45.75,4.85\n")
    result = run(photo, "--gazetteer", places, "--out", places, *MODEL)
    assert_refused(result, "would take the place of")
    other = tmp_path / "trip.csv-ledger.csv"
    other.write_text("path,lat\nphoto.jpg,1\n")
    assert_refused(run(photo, "--out", tmp_path / "trip.csv", *MODEL), "is no ledger of an earlier")
    assert other.read_text() == "path,lat\nphoto.jpg,1\n"


def test_what_a_run_writes_is_no_photo_of_the_next(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "k"
    folder.mkdir()
    shutil.copy(photo, folder / "one.jpg")
    out, kept = folder / "g.csv", folder / "emb"
    given = (folder / "*", "--out", out, "--keep-embeddings", kept, *MODEL)
    first = run(*given)
    assert first.exit_code == 0, first.output
    table = out.read_text()
    again = run(*given)
    assert again.exit_code == 0, again.output
    assert out.read_text() == table
    assert not (folder / "g.csv-ledger.csv").exists()


def test_a_list_on_a_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.sys, "stdin", None)
    with pytest.raises(GeoclipError, match="which is closed"):
        command._with_list_on_stdin(["-"])


def test_an_unknown_model_is_answered_with_known_ones(photo: Path) -> None:
    assert_refused(run(photo, "--model", "stretclip"), "'stretclip'", "streetclip")
    assert_refused(run(photo, "--model", "zzzz"), "known are", "siglip")


def test_no_model(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "KNOWN_MODELS", {})
    assert_refused(run(photo), "--model")


def test_errors_of_the_library_are_one_sentence(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise GeoclipError("bad.bin is a pickle\nand is \x1b[31mrefused.")

    monkeypatch.setattr(Locator, "from_pretrained", refuse)
    result = run(photo, "--model", "streetclip")
    assert_refused(result, "refused")
    assert "\x1b" not in result.stderr


MODEL = ("--model", "streetclip")


def test_no_model_and_what_is_left_behind(photo: Path, tmp_path: Path) -> None:
    assert run(photo, *MODEL, "--out", tmp_path / "o.csv").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "photo.jpg"]
    assert run(photo, *MODEL, "--out", tmp_path / "o.csv", "--keep-journal").exit_code == 0
    again = run(photo, *MODEL, "--out", tmp_path / "o.csv")
    assert "1 of 1 photos were read before." in again.stderr
    assert not (tmp_path / "o.csv.journal").exists()


def test_the_ledger(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("text")
    (tmp_path / "notes.txt").touch()
    arguments = (tmp_path, *MODEL, "--out", tmp_path / "o.csv", "--map", tmp_path / "m.html")
    for _ in range(2):  # the second time, outputs stand in the folder
        assert run(*arguments).exit_code == 3
        ledger = pd.read_csv(tmp_path / "o.csv-ledger.csv")
        assert ledger[["path", "status"]].to_numpy().tolist() == [
            [str(tmp_path / "bad.jpg"), "not a photo"],
            [str(tmp_path / "notes.txt"), "left out"],
        ]
    (tmp_path / "bad.jpg").unlink()
    (tmp_path / "notes.txt").unlink()
    assert run(*arguments).exit_code == 0
    assert len((tmp_path / "o.csv-ledger.csv").read_text().splitlines()) == 1


def test_a_list_on_standard_input(tmp_path: Path) -> None:
    photos = [make_photo(tmp_path / name) for name in ("a.jpg", "line\nbreak.jpg", "c.jpg")]
    listed = b"\0".join(str(path).encode() for path in photos[:2])
    result = run("-", photos[2], *MODEL, "--out", tmp_path / "o.parquet", stdin=listed)
    assert result.exit_code == 0
    table = read_guesses(tmp_path / "o.parquet")
    assert list(dict.fromkeys(table["path"])) == [str(path) for path in photos]
    assert_refused(run("-", *MODEL, stdin=b""), "No photos were found")


def test_limit_and_videos(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        make_photo(tmp_path / name)
    (tmp_path / f"d{sorted(VIDEO_SUFFIXES)[0]}").write_bytes(b"no video")
    out = tmp_path / "o.csv"
    assert run(tmp_path, *MODEL, "--out", out, "--limit", 2, "--jobs", 3).exit_code == 0
    assert read_guesses(out)["path"].nunique() == 2
    assert run(tmp_path / "[a-d].*", *MODEL, "--out", out).exit_code == 3
    assert "not a photo" in set(read_guesses(out)["status"])


def test_narrowing(photo: Path, tmp_path: Path) -> None:
    out, area = tmp_path / "o.csv", tmp_path / "area.geojson"
    corners = [[110, 20], [120, 20], [115, 30], [110, 20]]
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    for narrow, expected in (
        (("--within", area), {"HK", "CN"}),
        (("--countries", "FR,réunion"), {"FR", "RE"}),
        (("--countries", "Holland, FRA"), {"NL", "FR"}),
        (("--bbox", "110,20,120,30"), {"HK", "CN"}),
        (("--bbox", "-10,50,10,60"), {"NL"}),
        (("--near", "48.9,2.3,50"), {"FR"}),
        (("--near", "paris, france"), {"FR"}),
    ):
        result = run(photo, *MODEL, "--out", out, *narrow, "--top-k", len(CITIES))
        assert result.exit_code == 0, result.output
        assert set(read_guesses(out)["country_code"]) == expected
    assert_refused(run(photo, *MODEL, "--countries", "XX"), "no country 'XX'")
    assert_refused(run(photo, *MODEL, "--countries", ""), "no country ''")
    assert_refused(run(photo, *MODEL, "--countries", "Germny"), "'Germny'", "did you mean DE")
    assert_refused(run(photo, *MODEL, "--within", tmp_path / "gone.geojson"), "does not exist")
    assert_refused(run(photo, *MODEL, "--within", area, "--out", area), str(area))
    assert_refused(run(photo, *MODEL, "--bbox", "1,2,3"), "WEST,SOUTH,EAST,NORTH")
    assert_refused(run(photo, *MODEL, "--near", "1,2,x"), "LAT,LON,KM")
    assert_refused(run(photo, *MODEL, "--near", "Atlantis"), "no city 'Atlantis'", "LAT,LON,KM")


def test_the_photos_of_a_folder_as_views_of_one_location(tmp_path: Path) -> None:
    trip, home = tmp_path / "trip", tmp_path / "home"
    for seed, name in enumerate(("trip/a.jpg", "home/b.jpg", "trip/c.jpg")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        make_photo(tmp_path / name, seed)
    out, apart = tmp_path / "o.csv", tmp_path / "apart.csv"
    photos = (trip / "a.jpg", home / "b.jpg", trip / "c.jpg")
    assert run(*photos, *MODEL, "--out", out, "--group-by", "folder").exit_code == 0
    assert run(*photos, *MODEL, "--out", apart).exit_code == 0
    best = [table[table["rank"] == 1] for table in map(read_guesses, (out, apart))]
    assert [Path(path).name for path in best[0]["path"]] == ["a.jpg", "c.jpg", "b.jpg"]
    assert best[0]["probability"].iloc[0] == best[0]["probability"].iloc[1]
    assert best[1]["probability"].nunique() == 3
    given = ("--group-by", "folder", "--location-id", "place")
    assert_refused(run(trip, *MODEL, *given), "give one of them")


def test_gps(shared_data: Path, tmp_path: Path) -> None:
    folder, out = shared_data / "exif_photos", tmp_path / "o.parquet"
    arguments = (folder, *MODEL, "--out", out, "--evidence", "off")
    result = run(*arguments)
    assert result.exit_code == 0
    assert "21 of 21 photos have a GPS position" in result.stderr
    assert set(read_guesses(out)["source"]) == {"gps"}
    result = run(*arguments, "--gps", "compare")
    assert result.exit_code == 0
    assert "Of 21 photos with a trustworthy GPS position" in result.stderr
    table = pd.read_parquet(out)
    assert table["error_km"].notna().all()
    assert set(table["source"]) == {"model"}
    assert run(*arguments, "--gps", "ignore").exit_code == 0
    assert "error_km" not in pd.read_parquet(out).columns


def test_folders_of_programs_are_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("photo.jpg", "@eaDir/photo.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/x.jpg", ".y.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        make_photo(tmp_path / name, seed=len(name))
    out = tmp_path / "o.csv"
    result = run(tmp_path, *MODEL, "--out", out)
    assert result.exit_code == 0
    assert read_guesses(out)["path"].unique().tolist() == [str(tmp_path / "photo.jpg")]
    for counted in ("1 in @eaDir", "1 in #recycle", "1 in hidden files"):
        assert counted in result.stderr
    ledger = pd.read_csv(tmp_path / "o.csv-ledger.csv")
    assert set(ledger["status"]) == {"left out"}
    names = {Path(path).name for path in ledger["path"]}
    assert names == {"@eaDir", "#recycle", ".y.jpg"}
    assert run(tmp_path, *MODEL, "--out", out, "--include-hidden").exit_code == 0
    assert read_guesses(out)["path"].nunique() == 4
    assert run(tmp_path, *MODEL, "--out", out, "--exclude", "*.jpg").exit_code == 2


def test_no_evidence_is_no_failure(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    result = run(tmp_path / "black.png", *MODEL, "--map", tmp_path / "m.html")
    assert result.exit_code == 0
    assert "no evidence" in result.stdout
    assert "1 of 1 photos carry no evidence of a place: 1 blank." in result.stderr
    result = run(tmp_path / "black.png", *MODEL, "--evidence", "off")
    assert "no evidence" not in result.output


def test_keep_embeddings(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ("--keep-embeddings", tmp_path / "kept")
    assert run(photo, *MODEL, *kept).exit_code == 0
    monkeypatch.setattr("geoclip.photos.opening.decode", lambda *_, **__: pytest.fail("decoded"))
    result = run(photo, *MODEL, *kept, "--top-k", 7, "--countries", "FR")
    assert result.exit_code == 0
    assert "1 of 1 photos were read before." in result.stderr
    assert run(photo, *MODEL, *kept, "--out", tmp_path / "o.csv").exit_code == 0
    assert (tmp_path / "kept").is_dir()
    assert not (tmp_path / "o.csv.journal").exists()


@pytest.mark.parametrize(("first", "second"), [("prompts", "off"), ("off", "pixels")])
def test_evidence_is_looked_for_in_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    black = tmp_path / "black.png"
    Image.new("RGB", (8, 8)).save(black)
    kept = ("--keep-embeddings", tmp_path / "kept")
    told = {level: "no evidence" in run(black, *MODEL, "--evidence", level).stdout
            for level in (first, second)}  # fmt: skip
    assert set(told.values()) == {False, True}
    assert ("no evidence" in run(black, *MODEL, *kept, "--evidence", first).stdout) == told[first]
    monkeypatch.setattr("geoclip.photos.opening.decode", lambda *_, **__: pytest.fail("decoded"))
    result = run(black, *MODEL, *kept, "--evidence", second)
    assert "1 of 1 photos were read before." in result.stderr
    assert ("no evidence" in result.stdout) == told[second]


def test_embeddings_kept_where_a_run_has_its_journal_stay(photo: Path, tmp_path: Path) -> None:
    home = tmp_path / "o.csv.journal"
    result = run(photo, *MODEL, "--keep-embeddings", home, "--out", tmp_path / "o.csv")
    assert result.exit_code == 0
    assert list(home.iterdir())


def test_sidecars(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.csv"
    assert_refused(run(photo, *MODEL, "--sidecar"), "--sidecar needs --out")
    assert_refused(run(photo, *MODEL, "--dry-run"), "goes with --sidecar")
    assert_refused(run(photo, *MODEL, "--thumbnails"), "goes with --map")
    before = photo.read_bytes(), photo.stat().st_mtime_ns
    result = run(photo, *MODEL, "--sidecar", "--dry-run")
    assert "Would write" in result.stdout
    assert not (tmp_path / "photo.jpg.xmp").exists()
    result = run(photo, *MODEL, "--sidecar", "--out", out)
    assert result.exit_code == 0
    assert "1 sidecars written; 1 of them without a position" in result.stderr
    assert b"GPSLatitude" not in (tmp_path / "photo.jpg.xmp").read_bytes()
    wide = ("--sidecar-max-radius", 30_000, "--sidecar-min-probability", 0, "--level", "city")
    result = run(photo, *MODEL, "--sidecar", *wide, "--out", out)
    assert result.exit_code == 0
    told = (tmp_path / "photo.jpg.xmp").read_text("utf-8")
    assert "photoshop:City=" in told and "the 90 % radius is not known" in told, told
    assert run(tmp_path, *MODEL, "--out", tmp_path / "all.csv").exit_code == 0
    assert b".xmp" not in (tmp_path / "all.csv-ledger.csv").read_bytes()  # no photo left out
    assert "anyone who receives them" in result.stderr
    assert b"streetclip" in (tmp_path / "photo.jpg.xmp").read_bytes()
    assert (photo.read_bytes(), photo.stat().st_mtime_ns) == before
    undone = CliRunner().invoke(app, ["sidecar", "undo", str(tmp_path / "o-sidecars.jsonl")])
    assert undone.exit_code == 0
    assert not (tmp_path / "photo.jpg.xmp").exists()


def test_album(photo: Path, tmp_path: Path) -> None:
    result = run(photo, *MODEL, "--album", "--out", tmp_path / "o.csv")
    assert result.exit_code == 0  # one photo without a time: on its own
    assert set(read_guesses(tmp_path / "o.csv")["source"]) == {"model"}


def test_a_stopped_run_goes_on(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "o.csv"
    with monkeypatch.context() as patch:
        patch.setattr("geoclip.runs.folder_run.FolderRun.blocks", stop)
        result = run(photo, *MODEL, "--out", out)
    assert result.exit_code == 130
    assert "goes on from here" in result.stderr
    assert not out.exists()
    result = run(photo, *MODEL, "--out", out)
    assert result.exit_code == 0
    assert "1 of 1 photos were read before." in result.stderr


def test_a_stopped_run_without_out_promises_nothing(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("geoclip.runs.folder_run.FolderRun.blocks", stop)
    result = run(photo, *MODEL)
    assert result.exit_code == 130
    assert "stopped; with --out it could resume." in result.stderr


def test_progress_lines(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from geoclip.commands import progress as module

    clock = iter([0.0, 10.0, 40.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with module.progress("reading", 100, 20) as advance:
        advance(20)
        advance(20)
    assert capsys.readouterr().err == "reading: 60 of 100, 1.0/s, 0:00:40 left\n"
    assert module.duration(3723.4) == "1:02:03"


def test_progress_with_a_loss(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from geoclip.commands import progress as module

    clock = iter([0.0, 40.0, 50.0, 200.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with module.progress("fine-tuning", 12, 8) as advance:
        advance(2, "loss 2.5")
        advance(1, "loss 2.4")
    assert capsys.readouterr().err.splitlines() == [
        "fine-tuning: 10 of 12, 0.05/s, 0:00:40 left, loss 2.5",
        "fine-tuning: 11 of 12, 0.015/s, 0:01:07 left, loss 2.4",
    ]
