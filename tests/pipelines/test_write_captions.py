"""Captions for photo tables and shards: places, splits, missing photos, bad input."""

import io
import json
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from geoclip.errors import GeoclipError
from geoclip.photos.photo_table import read_photo_table
from pipelines.labelled_inputs import labelled_parts
from pipelines.write_captions import write_captions


def table(folder: Path, rows: list[str], header: str = "path,lat,lon,country_code,split") -> Path:
    path = folder / "photos.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("lyon.jpg", "reunion.jpg", "france.jpg"):
        (tmp_path / name).write_bytes(b"not looked into here")
    rows = [
        "lyon.jpg,45.749,4.848,,train",
        "reunion.jpg,-20.88,55.45,,train",
        "france.jpg,,,FR,train",
        "gone.jpg,45.76,4.84,,dev",
    ]
    return table(tmp_path, rows)


def test_places_and_captions(photos: Path, tmp_path: Path, ray_on_two_cpus: None) -> None:
    out = tmp_path / "out" / "captions.parquet"
    written = write_captions(read_photo_table([photos]), out)
    assert written["place_id"].tolist()[0] == "2996944"
    assert written["place_id"].tolist()[2] == "FR"
    assert written["caption"][2] == "A Street View photo in France."
    assert written["caption"][1].endswith("in Réunion.")
    assert written["caption"][0].endswith("in France.")
    pd.testing.assert_frame_equal(pd.read_parquet(out), written, check_dtype=False)


def test_missing_photos_go_to_a_list(photos: Path, tmp_path: Path, ray_on_two_cpus: None) -> None:
    written = write_captions(read_photo_table([photos]), tmp_path / "captions.parquet")
    assert "gone.jpg" not in set(written["photo_id"])
    assert "gone.jpg" in (tmp_path / "captions-missing.csv").read_text()


def test_no_photo_at_all_is_one_sentence(tmp_path: Path, ray_on_two_cpus: None) -> None:
    lost = read_photo_table([table(tmp_path, ["gone.jpg,1,2,,train"])])
    with pytest.raises(GeoclipError, match="None of the 1 photos"):
        write_captions(lost, tmp_path / "c.parquet")


def shard(path: Path, labels: dict[str, dict]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, own in labels.items():
            for ending, content in (("json", json.dumps(own).encode()), ("jpg", b"unread")):
                member = tarfile.TarInfo(f"{name}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def test_shards_and_tables_make_one_table(
    photos: Path, tmp_path: Path, ray_on_two_cpus: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order given, whatever part is read first; what has no place is listed."""
    lyon = {"lat": 45.749, "lon": 4.848, "split": "train"}
    first = shard(tmp_path / "b.tar", {"0": lyon, "1": {}})
    second = shard(tmp_path / "a.tar", {"0": {"country_code": "FR", "split": "train"}})
    written = write_captions(labelled_parts([first, photos, second]), tmp_path / "all.parquet")
    table = ["lyon.jpg", "reunion.jpg", "france.jpg"]
    assert written["photo_id"].tolist() == [*table, f"{first}/0.jpg", f"{second}/0.jpg"]
    assert written["place_id"].tolist()[2:] == ["FR", "2996944", "FR"]
    assert written["caption"][4] == "A Street View photo in France."
    assert "problem" not in written and (written["fingerprint"] != 0).all()
    left_out = pd.read_csv(tmp_path / "all-missing.csv")
    assert left_out["photo_id"].tolist() == ["gone.jpg", f"{first}/1.jpg"]
    printed = capsys.readouterr().out
    assert "5 captions" in printed and "1 photos are missing" in printed
    assert "1 more are of unknown place" in printed
    nowhere = labelled_parts([shard(tmp_path / "c.tar", {"0": {}})])
    with pytest.raises(GeoclipError, match="The place of none of the 1 photos is known"):
        write_captions(nowhere, tmp_path / "c.parquet")
