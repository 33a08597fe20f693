"""Large folders: walked without a list of them, names packed, tasks of several shards."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.photos.folder_rules import FolderRules
from geoclip.photos.listing import list_photos, walk_photos
from pipelines import inputs, listed_paths
from pipelines.inputs import photo_parts
from pipelines.listed_paths import ListedPaths, PathPacker
from pipelines.photo_source import ListedPhotos, Photo, PhotoSource, Shard, read_parts
from pipelines.storage import write_bytes
from pipelines.stored_folders import walk_files
from pipelines.tar_photos import TarShard

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(TEXT, min_size=1, unique=True), st.sets(TEXT))
def test_paths_are_packed_and_unpacked(paths: list[str], others: set[str]) -> None:
    part = ListedPaths.of(paths)
    assert part.ids == paths
    assert [(photo.photo_id, photo.path) for photo in part.photos()] == [(p, p) for p in paths]
    done = {*paths[::2], *others}
    left = part.without(done)
    assert (left.ids if left else []) == [path for path in paths if path not in done]


@settings(deadline=None)
@given(count=st.integers(0, 700), workers=st.integers(1, 5))
def test_parts_are_for_all_workers_and_not_too_large(count: int, workers: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed_paths, "MOST", 64)
        packer = PathPacker()
        for i in range(count):
            packer.add(f"{i}.jpg")
        parts = packer.parts(workers)
    sizes = [len(part.ids) for part in parts]
    assert [path for part in parts for path in part.ids] == [f"{i}.jpg" for i in range(count)]
    assert len(set(sizes[:-1])) <= 1 and max(sizes, default=0) <= 64
    if count > 16 * 16 * workers:
        assert len(parts) >= min(16 * workers, count // 64)


def test_a_folder_is_walked_as_it_is_listed(tmp_path: Path) -> None:
    for name in ("b/1.jpg", "b/c/2.JPG", "a/3.png", "a/._3.png", "a/x.txt", "4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "z").symlink_to(tmp_path)
    walked = list(walk_photos(tmp_path))
    assert sorted(map(Path, walked)) == list_photos(tmp_path)
    assert [Path(path).name for path in walked] == ["4.jpg", "3.png", "1.jpg", "2.JPG"]


@pytest.mark.parametrize("at_once", [1, 32])
def test_storage_is_walked_folder_by_folder(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.stored_folders.FILES_AT_ONCE", at_once)
    names = ["4.jpg", "a/3.jpg", "b/1.jpg", "b/2.jpg", "a/deep/0.jpg"]
    for name in names:
        write_bytes(f"memory://walk-{at_once}/{name}", b"content")
    found = list(walk_files(f"memory://walk-{at_once}"))
    home = f"/walk-{at_once}/"
    assert [file.path.removeprefix(home) for file in found] == names
    assert {file.size for file in found} == {7}
    assert list(walk_files(f"memory://walk-{at_once}/none")) == []
    (own,) = walk_files(f"memory://walk-{at_once}/a/3.jpg")
    assert own.path.endswith("a/3.jpg")


@pytest.mark.parametrize("home", ["", "memory://excluded"])
def test_what_is_excluded_is_left_out_here_and_in_storage(home: str, tmp_path: Path) -> None:
    folder = home or str(tmp_path)
    for name in ("1.jpg", "1_small.JPG", "raw/2.jpg", "trip/raw/3.jpg", "trip/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(f"{folder}/{name}", b"content")
    rules = FolderRules(("*_small.jpg", "trip/raw/*"))
    parts = photo_parts([folder], 1, rules=rules)
    names = sorted(photo.path.rsplit("/", 1)[1] for part in parts for photo in part.photos())
    assert names == ["1.jpg", "2.jpg", "4.jpg"]


def test_equal_hashes_are_no_equal_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        (tmp_path / f"{i}.jpg").touch()
    (tmp_path / "photos.csv").write_text("path\na.jpg\nb.jpg\n")
    monkeypatch.setattr(inputs.pd.util, "hash_array", lambda ids, **_: ids != "")
    given = [tmp_path, tmp_path / "photos.csv"]
    photos = [photo.photo_id for part in photo_parts(given, 1) for photo in part.photos()]
    assert len(photos) == 7
    with pytest.raises(GeoclipError, match=r"3.jpg' is named twice"):
        photo_parts([*given, tmp_path / "3.jpg"], 1)


def test_a_task_reads_several_shards_and_one_part_of_names() -> None:
    shards = [TarShard(Shard(f"{i}.tar")) for i in range(10)]
    listed = [ListedPhotos([Photo(f"{i}", f"{i}")]) for i in range(4)]
    source = PhotoSource([*shards[:5], *listed, *shards[5:]], 3)
    assert source.groups[:4] == [[part] for part in listed]
    assert [part for group in source.groups[4:] for part in group] == shards
    assert Counter(map(len, source.groups[4:])) == {3: 2, 4: 1}
    assert len(source.get_read_tasks(99)) == len(source.groups)
    assert len(PhotoSource(shards, 100).groups) == 10
    assert PhotoSource([], 5).groups == []
    rows = [row for table in read_parts(shards[:2]) for row in table.to_pylist()]
    assert [row["origin"]["name"] for row in rows] == ["0.tar", "1.tar"]  # they are not there
    assert all(row["views"][0]["problem"] for row in rows)
