"""Decode actors give the trainers' own pictures, in order, whatever kills them."""

import os
import signal
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from inference import write_photos
from PIL import Image

from geoclip.training.pictures import PictureReader, Showing
from pipelines.addresses import ParquetRow, StoredPhotos, TarMember
from pipelines.decoders import Decoders
from pipelines.tar_photos import read_members

SIZE = 24


def deadly_reader() -> PictureReader:
    """One photo kills its process, like a decoder's segmentation fault."""

    class Deadly(PictureReader):  # made here, so that it travels to the process by value
        def __call__(self, showing: Showing) -> Image.Image | None:
            if showing.path.endswith("deadly.jpg"):
                os.kill(os.getpid(), signal.SIGKILL)
            return PictureReader.__call__(self, showing)

    return Deadly(SIZE)


def addresses(folder: Path) -> list[str]:
    """Photos in a folder, one that is not there, a shard's, and those of two row groups."""
    photos = write_photos(folder, 6)
    with tarfile.open(folder / "0.tar", "w") as tar:
        tar.add(photos[1], "1.jpg")
    (member,) = read_members(str(folder / "0.tar"), {".jpg"})
    inside = TarMember(str(folder / "0.tar"), member.offset, len(member.content))
    content = [photo.read_bytes() for photo in photos[2:5]]
    pq.write_table(pa.table({"bytes": content}), folder / "0.parquet", row_group_size=2)
    rows = [ParquetRow(str(folder / "0.parquet"), i // 2, i % 2) for i in range(3)]
    return [str(p) for p in (photos[0], folder / "gone.jpg", inside, *rows, photos[5])]


def assert_same(found: list[Image.Image | None], wanted: list[Image.Image | None]) -> None:
    assert [picture is None for picture in found] == [picture is None for picture in wanted]
    for picture, other in zip(found, wanted, strict=True):
        if picture is not None:
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(other))


def test_pictures_are_those_of_the_trainer(tmp_path: Path, ray_on_two_cpus: None) -> None:
    paths = addresses(tmp_path)
    shown = [Showing(path, ("augment", row) if row % 2 else None) for row, path in enumerate(paths)]
    decoders = Decoders.start(1, trainers=1)
    read = PictureReader(SIZE, fetch=StoredPhotos())
    wanted = list(map(read, shown))
    assert [picture is None for picture in wanted] == [False, True, *[False] * 5]
    first, again = decoders(read, shown), decoders(read, shown[::-1])
    assert_same(list(again), wanted[::-1])
    assert_same(list(first), wanted)
    deadly = decoders(deadly_reader(), [Showing(str(tmp_path / "deadly.jpg")), shown[0]])
    assert_same(list(deadly), [None, wanted[0]])
    assert Decoders.start(0, trainers=1) is None


def test_rows_read_together_go_to_one_decoder() -> None:
    class Actor:
        def __init__(self) -> None:
            self.asked: list[list[str]] = []
            self.pictures = self

        def remote(self, read: PictureReader, showings: list[Showing]) -> None:
            self.asked.append([showing.path for showing in showings])

    actors = [Actor() for _ in range(3)]
    rows = [str(ParquetRow("x.parquet", group, row)) for row in range(9) for group in range(6)]
    members = [str(TarMember("x.tar", 512 * i, 9)) for i in range(99)]
    Decoders(tuple(actors))(PictureReader(SIZE), [Showing(path) for path in rows + members])
    shares = [share for actor in actors for share in actor.asked]
    assert sorted(path for share in shares for path in share) == sorted(rows + members)
    of_groups = [{path.partition("&")[0] for path in share if "group" in path} for share in shares]
    assert sum(map(len, of_groups)) == 6
    assert all(any("offset" in path for path in share) for share in shares)
