"""Runs over photos with positions of all kinds: which are reported, and the messages."""

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from gps_files import CANARIES, SYDNEY, exif_of, gpx, packet, photo, position, takeout
from small_world import FakeEncoder
from torchvision.transforms.functional import pil_to_tensor

from geoclip.commands.locate_terminal import print_report
from geoclip.errors import GeoclipError
from geoclip.guesses.guess_files import read_guesses
from geoclip.guesses.settings import LocateSettings
from geoclip.guesses.sidecars import write_sidecars
from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.runs.locate_folder import locate_folder

CHENGDU = (30.657819, 104.0739)
NOON = datetime(2023, 5, 1, 12)
TAKEN = "2023:05:01 14:00:30"  # at UTC+2, half a minute past NOON
OFF = AbstentionSettings("off")


@pytest.fixture
def locator(fake_encoder: FakeEncoder, small_gazetteer: Gazetteer) -> Locator:
    fake_encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
    return Locator(fake_encoder, PlaceIndex.build(fake_encoder, small_gazetteer), small_gazetteer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos: a position of its own, a sidecar, Takeout's JSON, two distrusted ones, none."""
    home = tmp_path / "photos"
    photo(home / "own.jpg", exif_of(SYDNEY))
    photo(home / "sidecar.jpg")
    (home / "sidecar.jpg.xmp").write_text(packet(position()))
    photo(home / "takeout.jpg")
    (home / "takeout.jpg.json").write_text(takeout("takeout.jpg", CHENGDU))
    photo(home / "void.jpg", exif_of(SYDNEY | {9: "V"}))
    photo(home / "stale.jpg", exif_of(SYDNEY | {29: "2023:03:01", 7: (12.0, 0.0, 0.0)}, TAKEN))
    photo(home / "none.jpg", exif_of({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}))
    return home


def by_name(table: pd.DataFrame) -> pd.DataFrame:
    first = table[table["rank"] == 1]
    return first.set_index(first["path"].map(lambda path: Path(path).name))


def settings(**given: object) -> LocateSettings:
    return LocateSettings(top_k=2, abstention=OFF, **given)  # type: ignore[arg-type]


def test_what_is_reported_and_said(
    locator: Locator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = locate_folder(folder, locator, settings())
    rows = by_name(report.table)
    kept = {"own.jpg": "", "sidecar.jpg": "sidecar.jpg.xmp", "takeout.jpg": "takeout.jpg.json"}
    assert rows.loc[list(kept), "gps_file"].to_dict() == kept
    assert (rows["source"] == "gps").to_dict() == {name: name in kept for name in rows.index}
    assert tuple(rows.loc["sidecar.jpg", ["lat", "lon"]]) == pytest.approx(CANARIES, abs=2e-5)
    assert tuple(rows.loc["takeout.jpg", ["lat", "lon"]]) == pytest.approx(CHENGDU)
    notes = rows["gps_note"]
    assert notes[notes != ""].to_dict() == {
        "none.jpg": "the position is 0,0",
        "stale.jpg": "the fix is 61.1 days from the photo's time",
        "void.jpg": "the receiver had no valid fix",
    }
    print_report(report)
    said = " ".join(capsys.readouterr().err.split())
    assert "3 of 6 photos have a GPS position" in said
    assert "2 of these positions are from other files (see gps_file)." in said
    assert "3 of 6 photos state a GPS position that is not trusted: " in said
    for reason in ("no valid fix: 1", "the position is 0,0: 1", "is days from the photo's time: 1"):
        assert reason in said
    assert "--gps trust-all keeps them" in said


def test_all_may_be_trusted_and_not_for_ever(
    locator: Locator, folder: Path, tmp_path: Path
) -> None:
    """Kept embeddings store the stated position, not a run's trust in it."""
    kept = tmp_path / "kept"
    tables = [
        by_name(locate_folder(folder, locator, settings(gps=gps), keep_embeddings=kept).table)
        for gps in ("trust-all", "keep", "trust-all", "compare")
    ]
    for table in tables[::2]:
        assert table.index[table["source"] == "model"].tolist() == ["none.jpg"]
        assert table.loc["void.jpg", "lat"] == pytest.approx(-33.85681)
        assert table.loc["void.jpg", "gps_note"] == "the receiver had no valid fix"
    assert tables[1].loc["void.jpg", "source"] == "model"
    assert tables[3].loc["takeout.jpg", "gps_lat"] == pytest.approx(CHENGDU[0])
    assert tables[3].loc["takeout.jpg", "gps_file"] == "takeout.jpg.json"


def test_a_sidecar_that_comes_later_counts(locator: Locator, tmp_path: Path) -> None:
    home, kept = tmp_path / "photos", tmp_path / "kept"
    photo(home / "a.jpg")
    tables = [locate_folder(home, locator, settings(), keep_embeddings=kept).table]
    (home / "a.jpg.xmp").write_text(packet(position()))
    tables += [locate_folder(home, locator, settings(), keep_embeddings=kept).table]
    assert [table["source"].iloc[0] for table in tables] == ["model", "gps"]


@pytest.mark.parametrize(
    ("taken", "fixed", "trusted"),
    [
        ("2010:01:01 00:12:00", "2019:05:19", True),  # a clock that was reset
        ("2008:03:07 11:00:00", "2019:05:19", True),
        ("2015:01:01 00:00:31", "2019:05:19", True),  # the firmware's birthday
        ("2014:01:03 09:00:00", "2014:08:20", True),
        ("1994:07:14 10:00:00", "2024:02:03", True),  # a scan
        ("2019:05:19 12:00:00", "2010:01:01", False),  # the fix is old
        ("2009:05:19 12:00:00", "2009:03:01", False),
        ("2016:07:01 12:00:00", "2016:07:20", False),
    ],
)
def test_clocks_that_were_reset(
    locator: Locator, tmp_path: Path, taken: str, fixed: str, trusted: bool
) -> None:
    path = photo(tmp_path / "a.jpg", exif_of(SYDNEY | {29: fixed, 7: (2.0, 40.0, 50.0)}, taken))
    row = by_name(locator.locate(path, settings())).iloc[0]
    assert (row["source"] == "gps") == trusted
    assert ("days from" in row["gps_note"]) != trusted


def test_our_own_sidecars_are_guesses(locator: Locator, folder: Path, tmp_path: Path) -> None:
    table = locate_folder(folder, locator, settings(level="city")).table
    report = write_sidecars(table, tmp_path / "journal.jsonl")
    assert sorted(path.name for path in report.written) == []  # all state a position, good or bad
    for name in ("void.jpg", "stale.jpg", "none.jpg"):
        photo(folder / name)
    report = write_sidecars(table, tmp_path / "journal.jsonl")
    assert len(report.written) == 3
    again = locate_folder(folder, locator, settings(level="city")).table
    assert again["source"].tolist() == table["source"].tolist()
    assert (again["gps_note"] == "").all()


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """A minute northward through Lyon."""
    points = [(NOON, 45.70, 4.85), (NOON + timedelta(minutes=1), 45.80, 4.85)]
    return gpx(tmp_path / "track.gpx", points)


def test_a_track_places_photos(locator: Locator, tmp_path: Path, track: Path) -> None:
    home = tmp_path / "photos"
    photo(home / "zone.jpg", exif_of(taken=TAKEN, offset="+02:00"))
    photo(home / "plain.jpg", exif_of(taken=TAKEN, model="B"))
    photo(home / "own.jpg", exif_of(SYDNEY, TAKEN))
    photo(home / "void.jpg", exif_of(SYDNEY | {9: "V"}, TAKEN, offset="+02:00"))
    photo(home / "later.jpg", exif_of(taken="2023:05:01 16:00:30", offset="+02:00"))
    photo(home / "timeless.jpg")
    asked = settings(gpx=(track,), gpx_offset=timedelta(hours=2))
    tables = [
        by_name(locate_folder(home, locator, given, out=tmp_path / "t.parquet").guesses())
        for given in (settings(gpx=(track,)), asked)
    ]
    for table, plain in zip(tables, ("model", "gps"), strict=True):
        assert table["source"].to_dict() == {
            "zone.jpg": "gps", "plain.jpg": plain, "own.jpg": "gps", "void.jpg": "gps",
            "later.jpg": "model", "timeless.jpg": "model",
        }  # fmt: skip
        placed = table.loc["zone.jpg"]
        assert (placed["lat"], placed["lon"]) == pytest.approx((45.75, 4.85))
        assert placed["place_id"] == "lyon"
        assert table.loc["own.jpg", "lat"] == pytest.approx(-33.85681)
    raw = pd.read_parquet(tmp_path / "t.parquet")
    assert set(raw.loc[raw["lat"].round(2) == 45.75, "gps_file"]) == {"track.gpx"}
    assert len(read_guesses(tmp_path / "t.parquet")) == len(raw)


def test_a_clock_is_estimated_from_photos_that_have_both(
    locator: Locator, tmp_path: Path, track: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "photos"
    photo(home / "plain.jpg", exif_of(taken=TAKEN, model="B"))
    table = locator.locate(home, settings(gpx=(track,)))
    assert table["source"].iloc[0] == "model"
    assert "1 photos have a time and no zone" in caplog.text
    both = SYDNEY | {29: "2023:05:02", 7: (8.0, 0.0, 0.0)}
    photo(home / "both.jpg", exif_of(both, "2023:05:02 10:00:00", model="B"))
    rows = by_name(locator.locate(home, settings(gpx=(track,))))
    assert rows.loc["plain.jpg", "lat"] == pytest.approx(45.75)
    assert rows.loc["plain.jpg", "gps_file"] == "track.gpx"


def test_settings_of_tracks(locator: Locator, tmp_path: Path, track: Path) -> None:
    with pytest.raises(GeoclipError, match="gps 'ignore' leaves out"):
        settings(gpx=(track,), gps="ignore")
    with pytest.raises(GeoclipError, match="gpx_offset goes with tracks"):
        settings(gpx_offset=timedelta(0))
    with pytest.raises(GeoclipError, match="cannot be read"):
        photo(tmp_path / "a.jpg")
        locate_folder(tmp_path, locator, settings(gpx=(tmp_path / "gone.gpx",)))
