"""The approximate index of a large gallery, against brute force."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_gallery import filled, photos

from geoclip.errors import GeoclipError
from geoclip.ranking.gallery import approximate, lookup
from geoclip.ranking.gallery.approximate import (
    ABOUT_FILE,
    INDEX_FILE,
    ApproximateIndex,
    read_tuning,
    update_index,
)
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.photo_gallery import Gallery

pytest.importorskip("faiss")
ROWS, WIDTH = 4000, 24


def clustered(number: int, seed: int) -> np.ndarray:
    """Photos of 300 scenes."""
    scenes = np.random.default_rng(0).normal(size=(300, WIDTH))
    rng = np.random.default_rng(seed)
    rows = scenes[rng.integers(0, 300, number)] + 0.4 * rng.normal(size=(number, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def recall(found: np.ndarray, values: np.ndarray, queries: np.ndarray) -> float:
    true = np.argsort(-(queries @ values.T), axis=1)[:, : found.shape[1]]
    return float(np.mean([len(set(a) & set(b)) for a, b in zip(true, found, strict=True)]) / 10)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return filled(tmp_path / "gallery", clustered(ROWS, 1), dtype="float16")


def test_recall_is_what_is_promised(gallery: Gallery) -> None:
    queries = clustered(200, 2)
    tuning = update_index(gallery, least_rows=1000)
    assert tuning is not None and 0 < tuning.probes < tuning.lists / 4
    assert tuning.recall >= 0.99
    found = GalleryLookup.open(gallery.folder).neighbours(queries, 10)
    assert recall(found.rows, clustered(ROWS, 1), queries) > 0.985
    exact = np.take_along_axis(queries @ clustered(ROWS, 1).T, found.rows, axis=1)
    np.testing.assert_allclose(found.similarity, exact, atol=2e-3)  # of float16


def test_no_fewer_lists_would_do(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the lists predicts what searches with as many lists find."""
    monkeypatch.setattr(approximate, "TUNED_PHOTOS", ROWS)
    tuning = update_index(gallery, least_rows=1000)
    index = ApproximateIndex.open(gallery.folder)
    assert tuning is not None and index is not None and tuning.probes > 1
    values = gallery.take(np.arange(ROWS))
    similarity = values @ values.T
    np.fill_diagonal(similarity, -1)
    true = np.argsort(-similarity, axis=1)[:, :10]
    for probes, promised in ((tuning.probes, True), (tuning.probes - 1, False)):
        tried = ApproximateIndex(index.index, replace(tuning, probes=probes))
        found = tried.neighbours(values, 11).rows
        hits = [len(set(t) & set(f)) for t, f in zip(true.tolist(), found.tolist(), strict=True)]
        assert (np.mean(hits) / 10 >= approximate.RECALL) == promised
        if promised:
            assert tuning.recall == pytest.approx(np.mean(hits) / 10, abs=1e-3)  # ties


def test_the_index_is_used_and_keeps_the_leak_rule(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_index(gallery, least_rows=1000)
    monkeypatch.setattr(lookup, "exact_neighbours", lambda *_, **__: pytest.fail("compared all"))
    values = clustered(ROWS, 1)[:50]
    found = GalleryLookup.open(gallery.folder).neighbours(
        values, 10, [f"photo {i}" for i in range(50)]
    )
    assert not (found.rows == np.arange(50)[:, None]).any()
    assert (found.similarity < lookup.COPY_SIMILARITY).all()


def test_photos_that_joined_later_are_found(gallery: Gallery) -> None:
    update_index(gallery, least_rows=1000)
    new = clustered(50, 7)
    gallery.add(new, photos(50, ROWS))
    near = (new + 0.05 * clustered(50, 8)) / np.linalg.norm(
        new + 0.05 * clustered(50, 8), axis=1, keepdims=True
    )
    late = GalleryLookup.open(gallery.folder).neighbours(near, 1).rows[:, 0]
    assert (late == ROWS + np.arange(50)).all()
    tuning = update_index(gallery, least_rows=1000)  # they are added to the index
    assert tuning is not None and tuning.rows == ROWS + 50
    assert (GalleryLookup.open(gallery.folder).neighbours(near, 1).rows[:, 0] == late).all()
    assert update_index(gallery, least_rows=1000) == tuning == read_tuning(gallery.folder)


def test_where_nothing_is_gained_all_are_compared(tmp_path: Path) -> None:
    """Random vectors lie in no lists."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3000, 256)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    gallery = filled(tmp_path, values)
    tuning = update_index(gallery, least_rows=1000)
    assert tuning is not None and tuning.probes == 0
    assert not (tmp_path / INDEX_FILE).exists()
    queries = rng.normal(size=(20, 256)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    assert (
        recall(GalleryLookup.open(gallery.folder).neighbours(queries, 10).rows, values, queries)
        == 1
    )


def test_small_galleries_and_machines_without_faiss_have_no_index(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert update_index(gallery) is None
    monkeypatch.setattr(approximate, "can_index", lambda: False)
    assert update_index(gallery, least_rows=1000) is None
    assert not (gallery.folder / ABOUT_FILE).exists()
    assert GalleryLookup.open(gallery.folder).neighbours(clustered(2, 3), 3).rows.shape == (2, 3)


def test_a_damaged_index_is_one_sentence(gallery: Gallery) -> None:
    update_index(gallery, least_rows=1000)
    (gallery.folder / INDEX_FILE).write_bytes(b"no index")
    with pytest.raises(GeoclipError, match=r"index.faiss is damaged.*delete it"):
        GalleryLookup.open(gallery.folder).neighbours(clustered(2, 3), 3)
    (gallery.folder / INDEX_FILE).unlink()
    with pytest.raises(GeoclipError, match="damaged"):
        GalleryLookup.open(gallery.folder).neighbours(clustered(2, 3), 3)
