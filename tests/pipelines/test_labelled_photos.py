"""Photos of known place in tables, folders, shards and Parquet files: labels, addresses, bytes."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from inference import write_photos
from loopback_s3 import counted_requests, refusing
from PIL import ExifTags, Image

from geoclip.errors import GeoclipError, PhotoError
from geoclip.photos.trained_photos import fingerprints
from pipelines import storage
from pipelines.addresses import ParquetRow, StoredPhotos, TarMember, parse, shard_numbers
from pipelines.labelled_inputs import labelled_parts
from pipelines.labelled_photos import NO_POSITION
from pipelines.storage import store_folder, write_bytes

LYON = {"lat": 45.75, "lon": 4.85}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FIRST_WAIT", 0)


def read(*inputs: str | Path) -> pd.DataFrame:
    return pd.concat([part.table() for part in labelled_parts(inputs)], ignore_index=True)


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_rows(path: Path, columns: dict, rows_a_group: int = 2) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=rows_a_group)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path / "photos", 5)


@pytest.fixture
def shard(tmp_path: Path, photos: list[Path]) -> Path:
    """Labels before and behind their pictures, one sample without, one of two views."""
    first, second, third, fourth, fifth = (photo.read_bytes() for photo in photos)
    texts = {"country_code": "fr", "location_id": 7, "split": "train", "source": "cars", "x": [1]}
    return write_tar(
        tmp_path / "00.tar",
        {
            "a/0.json": json.dumps(LYON | texts).encode(),
            "a/0.jpg": first,
            "a/1.jpg": second,
            "a/1.json": json.dumps({"LAT": "-20.9", "Lon": "55.4"}).encode(),
            "b/1.jpg": third,
            "2.left.jpg": fourth,
            "2.right.jpg": fifth,
            "2.json": json.dumps({"country_code": "DE"}).encode(),
        },
    )


def test_samples_of_a_shard_have_the_labels_beside_them(shard: Path, photos: list[Path]) -> None:
    table = read(shard)
    names = ["a/0.jpg", "a/1.jpg", "b/1.jpg", "2.left.jpg", "2.right.jpg"]
    assert table["photo_id"].tolist() == [f"{shard}/{name}" for name in names]
    assert table["lat"].tolist()[:2] == [45.75, -20.9] and table["lon"][1] == 55.4
    assert table["country_code"].tolist() == ["FR", "", "", "DE", "DE"]
    assert table["location_id"].tolist()[:2] == ["7", f"{shard}/a/1.jpg"]
    assert table["split"].tolist() == ["train", "", "", "", ""]
    assert table["source"].tolist() == ["cars", *[shard.parent.name] * 4]
    assert (table["problem"] != "").tolist() == [False, False, True, False, False]
    fetch = StoredPhotos()
    assert [fetch(path) for path in table["path"]] == [photo.read_bytes() for photo in photos]
    # A photo is known again by its name and size, wherever it lies.
    for name, content in zip(names, photos, strict=True):
        (shard.parent / Path(name).name).write_bytes(content.read_bytes())
    loose = [str(shard.parent / Path(name).name) for name in (*names[:1], *names[3:])]
    assert table["fingerprint"][[0, 3, 4]].tolist() == fingerprints(loose).tolist()


def test_rows_of_parquet_files_have_labels_in_columns(tmp_path: Path, photos: list[Path]) -> None:
    contents = [photo.read_bytes() for photo in photos]
    columns = {
        "Lat": [45.75, 1.0, 2.0, None, 4.0],
        "LON": [4.85, 1.0, 2.0, None, 4.0],
        "image": [{"bytes": content, "path": "x.jpg"} for content in contents],
        "id": [f"{i}.jpg" for i in range(5)],
        "location_id": [1, 1, None, None, 3],
    }
    file = write_rows(tmp_path / "00.parquet", columns)
    table = read(file)
    assert table["photo_id"].tolist() == columns["id"]
    assert table["path"][3] == f"{file}#group=1&row=1"
    assert table["lat"].dropna().tolist() == [45.75, 1, 2, 4]
    assert table["location_id"].tolist() == ["1", "1", "2.jpg", "3.jpg", "3"]
    assert (table["problem"] != "").tolist() == [False, False, False, True, False]
    fetch = StoredPhotos(groups=1)
    assert [fetch(path) for path in table["path"]] == contents
    assert [fetch(path) for path in table["path"][::-1]] == contents[::-1]
    assert shard_numbers(table["path"].tolist()).tolist() == [0, 0, 1, 1, 2]
    paths = write_rows(
        tmp_path / "paths.parquet",
        {"path": ["photos/0000.jpg", "gone.jpg"], "lat": [1.0, 2.0], "lon": [1.0, 2.0]},
    )
    table = read(paths)
    assert table["path"].tolist() == [str(photos[0]), str(tmp_path / "gone.jpg")]
    assert table["fingerprint"].tolist() == fingerprints(table["path"]).tolist()
    assert table["fingerprint"][1] == 0 and (table["problem"] == "").all()


def test_shards_may_name_the_place_alone(tmp_path: Path, photos: list[Path]) -> None:
    contents = [photo.read_bytes() for photo in photos[:2]]
    columns = {"image": contents, "id": ["0.jpg", "1.jpg"], "place_id": ["Rosa/Rosa canina", ""]}
    rows = read(write_rows(tmp_path / "0.parquet", columns))
    label = json.dumps({"place_id": "Rosa/Rosa canina"}).encode()
    sample = read(write_tar(tmp_path / "0.tar", {"0.json": label, "0.jpg": contents[0]}))
    for table in (rows, sample):
        assert table["place_id"][0] == "Rosa/Rosa canina"
        assert table["problem"][0] == ""
    assert rows["problem"][1] == NO_POSITION


def test_photos_of_folders_have_the_position_that_they_state(tmp_path: Path) -> None:
    first, second = write_photos(tmp_path / "holiday", 2)
    exif = Image.Exif()
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps.update({1: "S", 2: (20.0, 30.0, 0.0), 3: "E", 4: (55.0, 30.0, 0.0)})
    with Image.open(first) as image:
        image.save(first, exif=exif)
    (tmp_path / "holiday" / "film.mp4").write_bytes(b"no photo to train on")
    table = read(tmp_path / "holiday")
    assert table["path"].tolist() == table["photo_id"].tolist() == [str(first), str(second)]
    assert (table["lat"][0], table["lon"][0]) == (-20.5, 55.5)
    assert table["source"].tolist() == ["holiday", "holiday"]
    assert table["problem"][0] == "" and "no position" in table["problem"][1]


def test_storage_gives_what_a_disk_gives(s3: str, shard: Path, photos: list[Path]) -> None:
    """A table, a folder and a shard on S3; a photo of a shard costs one request."""
    rows = "path,lat,lon\nphotos/0000.jpg,1,2\nphotos/gone.jpg,1,2\n"
    (shard.parent / "photos.csv").write_text(f"{rows}{photos[1]},3,4\n")
    for file in (shard, shard.parent / "photos.csv"):
        write_bytes(f"{s3}/{file.name}", file.read_bytes())
    store_folder(photos[0].parent, f"{s3}/photos")
    table = read(f"{s3}/photos.csv")
    assert table["path"].tolist() == [
        f"{s3}/photos/0000.jpg",
        f"{s3}/photos/gone.jpg",
        str(photos[1]),
    ]
    near = fingerprints(map(str, photos[:2])).tolist()
    assert table["fingerprint"].tolist() == [near[0], 0, near[1]]
    folder = read(f"{s3}/photos")
    assert folder["fingerprint"].tolist() == fingerprints(map(str, photos)).tolist()
    assert (folder["problem"] != "").all()
    local, stored = read(shard), read(f"{s3}/00.tar")
    same = [column for column in local if column not in ("photo_id", "path", "source", "problem")]
    pd.testing.assert_frame_equal(
        local[same].drop(columns="location_id"), stored[same].drop(columns="location_id")
    )
    fetch = StoredPhotos()
    contents = [photo.read_bytes() for photo in photos]
    assert fetch(stored["path"][0]) == contents[0]
    with counted_requests() as requests:
        assert [fetch(path) for path in stored["path"]] == contents
    assert requests == {"GET": len(contents)}
    assert fetch(f"{s3}/photos/0001.jpg") == contents[1]
    with pytest.raises(PhotoError, match="cannot be fetched") as lost:
        fetch(f"{s3}/photos/gone.jpg")
    assert lost.value.status == "missing"


def test_addresses_are_read_as_they_are_written() -> None:
    for address in (TarMember("/a b/0.tar", 5, 17), ParquetRow("s3://b/x.Parquet", 3, 0)):
        assert parse(str(address)) == address
    for path in ("/a/0.jpg", "s3://b/0.jpg", "/a/x#offset=1&size=2", "/0.tar/a.jpg#2"):
        assert parse(path) is None
    assert shard_numbers(["/a/0.jpg"]) is None
    mixed = ["1.jpg", "b.tar#offset=1&size=2", "a.tar#offset=1&size=2", "b.tar#offset=9&size=2"]
    assert shard_numbers(mixed).tolist() == [-1, 1, 0, 1]
    tenth = [str(ParquetRow("x.parquet", group, 0)) for group in (10, 9)]
    assert shard_numbers(tenth).tolist() == [1, 0]


def test_what_changed_since_is_a_photo_that_cannot_be_read(
    tmp_path: Path, photos: list[Path]
) -> None:
    shard = write_tar(tmp_path / "1.tar", {"0.jpg": photos[0].read_bytes()})
    file = write_rows(tmp_path / "1.parquet", {"bytes": [b"x", None], "lat": [0, 0], "lon": [0, 0]})
    fetch = StoredPhotos()
    for address in (
        TarMember(str(shard), shard.stat().st_size - 5, 10),
        ParquetRow(str(file), 0, 1),
        ParquetRow(str(file), 0, 2),
        ParquetRow(str(file), 1, 0),
        TarMember(str(tmp_path / "none.tar"), 0, 1),
    ):
        with pytest.raises(PhotoError, match="cannot be fetched"):
            fetch(str(address))
    assert fetch(str(photos[0])) is None


def test_a_damaged_shard_costs_no_more_than_its_rest(tmp_path: Path, photos: list[Path]) -> None:
    labels = json.dumps(LYON).encode()
    shard = write_tar(
        tmp_path / "1.tar",
        {"0.json": labels, "0.jpg": photos[0].read_bytes(), "1.json": labels, "1.jpg": bytes(9000)},
    )
    shard.write_bytes(shard.read_bytes()[:-12_000])
    table = read(shard)
    assert table["problem"][0] == "" and "cut off or damaged" in table["problem"].iloc[-1]
    (tmp_path / "1.parquet").write_bytes(b"PAR1 nothing")
    assert "cut off or damaged" in read(tmp_path / "1.parquet")["problem"][0]
    notes = write_tar(tmp_path / "2.tar", {"0.json": b"[1]", "0.jpg": photos[0].read_bytes()})
    assert "is no JSON object" in read(notes)["problem"][0]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"lat": 95, "lon": 0}, r"1.tar, row 0.jpg: lat 95 is not between -90 and 90"),
        ({"lat": 5}, r"1.tar, row 0.jpg: only one of lat and lon is given"),
        ({"country_code": "Frnace"}, r"row 0.jpg: country_code 'Frnace' is no country: .* FR "),
    ],
)
def test_labels_that_cannot_be_are_one_sentence(
    labels: dict, said: str, tmp_path: Path, photos: list[Path]
) -> None:
    members = {"0.json": json.dumps(labels).encode(), "0.jpg": photos[0].read_bytes()}
    with pytest.raises(GeoclipError, match=said):
        read(write_tar(tmp_path / "1.tar", members))


def test_inputs_without_photos_or_labels_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(GeoclipError, match="holds no photo"):
        labelled_parts([tmp_path])
    file = write_rows(tmp_path / "x.parquet", {"bytes": [b"x"], "lat": [1.0]})
    with pytest.raises(GeoclipError, match="needs the columns lat and lon"):
        read(file)
    pq.write_table(pa.table({"bytes": pa.array([], pa.binary())}), tmp_path / "x.parquet")
    with pytest.raises(GeoclipError, match="holds no photo"):
        read(tmp_path / "x.parquet")


def test_repeated_ids_are_no_views_of_one_place(tmp_path: Path, photos: list[Path]) -> None:
    """A location is called by its photo's id where it has no name of its own."""
    contents = [photo.read_bytes() for photo in photos]
    for number, lat in enumerate((45.0, -20.0)):
        columns = {"id": [0, 1], "image": contents[:2], "lat": [lat] * 2, "lon": [5.0] * 2}
        write_rows(tmp_path / f"{number}.parquet", columns)
    table = read(tmp_path / "0.parquet", tmp_path / "1.parquet")
    names = [f"{tmp_path}/{file}.parquet#0-{row}" for file in (0, 1) for row in (0, 1)]
    assert table["photo_id"].tolist() == table["location_id"].tolist() == names
    assert table["lat"].tolist() == [45, 45, -20, -20]
    twice = {"id": [7, 7], "image": contents[:2], "lat": [1.0] * 2, "lon": [5.0] * 2}
    with pytest.raises(GeoclipError, match=r"'7' stands in .*2.parquet twice"):
        labelled_parts([write_rows(tmp_path / "2.parquet", twice)])


def test_odd_files_do_not_stop_the_others(tmp_path: Path, photos: list[Path]) -> None:
    """Among them a shard that is packed: its photos could only be read one after the other."""
    content = photos[0].read_bytes()
    write_rows(tmp_path / "a.parquet", {"image": [content], "lat": [1.0], "lon": [2.0]})
    write_rows(tmp_path / "b.parquet", {"image": [content]})
    write_rows(tmp_path / "c.parquet", {"image": [[1]], "lat": [1.0], "lon": [2.0]})
    (tmp_path / "d.tar.gz").write_bytes(
        gzip.compress(write_tar(tmp_path / "x", {"0.jpg": content}).read_bytes())
    )
    files = [tmp_path / name for name in ("a.parquet", "b.parquet", "c.parquet", "d.tar.gz")]
    said = ["", "it needs the columns lat and lon", "photos need bytes there", "is compressed, and"]
    table = read(*files)
    assert len(table) == len(said)
    for problem, words in zip(table["problem"], said, strict=True):
        assert words in problem and bool(words) == bool(problem)


def test_expired_credentials_stop_training_and_labelling(s3: str, shard: Path) -> None:
    """Photos that nobody was let at would count as unreadable, and training goes on without."""
    write_bytes(f"{s3}/00.tar", shard.read_bytes())
    write_bytes(f"{s3}/a/0.jpg", b"x")
    rows = pa.BufferOutputStream()
    pq.write_table(pa.table({"image": [b"x"], "lat": [1.0], "lon": [2.0]}), rows)
    write_bytes(f"{s3}/0.parquet", rows.getvalue())
    inside = read(f"{s3}/00.tar")["path"][0]
    parts = labelled_parts([f"{s3}/a", f"{s3}/00.tar", f"{s3}/0.parquet"])
    expired = pytest.raises(GeoclipError, match="renew them, and the same command goes on")
    with refusing(lambda *_: True):
        for path in (inside, f"{s3}/a/0.jpg", f"{s3}/0.parquet#group=0&row=0"):
            with expired as caught:
                StoredPhotos()(path)
            assert not isinstance(caught.value, PhotoError)
        for part in parts:
            with expired:
                part.table()
    assert StoredPhotos()(inside) is not None
