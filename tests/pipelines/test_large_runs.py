"""Large runs: what the driver keeps, and a million rows as one table."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geoclip.guesses.writer import arrow_guesses, arrow_schema
from pipelines.outputs import Output
from pipelines.photo_source import ORIGIN, Shard
from pipelines.tar_photos import TarShard
from tests.benchmarks import large_runs

ROWS = 1_000_000
SHARD_PHOTOS = 2_500
TOP_K = 4
PIECE = 5_000
EXTRA = {"photo_id": "str", "message": "str"}


LISTED = 1_000_000


def measured(*arguments: str) -> dict[str, Any]:
    if not sys.platform.startswith("linux"):
        pytest.skip("the peak is read in /proc")
    done = subprocess.run(
        [sys.executable, "-m", large_runs.__name__, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(found)
    return found


@pytest.mark.slow
def test_a_million_photos_are_listed() -> None:
    found = measured("listing", "--photos", str(LISTED))
    assert found["parts"] == 1600  # 16 for each of 100 workers
    assert found["peak_bytes"] - found["before_bytes"] < 100 * LISTED


@pytest.mark.slow
def test_ten_million_photos_that_are_done(tmp_path: Path) -> None:
    found = measured("resuming", "--work", str(tmp_path))
    assert found["parts"] == 0  # shards of zeros: opening them would cause problems
    assert found["summary"].startswith("10,000,000 photos in")
    assert found["summary"].endswith("0 could not be read.")
    assert found["peak_bytes"] < 1e9


def guesses_of(shard: Shard, example: pa.Table) -> pa.Table:
    """Rows for the photos of a shard, with their origins, from rows for one photo."""
    photos = np.repeat(np.arange(SHARD_PHOTOS), TOP_K)
    rows = example.take(pa.array(np.tile(np.arange(TOP_K), SHARD_PHOTOS)))
    ids = pa.array([f"{shard.name}/{i:06}.jpg" for i in photos])
    for name in ("photo_id", "path"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, ids)
    numbers = pa.array(photos)
    columns = {
        "name": pa.array([shard.name] * len(photos)),
        "size": pa.array([shard.size] * len(photos)),
        "mtime": pa.array([shard.mtime] * len(photos)),
        "start": numbers,
        "stop": pa.array(photos + 1),
        "total": pa.array([SHARD_PHOTOS] * len(photos)),
    }
    origins = pa.StructArray.from_arrays(list(columns.values()), list(columns)).cast(ORIGIN)
    return rows.append_column("origin", origins)


class Guesses:
    """In the place of Ray's dataset: all rows, a piece at a time."""

    def __init__(self, shards: list[Shard]) -> None:
        self.shards = shards

    def write_datasink(self, sink: Any, **_: Any) -> None:
        places = [{"path": "x", "rank": i, "lat": 10.0 * i, "lon": i - 1.0} for i in range(TOP_K)]
        frame = pd.DataFrame(places).assign(photo_id="x", message="", status="ok")
        example = arrow_guesses(frame, EXTRA)
        for shard in self.shards:
            table = guesses_of(shard, example)
            for start in range(0, len(table), PIECE):
                sink.write([table[start : start + PIECE]], None)


@pytest.mark.slow
def test_a_million_rows_are_few_files_and_one_table(tmp_path: Path, ray_on_two_cpus: None) -> None:
    duckdb = pytest.importorskip("duckdb")
    shards = [Shard(f"s3://b/{i:05}.tar", 1, 1) for i in range(ROWS // (SHARD_PHOTOS * TOP_K))]
    output = Output(str(tmp_path / "out"))
    parts = list(map(TarShard, shards))
    output.complete(parts, lambda _: Guesses(shards), arrow_schema(EXTRA), PIECE)
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) <= 20
    assert len({pq.read_schema(file).remove_metadata() for file in files}) == 1
    assert output.summary().startswith(f"{ROWS // TOP_K:,} photos")
    frame = gpd.read_parquet(tmp_path / "out")
    assert len(frame) == ROWS
    assert frame.crs.to_epsg() == 4326
    assert frame["photo_id"].nunique() == ROWS // TOP_K
    np.testing.assert_array_equal(frame.geometry.x, frame["lon"])
    table = duckdb.sql(f"select count(*), count(distinct photo_id) from '{tmp_path}/out/*.parquet'")
    assert table.fetchall() == [(ROWS, ROWS // TOP_K)]
