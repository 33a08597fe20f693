"""Searching a gallery: what texts and photos find, recall, files, and whose gallery is searched."""

from itertools import combinations
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import WIDTH, FakeEncoder, hashed_vector

from geoclip.errors import GeoclipError
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.neighbours import Neighbours
from geoclip.ranking.gallery.photo_gallery import Gallery, GalleryAbout
from geoclip.runs import search_gallery as library
from geoclip.runs.build_gallery import build_gallery, gallery_id, listed_photos
from geoclip.runs.search_gallery import Found, read_queries, search_gallery, write_found

PHOTOS = 12


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Small photos, each of another colour, in a table that says where they are."""
    files = [tmp_path / f"{i:02d}.png" for i in range(PHOTOS)]
    for i, file in enumerate(files):
        Image.new("RGB", (8, 8), (7, i, 1)).save(file)
    rows = [f"{file.name},{i},{2 * i}" for i, file in enumerate(files)]
    (tmp_path / "t.csv").write_text("\n".join(["path,lat,lon", *rows]))
    return files


@pytest.fixture
def folder(photos: list[Path], fake_encoder: FakeEncoder) -> Path:
    """A gallery of them that keeps no name."""
    folder = photos[0].parent
    build_gallery(listed_photos([str(folder / "t.csv")]), folder / "gallery", fake_encoder, "fake")
    return folder / "gallery"


def picture_vector(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return hashed_vector(np.asarray(picture).transpose(2, 0, 1).tobytes())


def test_texts_and_photos_find_the_photos_of_largest_cosine(
    folder: Path, photos: list[Path], fake_encoder: FakeEncoder
) -> None:
    found = search_gallery(folder, ["a tram", "palms"], photos[3], top=5, model=fake_encoder)
    assert found["query"].tolist() == ["a tram"] * 5 + ["palms"] * 5 + [str(photos[3])] * 5
    assert found["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    stored = np.array([picture_vector(file) for file in photos])
    queries = [hashed_vector(b"a tram"), hashed_vector(b"palms"), stored[3]]
    for query, (_, rows) in zip(queries, found.groupby("query", sort=False), strict=True):
        cosines = stored @ query
        best = [i for i in np.argsort(-cosines) if cosines[i] < 0.999][:5]  # never itself
        assert rows["photo_id"].tolist() == [gallery_id(str(photos[i])) for i in best]
        np.testing.assert_allclose(rows["similarity"], cosines[best], atol=2e-3)
        assert rows["lat"].tolist() == best and rows["lon"].tolist() == [2 * i for i in best]
    assert set(found["path"]) == {""}


def test_names_are_those_kept_else_those_given(folder: Path, fake_encoder: FakeEncoder) -> None:
    lookup = GalleryLookup.open(folder)
    found = library.find(lookup, fake_encoder, ["a tram"], [], 3)
    first = found.table()["photo_id"][0]
    assert found.table({first: "here.png"})["path"].tolist() == ["here.png", "", ""]


def test_fewer_photos_than_wanted_are_all_that_is_found(
    folder: Path, tmp_path: Path, fake_encoder: FakeEncoder
) -> None:
    assert len(search_gallery(folder, "a tram", top=50, model=fake_encoder)) == PHOTOS
    about = Gallery.open(folder).about
    Gallery.create(tmp_path / "empty", about)
    assert search_gallery(tmp_path / "empty", "a tram", model=fake_encoder).empty


def test_a_gallery_of_another_encoder_is_refused(folder: Path) -> None:
    with pytest.raises(GeoclipError, match="another encoder, fake"):
        search_gallery(folder, "a tram", model=FakeEncoder(salt="other"))


@pytest.mark.parametrize("model", ["streetclip", "hf:some/model", "ViT-B-32:openai", "embedded"])
def test_nothing_is_downloaded_unasked(tmp_path: Path, monkeypatch, model: str) -> None:
    monkeypatch.setattr(library, "weights_folder", lambda _: None)
    monkeypatch.setattr(library, "hub_folder", lambda _: None)
    monkeypatch.setattr(library, "load_encoder", lambda *_: pytest.fail("loaded"))
    Gallery.create(tmp_path / "g", GalleryAbout("key", model, WIDTH))
    with pytest.raises(GeoclipError, match=f"with {model}, which is not on this machine.*--model"):
        search_gallery(tmp_path / "g", "a tram")


def test_a_photo_that_cannot_be_read_is_named(folder: Path, fake_encoder: FakeEncoder) -> None:
    with pytest.raises(GeoclipError, match=r"gone\.png"):
        search_gallery(folder, like=folder / "gone.png", model=fake_encoder)


@pytest.mark.parametrize("seed", range(5))
def test_recall_is_counted_and_chance_is_that_of_all_draws(seed: int, monkeypatch) -> None:
    monkeypatch.setattr(library, "RECALL_AT", (1, 3))
    rng, total = np.random.default_rng(seed), 6
    rows = np.array([rng.permutation(total)[:4] for _ in range(4)])
    true = [set(rng.permutation(total)[: 1 + i % 3].tolist()) for i in range(4)]
    table = pd.DataFrame({"photo_id": list(map(str, range(total))), "lat": 0.0, "lon": 0.0})
    found = Found(
        Gallery.in_memory(np.zeros((total, 2)), table), [*"abcd"], Neighbours(rows, rows * 0.0)
    )
    figures = found.recall(true)
    for k in (1, 3):
        hits = sum(
            any(row in own for row in some[:k]) for some, own in zip(rows, true, strict=True)
        )
        assert figures["queries"][str(k)] == pytest.approx(100 * hits / 4)
        draws = [set(draw) for draw in combinations(range(total), k)]
        share = [sum(bool(draw & own) for draw in draws) / len(draws) for own in true]
        assert figures["chance"][str(k)] == pytest.approx(100 * np.mean(share))


def test_queries_of_known_answer_are_read(folder: Path, photos: list[Path]) -> None:
    gallery = Gallery.open(folder)
    file, own = folder.parent / "q.csv", gallery_id(str(photos[4]))
    rows = ["01.png,a tram,", f"{own},,02.png", "03.png,palms,", "05.png,a tram,"]
    file.write_text("\n".join(["photo,text,like", *rows]))
    queries = read_queries(file, gallery)
    assert queries.texts == ["a tram", "palms"] and queries.like == [str(photos[2])]
    assert queries.true == [{1, 5}, {3}, {4}]
    for row, said in (
        ("01.png,a tram,02.png", "row 2: a query needs exactly one of"),
        ("01.png,,", "a query needs exactly one of"),
        ("99.png,a tram,", r"'99\.png' is not in the gallery"),
    ):
        file.write_text(f"photo,text,like\n{row}\n")
        with pytest.raises(GeoclipError, match=said):
            read_queries(file, gallery)
    file.write_text("text\na tram\n")
    with pytest.raises(GeoclipError, match="no column photo"):
        read_queries(file, gallery)


@pytest.mark.parametrize("ending", library.ENDINGS)
def test_what_is_found_is_written_as_a_table(
    folder: Path, fake_encoder: FakeEncoder, tmp_path: Path, ending: str
) -> None:
    table = search_gallery(folder, 'quoted, "text"', top=2, model=fake_encoder)
    file = tmp_path / f"found{ending}"
    write_found(table, file)
    if ending == ".csv":
        read = pd.read_csv(file, keep_default_na=False)
    else:
        read = gpd.read_parquet(file) if ending == ".parquet" else gpd.read_file(file)
        assert read.crs == "EPSG:4326"
        assert read.geometry.y.tolist() == table["lat"].tolist()
        read = pd.DataFrame(read.drop(columns="geometry"))
    pd.testing.assert_frame_equal(read[table.columns], pd.DataFrame(table), check_dtype=False)
    with pytest.raises(GeoclipError, match="cannot be written"):
        write_found(table, tmp_path / "no folder" / file.name)
