"""A gallery on disk, and the neighbours that photos find in it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.ranking.gallery import lookup, photo_gallery
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.photo_gallery import ABOUT_FILE, Gallery, GalleryAbout

WIDTH = 12
ABOUT = GalleryAbout("key", "tiny", WIDTH)


def unit_rows(number: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(number, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def photos(number: int, first: int = 0) -> pd.DataFrame:
    ids = [f"photo {first + i}" for i in range(number)]
    return pd.DataFrame({"photo_id": ids, "lat": np.arange(number) % 80.0, "lon": 10.0})


def filled(folder: Path, values: np.ndarray, parts: int = 3, dtype: str = "float32") -> Gallery:
    gallery = Gallery.create(folder, GalleryAbout("key", "tiny", values.shape[1], dtype))
    first = 0
    for part in np.array_split(values, parts):
        gallery.add(part, photos(len(part), first))
        first += len(part)
    return gallery


def by_brute_force(
    values: np.ndarray, queries: np.ndarray, k: int, left_out: np.ndarray
) -> list[list[int]]:
    """Rows by largest product, one query at a time; `left_out` (N, M) are never found."""
    found = []
    for query, out in zip(queries.astype(np.float64), left_out, strict=True):
        products = values.astype(np.float64) @ query
        rows = sorted(np.flatnonzero(~out).tolist(), key=lambda row: -products[row])
        found.append(rows[:k])
    return found


def test_what_was_added_is_there_after_opening(tmp_path: Path) -> None:
    values = unit_rows(10)
    gallery = Gallery.create(tmp_path / "new" / "gallery", ABOUT)
    assert gallery.add(values[:6], photos(6)) == 6
    told = photos(4, 6).assign(country_code="FR", location_id="street", source="camera", path="x")
    assert gallery.add(values[6:], told) == 4
    for one in (gallery, Gallery.open(gallery.folder, "key")):
        assert len(one) == 10
        np.testing.assert_array_equal(one.take(np.array([9, 0, 6])), values[[9, 0, 6]].astype("f2"))
        assert one.photos["country_code"].to_pylist() == [""] * 6 + ["FR"] * 4
        assert one.lat.tolist() == [*range(6), *range(4)] and set(one.lon) == {10.0}
        assert one.rows_of(np.array(["photo 7", "none", ""])).tolist() == [7, -1, -1]
    assert isinstance(gallery.parts[0], np.memmap)


def test_a_photo_is_added_once(tmp_path: Path) -> None:
    gallery = filled(tmp_path, unit_rows(5), parts=2)
    assert gallery.add(unit_rows(7, 1), photos(7)) == 2
    twice = pd.concat([photos(1, 20), photos(1, 20)])
    assert gallery.add(unit_rows(2, 2), twice) == 1
    assert gallery.add(unit_rows(5, 3), photos(5)) == 0
    assert Gallery.open(tmp_path).photos["photo_id"].to_pylist() == [
        *(f"photo {i}" for i in range(7)),
        "photo 20",
    ]


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, unit_rows(3))
    for refused in (
        lambda: Gallery.open(tmp_path, "other"),
        lambda: Gallery.create(tmp_path, GalleryAbout("other", "large", WIDTH)),
    ):
        with pytest.raises(GeoclipError, match="another encoder, tiny"):
            refused()


def test_what_cannot_join_is_refused_and_named(tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path, ABOUT)
    with pytest.raises(GeoclipError, match="12 numbers"):
        gallery.add(unit_rows(2)[:, :5], photos(2))
    with pytest.raises(GeoclipError, match=r"'photo 1'.*unit length"):
        gallery.add(unit_rows(2) * [[1], [np.nan]], photos(2))
    with pytest.raises(GeoclipError, match=r"'photo 1'.*no position"):
        gallery.add(unit_rows(2), photos(2).assign(lat=[1.0, np.nan]))
    with pytest.raises(GeoclipError, match="float16 or float32"):
        Gallery.create(tmp_path / "b", GalleryAbout("key", "tiny", WIDTH, "int8"))
    assert not len(Gallery.open(tmp_path))


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(GeoclipError, match="is no gallery"):
        Gallery.open(tmp_path)
    filled(tmp_path, unit_rows(3), parts=1)
    whole = (tmp_path / "00000000.npy").read_bytes()
    for damaged in (whole[:-9], b"", b"no array"):
        (tmp_path / "00000000.npy").write_bytes(damaged)
        with pytest.raises(GeoclipError, match=r"00000000.npy.*damaged.*build"):
            Gallery.open(tmp_path)
    (tmp_path / "00000000.npy").write_bytes(whole)
    (tmp_path / "00000000.parquet").write_bytes(b"no table")
    with pytest.raises(GeoclipError, match="damaged"):
        Gallery.open(tmp_path)
    about = json.loads((tmp_path / ABOUT_FILE).read_text())
    (tmp_path / ABOUT_FILE).write_text(json.dumps(about | {"version": 99}))
    with pytest.raises(GeoclipError, match="version 99"):
        Gallery.open(tmp_path)
    (tmp_path / ABOUT_FILE).write_text("{}")
    with pytest.raises(GeoclipError, match="not readable"):
        Gallery.open(tmp_path)


def test_a_part_that_was_never_finished_does_not_count(tmp_path: Path) -> None:
    """Embeddings without their table: the process was killed between the two."""
    values = unit_rows(6)
    gallery = filled(tmp_path, values[:3], parts=1)
    np.save(tmp_path / "00000001.npy", unit_rows(9, 5))
    gallery = Gallery.open(tmp_path)
    assert len(gallery) == 3
    gallery.add(values[3:], photos(3, 3))
    np.testing.assert_array_equal(Gallery.open(tmp_path).take(np.arange(6)), values)


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(0, 40),
    k=st.integers(1, 12),
    block=st.integers(1, 50),
    parts=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_neighbours_are_those_of_brute_force(
    tmp_path_factory: pytest.TempPathFactory, number, k, block, parts, seed
) -> None:
    values, queries = unit_rows(number, seed), unit_rows(5, seed + 1000)
    gallery = filled(tmp_path_factory.mktemp("gallery"), values, parts)
    allowed = np.random.default_rng(seed).random(number) < 0.7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo_gallery, "BLOCK_ROWS", block)
        for mask in (None, allowed):
            found = GalleryLookup(gallery).neighbours(queries, k, allowed=mask)
            out = np.zeros((5, number), bool) if mask is None else np.tile(~mask, (5, 1))
            true = by_brute_force(values, queries, k, out)
            assert found.rows.shape == (5, k)
            assert [row[row >= 0].tolist() for row in found.rows] == true
            assert np.isneginf(found.similarity[found.rows < 0]).all()
            for row, query, cosines in zip(true, queries, found.similarity, strict=True):
                np.testing.assert_allclose(cosines[: len(row)], values[row] @ query, atol=1e-5)


def test_a_photo_finds_neither_itself_nor_a_copy(tmp_path: Path) -> None:
    """Not even if so many copies come first that the first search is full."""
    values = unit_rows(40, 3)
    values[5:25] = values[5]  # one picture in many folders
    queries, ids = values[[0, 5, 30]].copy(), ["photo 0", "", "photo 31"]
    noise = unit_rows(3, 8) * 0.004  # like another batch or precision
    queries = (queries + noise) / np.linalg.norm(queries + noise, axis=1, keepdims=True)
    out = np.zeros((3, 40), bool)
    out[0, 0] = out[2, [30, 31]] = True
    out[1, 5:25] = True
    for dtype in ("float16", "float32"):
        gallery = filled(tmp_path / dtype, values, dtype=dtype)
        found = GalleryLookup(gallery).neighbours(queries, 6, ids)
        true = by_brute_force(values, queries, 6, out)  # equal but for the order of copies
        for query, some, rows, left_out in zip(queries, found.rows, true, out, strict=True):
            assert not left_out[some].any() and len(set(some)) == 6
            np.testing.assert_allclose(values[some] @ query, values[rows] @ query, atol=1e-3)


def test_a_photo_of_another_encoding_is_known_by_its_id(tmp_path: Path) -> None:
    """If the embedding differs by more than a copy's, only the id identifies it."""
    values = unit_rows(10)
    gallery = filled(tmp_path, values)
    changed = values[:1] + 0.2 * unit_rows(1, 9)
    changed /= np.linalg.norm(changed)
    assert (values[0] @ changed[0]) < lookup.COPY_SIMILARITY
    found = GalleryLookup(gallery)
    assert found.neighbours(changed, 1).rows[0, 0] == 0
    assert 0 not in found.neighbours(changed, 9, ["photo 0"]).rows
