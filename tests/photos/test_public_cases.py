"""Files made after public bug reports, where they are on this machine."""

from pathlib import Path

import pytest

from geoclip.photos.metadata import read_metadata

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
CANARIES, SYDNEY, CHENGDU = (28.18448, -14.16067), (-33.85681, 151.21514), (30.65782, 104.0739)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases (../shared/cases) are not here")
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("xmp/01*.jpg", CANARIES),
        ("xmp/35*.jpg", CANARIES),
        ("exif/10*.jpg", "the sign of the position contradicts its hemisphere"),
        ("exif/33*.jpg", SYDNEY),
        ("stale/02*.jpg", SYDNEY),
        ("stale/11*.jpg", "the receiver had no valid fix"),
        ("sidecars/dt.jpg", CANARIES),
        ("sidecars/lr.jpg", CANARIES),
        ("takeout/*/IMG_3397.JPG", CHENGDU),
        ("takeout/*/2024*947.jpg", CHENGDU),
        ("takeout/*/IMG_3399.JPG", None),
    ],
)
def test_cases(name: str, place: tuple[float, float] | str | None) -> None:
    (path,) = CASES.glob(name)
    fix = read_metadata(path).gps
    if place is None:
        assert fix is None
        return
    assert fix is not None
    if isinstance(place, str):
        assert (fix.trustworthy, fix.reason) == (False, place)
    else:
        assert fix.trustworthy
        assert (fix.lat, fix.lon) == pytest.approx(place, abs=1e-5)
    assert bool(fix.file) == name.startswith(("sidecars", "takeout"))
