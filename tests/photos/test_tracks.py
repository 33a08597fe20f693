"""GPX tracks by time, and the clocks of cameras."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.photos.camera_clocks import CameraClocks, clock_offset
from geoclip.photos.gps_fix import GpsFix
from geoclip.photos.metadata import PhotoMetadata
from geoclip.photos.tracks import Tracks

START = datetime(2023, 5, 1, 10)
Point = tuple[float, float, float]


def gpx(path: Path, points: list[Point], form: str = "%Y-%m-%dT%H:%M:%SZ") -> Path:
    """A track of points (seconds after START, lat, lon)."""
    body = "".join(
        f'<trkpt lat="{lat}" lon="{lon}"><ele>1</ele>'
        f"<time>{(START + timedelta(seconds=s)).strftime(form)}</time></trkpt>"
        for s, lat, lon in points
    )
    path.write_text(
        '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><wpt lat="1" lon="2"/>'
        f"<trk><trkseg>{body}</trkseg></trk></gpx>"
    )
    return path


def track(folder: Path, *points: Point) -> Tracks:
    return Tracks.read([gpx(folder / "t.gpx", list(points))])


def at(tracks: Tracks, seconds: float) -> tuple[float, float] | None:
    fix = tracks.at(START + timedelta(seconds=seconds))
    return None if fix is None else (fix.lat, fix.lon)


def test_positions_between_points(tmp_path: Path) -> None:
    tracks = track(tmp_path, (0, 45, 4), (100, 46, 5), (100 + 301, 47, 6), (5000, 10, 20))
    assert at(tracks, 0) == (45, 4)
    assert at(tracks, 25) == pytest.approx((45.25, 4.25))
    assert at(tracks, 100) == (46, 5)
    assert at(tracks, 150) == (46, 5)  # the gap is too long: the point beside it, for a minute
    assert at(tracks, 250) is None
    assert at(tracks, 350) == (47, 6)
    assert at(tracks, -61) is None
    assert at(tracks, -60) == (45, 4)
    assert at(tracks, 5061) is None
    fix = tracks.at(START)
    assert fix == GpsFix(45, 4, True, "", "t.gpx")


def test_across_the_date_line(tmp_path: Path) -> None:
    tracks = track(tmp_path, (0, 0.5, 179.9), (60, 0.5, -179.9))
    assert at(tracks, 15) == pytest.approx((0.5, 179.95))
    assert at(tracks, 45) == pytest.approx((0.5, -179.95))


@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.floats(1, 80), st.floats(1, 170)),
        min_size=1, max_size=8, unique_by=lambda point: point[0],
    ),
    st.integers(-100, 2100),
)  # fmt: skip
def test_interpolation_equals_numpy(points: list[Point], when: int) -> None:
    seconds, lat, lon = np.array(sorted(points), float).T
    base = START.replace(tzinfo=UTC).timestamp()
    zeros = np.zeros(len(points), np.int64)
    found = at(Tracks(seconds + base, lat, lon, zeros, ("t",)), when)
    before, after = (
        seconds[seconds <= when].max(initial=-np.inf),
        seconds[seconds >= when].min(initial=np.inf),
    )
    if after - before <= 300:
        wanted = np.interp(when, seconds, lat), np.interp(when, seconds, lon)
        assert found == pytest.approx(wanted)
    else:
        assert (found is not None) == (min(when - before, after - when) <= 60)


@pytest.mark.parametrize(
    "form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%dT%H:%M:%S",
             " %Y-%m-%dT%H:%M:%S+00:00 "],
)  # fmt: skip
def test_forms_of_time(tmp_path: Path, form: str) -> None:
    tracks = Tracks.read([gpx(tmp_path / "a.gpx", [(0, 45, 4)], form)])
    assert at(tracks, 0) == (45, 4)


def test_several_files_and_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    late = gpx(tmp_path / "late.gpx", [(600, 47, 6), (630, 47, 6)])
    cut = gpx(tmp_path / "cut.gpx", [(0, 45, 4), (30, 45, 4)])
    cut.write_text(cut.read_text().replace('lat="45" lon="4"', 'lat="x" lon="4"', 1)[:-15])
    tracks = Tracks.read([late, cut])
    assert "cut.gpx is cut off" in caplog.text
    assert at(tracks, 30) == (45, 4)
    fix = tracks.at(START + timedelta(seconds=610))
    assert fix is not None and fix.file == "late.gpx"
    for bad, words in (("<gpx/>", "no track point"), ("no xml", "syntax error")):
        (tmp_path / "bad.gpx").write_text(bad)
        with pytest.raises(GeoclipError, match=rf"bad\.gpx is no usable GPX track \({words}.*name"):
            Tracks.read([late, tmp_path / "bad.gpx"])
    with pytest.raises(GeoclipError, match=r"gone\.gpx cannot be read"):
        Tracks.read([tmp_path / "gone.gpx"])


def taken(seconds: float, gps: GpsFix | None = None, camera: str = "A") -> PhotoMetadata:
    return PhotoMetadata(gps, START + timedelta(seconds=seconds), camera)


def test_offsets_asked_for() -> None:
    for text, seconds in (("+02:00", 7200), ("-5:30", -19_800), ("01:00:05", 3605)):
        assert clock_offset(text) == timedelta(seconds=seconds)
    for text in ("two", "+2", "+02:00:00:00", ""):
        with pytest.raises(GeoclipError, match="no offset of a camera's clock"):
            clock_offset(text)


def test_whose_offset_counts(tmp_path: Path) -> None:
    tracks, asked = track(tmp_path, (0, 45, 4)), timedelta(hours=2)
    zoned = PhotoMetadata(None, START, "A", timedelta(hours=1))
    in_utc = PhotoMetadata(None, START, "A", timedelta(0))
    plain = CameraClocks.of([], tracks)
    given_one = CameraClocks.of([], tracks, asked)
    assert (plain.utc(taken(0)), given_one.utc(taken(0))) == (None, START - asked)
    assert plain.utc(zoned) == START - timedelta(hours=1)
    assert given_one.utc(zoned) == START - asked
    assert given_one.utc(in_utc) == plain.utc(in_utc) == START
    assert given_one.utc(PhotoMetadata(None, None, "A")) is None


def test_an_offset_from_receivers_times(tmp_path: Path) -> None:
    tracks = track(tmp_path, (0, 45, 4))
    fixes = [GpsFix(10, 10, True, "", "", START + timedelta(seconds=s)) for s in (0, 50, 100)]
    photos = [taken(3613 + s, fix) for s, fix in zip((0, 50, 130), fixes, strict=True)]
    clocks = CameraClocks.of([*photos, taken(0, camera="B")], tracks)
    assert clocks.estimated == {"A": timedelta(seconds=3613)}


@pytest.mark.parametrize("offset", [7200, -34_200, 3600 * 24 * 400, 437])
def test_an_offset_from_positions_on_the_track(tmp_path: Path, offset: float) -> None:
    walk = [(s, 45 + s * 1e-5, 4.0) for s in range(0, 3600, 10)]  # about 1.1 m/s, there and
    walk += [(3600 + s, 45 + (3600 - s) * 1e-5, 4.0) for s in range(0, 3600, 10)]  # back
    tracks = track(tmp_path, *walk)
    photos = []
    for s in (300, 1500, 4000, 6100):
        place = at(tracks, s)
        assert place is not None
        photos.append(taken(s + offset, GpsFix(*place, True, "")))
    away = taken(50, GpsFix(10, 10, True, ""))
    clocks = CameraClocks.of([*photos, away], tracks)
    assert clocks.estimated["A"].total_seconds() == pytest.approx(offset, abs=30)
    assert CameraClocks.of([away], tracks).estimated == {}
