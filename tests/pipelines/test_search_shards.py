"""Search in a gallery of shards, against the search in one gallery of all photos."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.ranking.gallery.lookup import COPY_SIMILARITY, GalleryLookup
from geoclip.ranking.gallery.photo_gallery import Gallery, GalleryAbout
from pipelines import search_gallery as program
from pipelines.command_line import command_of
from pipelines.gallery_shards import merged, search_shard, shards_in
from pipelines.outputs import Output
from pipelines.search_gallery import main, search_gallery

WIDTH, K = 8, 3


def unit_rows(number: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(number, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def photos(first: int, number: int) -> pd.DataFrame:
    ids = [f"photo {first + i}" for i in range(number)]
    return pd.DataFrame({"photo_id": ids, "lat": np.arange(number) * 1.0, "lon": first * 1.0})


def in_memory(values: np.ndarray, first: int) -> GalleryLookup:
    return GalleryLookup(Gallery.in_memory(values, photos(first, len(values))))


def by_brute_force(values: np.ndarray, query: np.ndarray, k: int) -> list[int]:
    """The rows of largest cosine, best first, but for copies of the query."""
    cosines = (values.astype(np.float64) @ query.astype(np.float64)).tolist()
    rows = [row for row in range(len(values)) if cosines[row] < COPY_SIMILARITY]
    return sorted(rows, key=lambda row: -cosines[row])[:k]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    queries=st.integers(1, 4),
    k=st.integers(1, 6),
    copied=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_the_shards_find_is_what_the_whole_would(sizes, queries, k, copied, seed) -> None:
    values, asked = unit_rows(sum(sizes), seed), unit_rows(queries, seed + 100)
    if copied and len(values):
        asked[0] = values[-1]
    starts = np.cumsum([0, *sizes])
    parts = [
        search_shard(in_memory(values[start : start + size], int(start)), asked, k)
        for start, size in zip(starts[:-1], sizes, strict=True)
    ]
    for found in (merged(parts, k), merged([merged(parts[:2], k), *parts[2:]], k)):
        assert len(found) == queries * k
        ids = np.array(found["neighbour_id"].to_pylist(), dtype=object).reshape(queries, k)
        cosines = found["similarity"].to_numpy().reshape(queries, k)
        for query, own, row in zip(asked, ids, cosines, strict=True):
            best = by_brute_force(values, query, k)
            wanted = [f"photo {i}" for i in best] + [None] * (k - len(best))
            assert own.tolist() == wanted
            np.testing.assert_allclose(row[: len(best)], values[best] @ query, atol=1e-6)
            assert np.isneginf(row[len(best) :]).all()


SHARDS = (9, 0, 6, 1)
ASKED = 11
UNREAD, DONE = (3, 7, 10), range(5)
"""Photos without an embedding, one of them alone in its block; photos of a block done before."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gallery of shards, and embeddings in two row groups, the second of two blocks."""
    monkeypatch.setattr(program, "BLOCK_ROWS", 5)
    values, first = unit_rows(sum(SHARDS), 0), 0
    for i, size in enumerate(SHARDS):
        gallery = Gallery.create(tmp_path / "shards" / str(i), GalleryAbout("key", "tiny", WIDTH))
        gallery.add(values[first : first + size], photos(first, size))
        first += size
    asked = unit_rows(ASKED, 1)
    asked[5] = values[3]
    kept = [None if i in UNREAD else value.tolist() for i, value in enumerate(asked)]
    columns = {"photo_id": [str(i) for i in range(ASKED)], "embedding": kept}
    schema = pa.schema({"photo_id": pa.string(), "embedding": pa.list_(pa.float32())})
    (tmp_path / "e").mkdir()
    pq.write_table(pa.table(columns, schema), tmp_path / "e" / "part-0.parquet", row_group_size=5)
    (tmp_path / "e-checkpoint").mkdir()
    (tmp_path / "e-checkpoint" / "run.json").write_text(json.dumps({"model": "key"}))
    return tmp_path


def test_shards_are_searched_on_a_cluster(home: Path, ray_on_two_cpus: None, capsys) -> None:
    shards = {str(home / "shards" / str(i)): size for i, size in enumerate(SHARDS)}
    Output(str(home / "out")).begin({"model": "key", "neighbours": K, "gallery": shards})
    (home / "out").mkdir()
    pq.write_table(program.SCHEMA.empty_table(), home / "out" / "part-0-0-0.parquet")
    words = ["--embeddings", home / "e", "--gallery", home / "shards", "--out", home / "out"]
    command_of(main)([*map(str, words), "--neighbours", str(K)], standalone_mode=False)
    assert "2 blocks" in capsys.readouterr().out
    table = pq.read_table(home / "out").to_pandas()
    assert table.columns.tolist() == program.SCHEMA.names
    values, asked = unit_rows(sum(SHARDS), 0).astype(np.float16), unit_rows(ASKED, 1)
    asked[5] = unit_rows(sum(SHARDS), 0)[3]
    places = np.concatenate([np.arange(size) for size in SHARDS])
    assert set(table["photo_id"]) == {str(i) for i in range(ASKED) if i not in (*UNREAD, *DONE)}
    for photo, rows in table.sort_values("rank").groupby("photo_id"):
        best = by_brute_force(values, asked[int(photo)], K)
        assert rows["rank"].tolist() == [1, 2, 3]
        assert rows["neighbour_id"].tolist() == [f"photo {i}" for i in best]
        assert rows["lat"].tolist() == places[best].tolist()
        cosines = values[best].astype(np.float32) @ asked[int(photo)]
        np.testing.assert_allclose(rows["similarity"], cosines, atol=1e-5)


def test_what_does_not_fit_together_is_refused(home: Path) -> None:
    shards = [str(home / "shards" / str(i)) for i in range(len(SHARDS))]
    about = {"model": "key", "neighbours": K, "gallery": dict(zip(shards, SHARDS, strict=True))}
    Output(str(home / "out")).begin(about)
    search = partial(search_gallery, str(home / "e"))
    with pytest.raises(GeoclipError, match="begun with another neighbours"):
        search(shards, str(home / "out"), K + 1)
    Gallery.open(Path(shards[1])).add(unit_rows(1, 7), photos(99, 1))  # it has grown
    with pytest.raises(GeoclipError, match="begun with another gallery"):
        search(shards, str(home / "out"), K)
    note = home / "e-checkpoint" / "run.json"
    note.write_text(json.dumps({"model": "another"}))
    with pytest.raises(GeoclipError, match=r"shards/0 was made with another encoder, tiny"):
        search(shards, str(home / "other"), K)
    note.unlink()
    with pytest.raises(GeoclipError, match="does not say which encoder"):
        search(shards, str(home / "other"), K)
    assert not (home / "other-checkpoint").exists()


def test_shards_are_the_galleries_in_folders(home: Path) -> None:
    shards = [str(home / "shards" / str(i)) for i in range(len(SHARDS))]
    assert shards_in([str(home / "shards")]) == shards
    assert shards_in([shards[2], str(home / "shards")]) == [shards[2], *shards[:2], shards[3]]
    with pytest.raises(GeoclipError, match="is no gallery and contains none"):
        shards_in([str(home / "e")])
