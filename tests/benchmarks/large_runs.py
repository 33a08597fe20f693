"""Ten million photos without files: the driver's time and memory for them, as JSON.

    python -m tests.benchmarks.large_runs listing
    python -m tests.benchmarks.large_runs resuming --work DIR

`listing` finds them in folders of a bucket; its time includes the bucket's own for naming them.
`resuming` finds that all of them are done.
"""

import argparse
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

PHOTOS = 10_000_000
FOLDER_PHOTOS = 1000
SHARDS, SHARD_PHOTOS, FILE_SHARDS = 1000, 10_000, 10


class Bucket(fs.FileSystemHandler):
    """Folders of `FOLDER_PHOTOS` photos each, which can only be listed."""

    def __init__(self, photos: int) -> None:
        self.folders = photos // FOLDER_PHOTOS

    def get_type_name(self) -> str:
        return "synthetic"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [fs.FileInfo(path, fs.FileType.Directory) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        home = selector.base_dir
        if "/" not in home:
            names = (f"{home}/2026-{i:05}" for i in range(self.folders))
            return [fs.FileInfo(name, fs.FileType.Directory) for name in names]
        names = (f"{home}/photo-{i:06}.jpg" for i in range(FOLDER_PHOTOS))
        return [fs.FileInfo(name, fs.FileType.File, size=100_000) for name in names]


Bucket.__abstractmethods__ = frozenset()  # it is never read from nor written to


def listing(photos: int) -> dict[str, Any]:
    """Parts for 100 workers."""
    bucket = fs.PyFileSystem(Bucket(photos))
    storage._remote = lambda scheme, name: bucket  # type: ignore[assignment]
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
    """A run with nothing left to do."""
    output = Output(str(folder / "out"))
    parts = photo_parts([folder / "in"], 100, output.done())
    output.complete(parts, lambda left: sys.exit("there is work"), pa.schema({}), 1)
    return {"parts": len(parts), "summary": output.summary()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["listing", "resuming"])
    parser.add_argument("--photos", type=int, default=PHOTOS, help="to list, in thousands")
    parser.add_argument("--work", type=Path, help="an empty folder for the run that is resumed")
    options = parser.parse_args()
    if options.what == "resuming" and not (options.work and options.work.is_dir()):
        parser.error("resuming needs --work DIR, an empty folder.")
    if options.what == "resuming":
        prepare(options.work)
    held, began, used = peak(), time.monotonic(), time.process_time()
    found = listing(options.photos) if options.what == "listing" else resuming(options.work)
    seconds = {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - used}
    print(json.dumps({**found, **seconds, "peak_bytes": peak(), "before_bytes": held}))


def peak() -> int:
    """This process's peak memory (`getrusage` first reports its parent's)."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
