"""Ten million photos, none of which is there: what the driver takes for them, as JSON.

python tests/pipelines/large_runs.py listing
python tests/pipelines/large_runs.py resuming FOLDER
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from pipelines import storage
from pipelines.inputs import photo_parts
from pipelines.outputs import Output
from pipelines.part_files import encoded
from pipelines.photo_source import Shard
from pipelines.spans import Span

FOLDERS, PHOTOS = 10_000, 1000
SHARDS, SHARD_PHOTOS, FILE_SHARDS = 1000, 10_000, 10


class Bucket(fs.FileSystemHandler):
    """`FOLDERS` folders of `PHOTOS` photos each, which can only be listed."""

    def get_type_name(self) -> str:
        return "synthetic"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [fs.FileInfo(path, fs.FileType.Directory) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        home = selector.base_dir
        if "/" not in home:
            names = (f"{home}/2026-{i:05}" for i in range(FOLDERS))
            return [fs.FileInfo(name, fs.FileType.Directory) for name in names]
        names = (f"{home}/photo-{i:06}.jpg" for i in range(PHOTOS))
        return [fs.FileInfo(name, fs.FileType.File, size=100_000) for name in names]


Bucket.__abstractmethods__ = frozenset()  # it is never read from nor written to


def listing() -> dict[str, Any]:
    """Parts for 100 workers."""
    storage._remote = lambda scheme, bucket: fs.PyFileSystem(Bucket())  # type: ignore[assignment]
    parts = photo_parts(["synthetic://bucket"], 100)
    return {"parts": len(parts), "photos": sum(len(part.ids) for part in parts[::100])}


def prepare(folder: Path) -> None:
    """Shards of zeros, which would be damaged if they were opened, and an output that has them."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    count = FILE_SHARDS * SHARD_PHOTOS
    ids = pa.array([f"s3://bucket/photos/{i:012}.jpg" for i in range(count)])
    ones = pa.array(np.zeros(count))
    rows = pa.table({"photo_id": ids, "status": ["ok"] * count, "lat": ones})
    spans = []
    for i in range(SHARDS):
        shard = folder / "in" / f"{i:05}{'.parquet' if i % 2 else '.tar'}"
        with shard.open("wb") as file:
            file.truncate(1_000_000)
        state = Shard(str(shard), 1_000_000, shard.stat().st_mtime_ns)
        n = SHARD_PHOTOS
        spans.append(Span(state, 0, n, n, rows=n, photos=n, failed=0))
    for i in range(0, SHARDS, FILE_SHARDS):
        content = encoded([rows], spans[i : i + FILE_SHARDS])
        (folder / "out" / f"part-{i:05}.parquet").write_bytes(content)


def resuming(folder: Path) -> dict[str, Any]:
    """A run in which nothing is left to do."""
    output = Output(str(folder / "out"))
    parts = photo_parts([folder / "in"], 100, output.done())
    output.complete(parts, lambda left: sys.exit("there is work"), pa.schema({}), 1)
    return {"parts": len(parts), "summary": output.summary()}


def main() -> None:
    began, used = time.monotonic(), time.process_time()
    found = listing() if sys.argv[1] == "listing" else resuming(Path(sys.argv[2]))
    seconds = {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - used}
    print(json.dumps({**found, **seconds, "peak_bytes": peak()}))


def peak() -> int:
    """The most memory that this process had (what `getrusage` says is its parent's at first)."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
