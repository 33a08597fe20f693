"""Search in a gallery of shards on Ray, beside the search in one gallery of all photos.

    python -m tests.benchmarks.gallery_shards --rows 1000000 --shards 16 --queries 1024

Shards of fewer than 100,000 photos have no index: all photos are compared. Seconds are those of the
whole program, without Ray's start: for one photo, which is what starting actors and opening shards
takes, and for all. The memory is the largest of an actor's, with and without the mapped gallery.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import psutil

from tests.benchmarks.gallery import Source
from tests.benchmarks.timing import report, use_threads


def write_gallery(folder: Path, source: Source, rows: int, first: int) -> None:
    import pandas as pd

    from geoclip.ranking.gallery.approximate import update_index
    from geoclip.ranking.gallery.photo_gallery import Gallery, GalleryAbout

    gallery = Gallery.create(folder, GalleryAbout("key", "benchmark", source.width))
    for values in source.parts(rows):
        ids = [f"{first + len(gallery) + i:032x}" for i in range(len(values))]
        gallery.add(values, pd.DataFrame({"photo_id": ids, "lat": 0.0, "lon": 0.0}))
    update_index(gallery)


def write_embeddings(folder: Path, source: Source, rows: int, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    values = pa.FixedSizeListArray.from_arrays(source.draw(rows).ravel(), source.width)
    embeddings = values.cast(pa.list_(pa.float32()))
    table = pa.table({"photo_id": [f"{name} {i}" for i in range(rows)], "embedding": embeddings})
    pq.write_table(table, folder / "part-0.parquet")
    note = folder.with_name(f"{folder.name}-checkpoint")
    note.mkdir()
    (note / "run.json").write_text(json.dumps({"model": "key"}))


class Memory:
    """The largest memory of one actor during this context, in MB."""

    def __enter__(self) -> "Memory":
        self.all_mb = self.own_mb = 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.done.wait(0.5):
            for process in psutil.process_iter(["name", "memory_info"]):
                memory = process.info["memory_info"]
                if memory is not None and "ShardSearch" in process.info["name"]:
                    self.all_mb = max(self.all_mb, memory.rss / 1e6)
                    self.own_mb = max(self.own_mb, (memory.rss - memory.shared) / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--width", type=int, default=512, help="size of an embedding")
    parser.add_argument("--queries", type=int, default=1024)
    parser.add_argument("--actors", type=int, default=2)
    arguments = parser.parse_args()
    use_threads(1)

    from pipelines.cluster import ray_session
    from pipelines.search_gallery import search_gallery

    source = Source("clustered", arguments.rows, arguments.width)
    each = arguments.rows // arguments.shards
    figures = {}
    with tempfile.TemporaryDirectory() as home:
        begin = time.perf_counter()
        for shard in range(arguments.shards):
            folder = Path(home) / "shards" / f"{shard:03d}"
            write_gallery(folder, source, each, shard * each)
        figures["build_s"] = time.perf_counter() - begin
        for name, rows in (("few", 1), ("all", arguments.queries)):
            write_embeddings(Path(home) / name, source, rows, name)
        with ray_session(), Memory() as memory:
            for name in ("few", "all"):
                begin = time.perf_counter()
                search_gallery(
                    f"{home}/{name}", [f"{home}/shards"], f"{home}/{name}-out", 10, arguments.actors
                )
                figures[f"search_{name}_s"] = time.perf_counter() - begin
        figures |= {"actor_mb": memory.all_mb, "actor_without_gallery_mb": memory.own_mb}
        figures["files"] = len(list((Path(home) / "all-out").iterdir()))
    report(
        "gallery_shards",
        1,
        **vars(arguments),
        **{name: round(value, 2) for name, value in figures.items()},
    )


if __name__ == "__main__":
    main()
