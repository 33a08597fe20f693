"""Tar shards and Parquet files on an S3-compatible server: few requests, and nothing is missed."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loopback_s3 import counted_requests

from pipelines import read_ahead
from pipelines.inputs import photo_parts
from pipelines.photo_source import Shard
from pipelines.read_ahead import PIECE, ReadAhead
from pipelines.storage import write_bytes
from pipelines.tar_photos import TarShard

MIB = 1024 * 1024


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 57])
def test_a_file_is_read_as_it_is(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "PIECE", 10)
    content = bytes(range(size))
    (tmp_path / "x").write_bytes(content)
    for step in (1, 3, 10, 64):
        with ReadAhead(pa.OSFile(str(tmp_path / "x"))) as file:
            assert file.size == size
            assert b"".join(iter(lambda f=file, n=step: f.read(n), b"")) == content


def test_a_read_that_fails_is_an_error_of_the_reader(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    file = pa.OSFile(str(tmp_path / "x"))
    with ReadAhead(file) as ahead:
        file.close()
        with pytest.raises(ValueError, match="closed"):
            ahead.read(1)


def test_a_shard_needs_few_requests(s3: str) -> None:
    noise = np.random.default_rng(0)
    contents = [noise.bytes(40_000 + 1000 * i) for i in range(300)]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for i, content in enumerate(contents):
            member = tarfile.TarInfo(f"{i:04}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    size = len(buffer.getvalue())
    assert size > 6 * PIECE
    write_bytes(f"{s3}/00.tar", buffer.getvalue())
    with counted_requests() as requests:
        found = [photo.content for photo in TarShard(Shard(f"{s3}/00.tar")).photos()]
    assert found == contents
    assert 0 < requests["GET"] <= 2 + size / (8 * MIB)


def test_parquet_rows_need_few_requests(s3: str) -> None:
    """Of a row group only the columns of photos are asked for, in large pieces."""
    noise = np.random.default_rng(0)
    contents = [noise.bytes(60_000) for _ in range(400)]
    table = pa.table({"image": contents, "other": [noise.bytes(60_000) for _ in contents]})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=200, compression="none", use_dictionary=False)
    write_bytes(f"{s3}/x.parquet", sink.getvalue())
    first, second = photo_parts([f"{s3}/x.parquet"], 1)
    with counted_requests() as requests:
        found = [photo.content for part in (first, second) for photo in part.photos()]
    assert found == contents
    assert 0 < requests["GET"] <= 2 * (3 + 200 * 60_000 / (8 * MIB))
