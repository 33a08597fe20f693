"""Files left out of folders: counts, and options to read them."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.photos.folder_rules import FolderRules
from geoclip.photos.listing import is_wanted, list_left_out, list_photos, walk_photos
from pipelines.inputs import files_of
from pipelines.storage import write_bytes

OF_PROGRAMS = [  # photos below them are others' copies
    "Holiday/@eaDir/IMG_0001.JPG/SYNOPHOTO_THUMB_XL.jpg",
    "Holiday/.picasaoriginals/IMG_0001.JPG",
    ".dtrash/files/x.jpg",
    "$RECYCLE.BIN/S-1-5/$R1234.jpg",
    "#recycle/deleted.jpg",
    ".stversions/IMG_0001~20200101-101010.JPG",
    "__MACOSX/Holiday/IMG_0001.JPG",
    ".Trash-1000/files/IMG_0009.jpg",
    ".thumbnails/abc.jpg",
    # Members of the same kinds that the first reports did not name.
    "Holiday/.@__thumb/s800IMG_0001.JPG",
    "@Recycle/IMG_0002.jpg",
    "Catalog Previews.lrdata/A/AB/1.jpg",
    ".SynologyWorkingDirectory/1.jpg",
    "Pictures.photoslibrary/resources/derivatives/1.jpg",
    "Pictures.photoslibrary/Thumbnails/1.jpg",
    "iPhoto Library/Data/1.jpg",
    "Old.migratedphotolibrary/Thumbnails/1.jpg",
    "Old.aplibrary/Previews/1.jpg",
    "LOST.DIR/1.jpg",
    "Holiday/CaptureOne/Cache/Thumbnails/1.jpg",
    "files_trashbin/files/1.jpg",
    "DCIM/MISC/THM/100/DJI_0001.jpg",
    "PRIVATE/M4ROOT/THMBNL/C0001T01.JPG",
    "System Volume Information/1.jpg",
    "DCIM/.trashed-1700000000-IMG_0003.jpg",
]
PHOTOS = [
    "Holiday/IMG_0001.JPG",
    "Holiday/eaDir/IMG_0002.JPG",
    "Trash/kept.jpg",
    "Pictures.photoslibrary/originals/A/1.heic",
    "iPhoto Library/Masters/2011/2.jpg",
    "Old.aplibrary/Masters/1.jpg",
    "misc/thm.jpg",
    "recycled.jpg",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / ".home"  # a named folder is read, whatever its name
    for name in [*OF_PROGRAMS, *PHOTOS, "Holiday/._IMG_0001.JPG", "Holiday/notes.txt"]:
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return home


def below(found: list[Path], home: Path) -> list[str]:
    return [str(path.relative_to(home)) for path in found]


def test_photos_alone_are_listed_and_the_rest_is_counted(folder: Path) -> None:
    assert below(list_photos(folder), folder) == sorted(PHOTOS)
    assert sorted(walk_photos(folder)) == [str(folder / name) for name in sorted(PHOTOS)]
    left = list_left_out(folder)
    photos = Counter[str]()
    for entry in left:
        photos[entry.under] += entry.photos
    assert photos.pop("") == 0
    assert photos["@eaDir"] == photos[".Trash-1000"] == photos["hidden files"] == 1
    assert photos.total() == len(OF_PROGRAMS)
    others = [entry.path.name for entry in left if not entry.under]
    assert others == ["._IMG_0001.JPG", "notes.txt"]


def test_hidden_ones_on_demand(folder: Path) -> None:
    rules = FolderRules(include_hidden=True)
    assert below(list_photos(folder, rules=rules), folder) == sorted([*PHOTOS, *OF_PROGRAMS])


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", ".thumbnails"])
def test_what_is_named_is_read(tmp_path: Path, name: str) -> None:
    inside = tmp_path / name / "photo.jpg"
    inside.parent.mkdir()
    inside.touch()
    assert list_photos(tmp_path) == []
    assert list_photos(tmp_path / name) == list_photos(inside) == [inside]
    assert list_photos([tmp_path, inside]) == [inside]


def test_globs_leave_out_the_same(folder: Path) -> None:
    found = below(list_photos(f"{folder}/**/IMG_0*"), folder)
    assert found == ["Holiday/IMG_0001.JPG", "Holiday/eaDir/IMG_0002.JPG"]
    (thumbnails,) = list_left_out(f"{folder}/Holiday/*/IMG_0001.JPG")
    assert (thumbnails.under, thumbnails.photos) == ("@eaDir", 1)
    assert below(list_photos(f"{folder}/Holiday/@eaDir/*"), folder) == OF_PROGRAMS[:1]


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["img_*"], PHOTOS[2:]),
        (["holiday"], PHOTOS[2:]),
        (["Holiday/*.JPG", "Trash/"], [PHOTOS[3], *PHOTOS[4:]]),
        (["*.heic", "recycled.*"], [*PHOTOS[:3], *PHOTOS[4:-1]]),
    ],
)
def test_globs_to_exclude(folder: Path, globs: list[str], left: list[str]) -> None:
    rules = FolderRules(tuple(globs))
    assert below(list_photos(folder, rules=rules), folder) == sorted(left)
    excluded = [e for e in list_left_out(folder, rules=rules) if e.under.startswith("--exclude")]
    assert sum(entry.photos for entry in excluded) == len(PHOTOS) - len(left)


def test_storage_leaves_out_the_same() -> None:
    home = "memory://folder-rules/.home"
    for name in [*OF_PROGRAMS, *PHOTOS]:
        write_bytes(f"{home}/{name}", b"content")
    found = [name.partition("/.home/")[2] for name, _, _ in files_of(home)]
    assert sorted(found) == sorted(PHOTOS)


@given(st.text("._/aJé", max_size=6), st.sampled_from(["", ".jpg", ".JPG", ".tar.gz", "x.png"]))
def test_the_ending_of_a_path_is_that_of_the_standard_library(start: str, end: str) -> None:
    path = start + end
    name = path.rsplit("/", 1)[-1]
    for suffixes in ({".jpg", ".gz"}, {".jpg", ""}):
        wanted = os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122
        assert is_wanted(path, suffixes) == (wanted and not name.startswith("._"))
