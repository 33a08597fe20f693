"""Building a gallery: which position counts, how it grows, nothing lost or read twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gps_files import CANARIES, packet, position, takeout
from PIL import Image
from small_world import WIDTH, FakeEncoder

from geoclip.errors import GeoclipError
from geoclip.guesses.failures import Failure
from geoclip.photos.keys import encoder_key
from geoclip.photos.metadata import GpsFix, PhotoMetadata
from geoclip.ranking.gallery.photo_gallery import Gallery
from geoclip.runs.build_gallery import (
    JOURNAL,
    LEDGER,
    GalleryReport,
    add_embeddings,
    build_gallery,
    gallery_id,
    listed_photos,
    tabled_photos,
)

LYON = GpsFix(45.75, 4.85, True, "")


def paint(folder: Path, *names: str, first: int = 0) -> list[Path]:
    """Small photos, each of another colour."""
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names, first):
        Image.new("RGB", (8, 8), (7, i % 256, 1 + i // 256)).save(folder / name)
    return [folder / name for name in names]


@pytest.fixture
def gps(monkeypatch: pytest.MonkeyPatch) -> dict[str, GpsFix]:
    """The position that a photo states, by its name."""
    stated: dict[str, GpsFix] = {}
    monkeypatch.setattr(
        "geoclip.photos.opening.OpenImage.metadata",
        lambda photo: PhotoMetadata(stated.get(Path(photo.name).name), None, ""),
    )
    return stated


def build(encoder: FakeEncoder, out: Path, *paths: Path, names: bool = False) -> GalleryReport:
    return build_gallery(listed_photos([*map(str, paths)]), out, encoder, "fake", names=names)


def test_photos_join_with_the_position_they_can_be_trusted_in(
    tmp_path: Path, fake_encoder: FakeEncoder, gps: dict[str, GpsFix]
) -> None:
    files = paint(tmp_path / "photos", "good.png", "none.png", "bad.png", "broken.png")
    files[3].write_bytes(b"no picture")
    gps |= {"good.png": LYON, "bad.png": GpsFix(0.0, 0.0, False, "null island")}
    out = tmp_path / "gallery"
    report = build(fake_encoder, out, tmp_path / "photos")
    assert (report.added, report.known, report.without_position) == (1, 0, 2)
    assert report.distrusted == {"null island": 1}
    assert [Path(failure.path).name for failure in report.failures] == ["broken.png"]
    assert "broken.png" in (out / LEDGER).read_text()
    gallery = Gallery.open(out, encoder_key(fake_encoder))
    assert (gallery.lat[0], gallery.lon[0]) == (LYON.lat, LYON.lon)
    assert gallery.photos["photo_id"].to_pylist() == [gallery_id(str(files[0]))]
    with Image.open(files[0]) as picture:
        embedding = fake_encoder.encode_images([picture.convert("RGB")])
    np.testing.assert_allclose(gallery.take(np.array([0])), embedding, atol=1e-3)
    assert "good" not in json.dumps(gallery.photos.to_pylist())  # no names unless requested


def test_positions_beside_photos_count(tmp_path: Path, fake_encoder: FakeEncoder) -> None:
    paint(tmp_path / "photos", "a.png", "b.png", "c.png")
    (tmp_path / "photos" / "a.png.xmp").write_text(packet(position()))
    (tmp_path / "photos" / "b.png.json").write_text(takeout("b.png", (45.75, 4.85)))
    report = build(fake_encoder, tmp_path / "gallery", tmp_path / "photos", names=True)
    assert (report.added, report.without_position) == (2, 1)
    told = Gallery.open(tmp_path / "gallery").photos.to_pylist()
    found = {Path(row["path"]).name: (row["lat"], row["lon"]) for row in told}
    assert found == {
        "a.png": pytest.approx(CANARIES, abs=2e-5), "b.png": pytest.approx((45.75, 4.85)),
    }  # fmt: skip


def test_a_table_tells_position_place_and_source(
    tmp_path: Path, fake_encoder: FakeEncoder, gps: dict[str, GpsFix]
) -> None:
    paint(tmp_path, "a.png", "b.png", "c.png")
    gps["a.png"] = gps["c.png"] = LYON
    rows = ["path,lat,lon,country_code,location_id", "a.png,1,2,FR,street", "b.png,,,FR,"]
    (tmp_path / "photos.csv").write_text("\n".join([*rows, "c.png,,,FR,"]))
    report = build(fake_encoder, tmp_path / "g", tmp_path / "photos.csv", names=True)
    assert (report.added, report.without_position) == (2, 1)
    told = Gallery.open(tmp_path / "g").photos.to_pylist()
    assert [(row["lat"], row["country_code"]) for row in told] == [(1.0, "FR"), (45.75, "FR")]
    assert told[0]["location_id"] == "street" and told[0]["path"] == str(tmp_path / "a.png")


def test_a_gallery_grows_and_reads_no_photo_twice(
    tmp_path: Path, fake_encoder: FakeEncoder, gps: dict[str, GpsFix], monkeypatch
) -> None:
    out, photos = tmp_path / "gallery", tmp_path / "photos"
    gps |= dict.fromkeys(["a.png", "b.png", "c.png"], LYON)
    paint(photos, "a.png", "b.png")
    assert build(fake_encoder, out, photos).added == 2
    assert not (out / JOURNAL).exists()
    paint(photos, "c.png", first=2)
    report = build(fake_encoder, out, photos)
    assert (report.added, report.known) == (1, 2)
    monkeypatch.setattr("geoclip.photos.opening.decode", lambda *_: pytest.fail("decoded"))
    assert build(fake_encoder, out, photos).known == 3
    with pytest.raises(GeoclipError, match="another encoder"):
        build(FakeEncoder(salt="other"), out, photos)
    assert len(Gallery.open(out)) == 3


KILLED = """
import os, signal, sys
from pathlib import Path
from small_world import FakeEncoder
from geoclip.photos import opening
from geoclip.photos.metadata import GpsFix, PhotoMetadata
from geoclip.ranking.gallery import photo_gallery
from geoclip.runs import build_gallery, journal

photos, out = sys.argv[1:]
position = PhotoMetadata(GpsFix(45.75, 4.85, True, ""), None, "")
opening.OpenImage.metadata = lambda photo: position
build_gallery.PART_ROWS = 40

def killing(write):  # before the write that is the last one left
    def writing(*arguments):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*arguments)
    return writing

journal.Journal.add = killing(journal.Journal.add)
photo_gallery.write_whole = killing(photo_gallery.write_whole)
encoder, runs = FakeEncoder(), 0
while runs < 40:  # a fork of what is imported already takes no time to start
    runs += 1
    left = 2 + runs % 2  # a part is two writes: if all runs stopped at the second, none would end
    child = os.fork()
    if not child:
        listed = build_gallery.listed_photos([photos])
        build_gallery.build_gallery(listed, Path(out), encoder, "fake", jobs=1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != -signal.SIGKILL:
        print(runs, status)
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 is for POSIX")
def test_killed_again_and_again_nothing_is_lost(tmp_path: Path, fake_encoder, gps) -> None:
    files = paint(tmp_path / "photos", *(f"{i:03d}.png" for i in range(90)))
    gps |= dict.fromkeys([file.name for file in files], LYON)
    build(fake_encoder, tmp_path / "whole", tmp_path / "photos")
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "photos", tmp_path / "killed"],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    runs, status = map(int, run.stdout.split())
    assert status == 0 and runs > 5
    whole, killed = Gallery.open(tmp_path / "whole"), Gallery.open(tmp_path / "killed")
    assert killed.photos.equals(whole.photos)
    rows = np.arange(90)
    np.testing.assert_array_equal(killed.take(rows), whole.take(rows))
    assert len(killed.parts) == 3 and not (killed.folder / JOURNAL).exists()


def embedded(folder: Path, names: list[str], key: str = "key") -> np.ndarray:
    """Output of `pipelines.embed_photos` for photos; the second is unreadable."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(names), WIDTH)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    folder.mkdir()
    kept = [None if i == 1 else value.tolist() for i, value in enumerate(values)]
    table = pa.table(
        {"photo_id": names, "embedding": pa.array(kept, pa.list_(pa.float32()))},
    )
    pq.write_table(table, folder / "0.parquet", row_group_size=2)
    note = folder.with_name(f"{folder.name}-checkpoint")
    note.mkdir()
    (note / "run.json").write_text(json.dumps({"model": key}))
    return values


def test_embeddings_of_a_cluster_join(tmp_path: Path) -> None:
    names = ["a.jpg", "unread.jpg", "c.jpg", "other.jpg", "nowhere.jpg"]
    values = embedded(tmp_path / "embedded", names)
    rows = ["path,lat,lon,country_code", "c.jpg,3,4,", "a.jpg,1,2,", "unread.jpg,1,2,"]
    (tmp_path / "t.csv").write_text("\n".join([*rows, "nowhere.jpg,,,FR"]))
    photos, out = tabled_photos([tmp_path / "t.csv"]), tmp_path / "gallery"
    report = add_embeddings(photos, tmp_path / "embedded", out)
    assert (report.added, report.without_position, report.known) == (2, 1, 0)
    gallery = Gallery.open(out, "key")
    ids = [gallery_id(str(tmp_path / name)) for name in ("a.jpg", "c.jpg")]
    np.testing.assert_allclose(gallery.take(gallery.rows_of(ids)), values[[0, 2]], atol=1e-3)
    assert gallery.lat[gallery.rows_of(ids)].tolist() == [1, 3]
    assert add_embeddings(photos, tmp_path / "embedded", out).known == 2
    (tmp_path / "embedded-checkpoint" / "run.json").write_text('{"model": "another"}')
    with pytest.raises(GeoclipError, match="another encoder"):
        add_embeddings(photos, tmp_path / "embedded", out)
    (tmp_path / "embedded-checkpoint" / "run.json").unlink()
    with pytest.raises(GeoclipError, match="does not say which encoder"):
        add_embeddings(photos, tmp_path / "embedded", out)


def test_embeddings_of_other_photos_are_refused(tmp_path: Path) -> None:
    embedded(tmp_path / "embedded", ["a.jpg", "b.jpg"])
    (tmp_path / "t.csv").write_text("path,lat,lon\nz.jpg,1,2\n")
    with pytest.raises(GeoclipError, match="no embedding of these photos"):
        add_embeddings(
            tabled_photos([tmp_path / "t.csv"]), tmp_path / "embedded", tmp_path / "gallery"
        )


def test_a_ledger_of_an_earlier_run_does_not_stay(
    tmp_path: Path, fake_encoder: FakeEncoder, gps: dict[str, GpsFix]
) -> None:
    (file,) = paint(tmp_path / "photos", "a.png")
    whole = file.read_bytes()
    gps["a.png"] = LYON
    file.write_bytes(b"no picture")
    report = build(fake_encoder, tmp_path / "g", tmp_path / "photos")
    assert [type(failure) for failure in report.failures] == [Failure]
    file.write_bytes(whole)
    assert build(fake_encoder, tmp_path / "g", tmp_path / "photos").added == 1
    assert len(pd.read_csv(tmp_path / "g" / LEDGER)) == 0
