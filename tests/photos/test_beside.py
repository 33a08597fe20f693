"""Positions in files that other programs keep beside a photo."""

import json
import os
from pathlib import Path

import pytest
from gps_files import CANARIES, SYDNEY, exif_of, packet, photo, position, takeout

from geoclip.photos.beside import LONGEST_NAME, is_beside, sidecar_name, takeout_names
from geoclip.photos.metadata import read_metadata
from geoclip.photos.xmp_tags import OWN_NAMESPACE

CHENGDU = (30.657819, 104.0739)


def assert_beside(path: Path, place: tuple[float, float], file: str) -> None:
    fix = read_metadata(path).gps
    assert fix is not None
    assert (fix.lat, fix.lon) == pytest.approx(place, abs=2e-5)
    assert fix.trustworthy
    assert fix.file == file


@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("name", "sidecar"),
    [("a.jpg", "a.jpg.xmp"), ("a.jpg", "a.xmp"), ("A.JPG", "a.XMP"), ("a.tar.png", "a.tar.xmp")],
)
def test_sidecars(tmp_path: Path, name: str, sidecar: str, coding: str) -> None:
    path = photo(tmp_path / name)
    assert read_metadata(path).gps is None
    (tmp_path / sidecar).write_text(packet(position()), encoding=coding)
    assert_beside(path, CANARIES, sidecar)


def test_the_photo_comes_first_and_a_bad_fix_last(tmp_path: Path) -> None:
    own = photo(tmp_path / "own.jpg", exif_of(SYDNEY))
    void = photo(tmp_path / "void.jpg", exif_of(SYDNEY | {9: "V"}))
    both = photo(tmp_path / "both.jpg")
    for name in ("own.xmp", "void.xmp", "both.xmp"):
        (tmp_path / name).write_text(packet(position()))
    (tmp_path / "both.jpg.xmp").write_text(packet(position("0,0N", "0,0E")))
    assert_beside(own, (-33.85681, 151.21514), "")
    assert_beside(void, CANARIES, "void.xmp")
    assert_beside(both, CANARIES, "both.xmp")
    (tmp_path / "void.xmp").write_text(packet(position("33,51.4086S", "151,12.9084E")))
    fix = read_metadata(void).gps
    assert fix is not None
    assert fix.reason == "the receiver had no valid fix"


def test_what_is_no_sidecar(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    own = packet(position()).replace("xmlns:exif", f"xmlns:g='{OWN_NAMESPACE}' xmlns:exif")
    (tmp_path / "a.jpg.xmp").write_text(own)
    os.mkfifo(tmp_path / "a.xmp")  # which would be waited for
    (tmp_path / "a.jpg.json").mkdir()
    (tmp_path / "b.jpg.xmp").write_text(packet(position()))
    assert read_metadata(path).gps is None
    assert read_metadata(path, path.read_bytes()).gps is None


LONG = "Screenshot_2020-01-01-12-34-56_the-name-of-a-program"


@pytest.mark.parametrize(
    ("name", "title", "json_name"),
    [
        ("IMG_3397.JPG", "IMG_3397.JPG", "IMG_3397.JPG.supplemental-metadata.json"),
        ("IMG_3397.JPG", "IMG_3397.JPG", "IMG_3397.JPG.json"),
        (
            "2024-09-02-14-26-50-947.jpg",
            "2024-09-02-14-26-50-947.jpg",
            "2024-09-02-14-26-50-947.jpg.supplemental-metad.json",
        ),
        ("a" * 40 + ".jpg", "a" * 40 + ".jpg", "a" * 40 + ".jpg.s.json"),
        ("a" * 41 + ".jpg", "a" * 41 + ".jpg", "a" * 41 + ".jpg..json"),
        (f"{LONG[:47]}.jpg", f"{LONG}.jpg", f"{LONG[:46]}.json"),
        ("a(1).jpg", "a.jpg", "a.jpg(1).json"),
        ("a(12).jpg", "a.jpg", "a.jpg.supplemental-metadata(12).json"),
        ("a(1).jpg", "a(1).jpg", "a(1).jpg.json"),
        ("a-edited.jpg", "a.jpg", "a.jpg.json"),
        ("a-bearbeitet(2).jpg", "a.jpg", "a.jpg.supplemental-metadata(2).json"),
        ("a_b.jpg", "a&amp;b.jpg", "a_b.jpg.supplemental-metadata.json"),
        ("1.2.2019.jpg", "1.2.2019", "1.2.2019.jpg.json"),
    ],
)
def test_takeout(tmp_path: Path, name: str, title: str, json_name: str) -> None:
    path = photo(tmp_path / name)
    (tmp_path / json_name).write_text(takeout(title, CHENGDU))
    assert_beside(path, CHENGDU, json_name)
    assert is_beside(json_name) or name.startswith(LONG[:46])
    (tmp_path / json_name).write_text(takeout(title, (0.0, 0.0), CHENGDU))
    assert_beside(path, CHENGDU, json_name)
    (tmp_path / json_name).write_text(takeout(title))
    assert read_metadata(path).gps is None


@pytest.mark.parametrize(
    "content",
    [
        takeout("other.jpg", CHENGDU),
        takeout("a.jpg.jpg", CHENGDU),
        "[]",
        "{",
        "[" * 100_000,
        json.dumps({"geoData": {"latitude": "north", "longitude": 10**400}}),
        json.dumps({"geoData": [1, 2], "geoDataExif": None}),
    ],
)
def test_json_of_something_else(tmp_path: Path, content: str) -> None:
    path = photo(tmp_path / "a.jpg")
    (tmp_path / "a.jpg.json").write_text(content)
    assert read_metadata(path).gps is None


def test_two_photos_whose_names_are_cut_alike(tmp_path: Path) -> None:
    places = {"-1": (10.0, 20.0), "-2": CHENGDU}
    for (end, place), count in zip(places.items(), ("", "(1)"), strict=True):
        photo(tmp_path / f"{'b' * 45}{end}.jpg")
        (tmp_path / f"{'b' * 45}-{count}.json").write_text(takeout(f"{'b' * 45}{end}.jpg", place))
    assert_beside(tmp_path / f"{'b' * 45}-1.jpg", (10.0, 20.0), f"{'b' * 45}-.json")
    assert read_metadata(tmp_path / f"{'b' * 45}-2.jpg").gps is None  # never the other's


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [photo(tmp_path / f"{i}.jpg") for i in range(5)]
    (tmp_path / "3.xmp").write_text(packet(position()))
    os.utime(tmp_path, (1e9, 1e9))
    scans = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: scans.append(folder) or scandir(folder))
    found = [read_metadata(path).gps for path in paths]
    assert [fix is not None for fix in found] == [False, False, False, True, False]
    assert len(scans) == 1
    (tmp_path / "4.xmp").write_text(packet(position()))
    assert read_metadata(paths[4]).gps is not None  # the folder has changed


@pytest.mark.parametrize("name", ["a.jpg", "ü" * 120 + ".jpg", "a" * 240 + ".jpg", "写" * 84])
def test_names_of_sidecars(name: str) -> None:
    found = sidecar_name(name)
    size = len(os.fsencode(found))
    assert found.endswith(".xmp") and size <= LONGEST_NAME
    assert (found == name + ".xmp") == (len(os.fsencode(name)) <= LONGEST_NAME - 4)
    assert sidecar_name(name[:-1] + "x") != found


def test_few_names_are_asked_for() -> None:
    for name in ("a.jpg", "a-edited(1).jpg", "b" * 200):
        assert len(list(takeout_names(name))) < 80


@pytest.mark.parametrize(
    ("name", "beside"),
    [("a.xmp", True), ("A.JPG.json", True), ("a.mp4.suppl(1).json", True), ("a.json", False),
     ("jpg.json", False), ("a.jpg", False), ("notes.txt", False)],
)  # fmt: skip
def test_what_lies_beside(name: str, beside: bool) -> None:
    assert is_beside(name) is beside
