"""The photos that a model was trained on are known again."""

import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from geoclip.errors import GeoclipError
from geoclip.photos.trained_photos import TRAINED_FILE, TrainedPhotos, fingerprints
from geoclip.support.paths import encode_path


def photo(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return encode_path(path)


def array(values: list[object]) -> bytes:
    file = BytesIO()
    np.save(file, np.array(values), allow_pickle=True)
    return file.getvalue()


def test_a_photo_is_known_again_where_it_and_its_table_lie_elsewhere(tmp_path):
    (own,) = fingerprints([photo(tmp_path / "a" / "1.jpg", b"abc")])
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "1.jpg", tmp_path / "b")
    assert fingerprints([str(tmp_path / "b" / "1.jpg")]) == [own]
    other_name, other_size = fingerprints(
        [photo(tmp_path / "b" / "2.jpg", b"abc"), photo(tmp_path / "c" / "1.jpg", b"abcd")]
    )
    assert len({own, other_name, other_size}) == 3


def test_odd_names(tmp_path):
    composed, apart = "caf\u00e9.jpg", "cafe\u0301.jpg"
    names = [photo(tmp_path / "a" / composed, b"x"), photo(tmp_path / "b" / apart, b"x")]
    latin = photo(tmp_path / "caf\udce9.jpg", b"x")
    assert latin.startswith("file:")
    one, two, three = fingerprints([*names, latin])
    assert one == two != three != 0


def test_what_is_no_file_has_none_but_a_country(tmp_path):
    found = fingerprints([str(tmp_path / "absent.jpg"), str(tmp_path), "a\0b.jpg"])
    assert found.dtype == np.uint64 and not found.any()
    known = TrainedPhotos().joined(found, ["FR", "NZ", "FR"])
    assert known.countries == ("FR", "NZ") and not known.holds(found).any()


def test_written_and_read_again_and_joined(tmp_path):
    for nothing in (TrainedPhotos.read(None), TrainedPhotos.read(tmp_path / "nowhere")):
        assert len(nothing.records) == 0 and nothing.countries == ()
    photos = np.array([9, 2, 9], np.uint64)
    TrainedPhotos().joined(photos, ["JP", "FR", "JP"]).write(tmp_path)
    stored = TrainedPhotos.read(tmp_path)
    assert stored.records.tolist() == [(2, b"FR"), (9, b"JP")]
    assert stored.countries == ("FR", "JP")
    stored.joined(np.array([2**64 - 1], np.uint64), ["NZ"]).write(tmp_path)
    again = TrainedPhotos.read(tmp_path)
    assert again.records["photo"].tolist() == [2, 9, 2**64 - 1]
    assert again.countries == ("FR", "JP", "NZ")
    assert again.holds(np.array([9, 3, 0], np.uint64)).tolist() == [True, False, False]


@pytest.mark.parametrize("content", [b"", b"no array", array([1, 2]), array([{"a": 1}])])
def test_a_damaged_file_is_one_sentence(tmp_path, content):
    (tmp_path / TRAINED_FILE).write_bytes(content)
    with pytest.raises(GeoclipError, match=TRAINED_FILE):
        TrainedPhotos.read(tmp_path)
