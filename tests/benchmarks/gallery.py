"""Search in a gallery, beside brute force and beside the bare library.

    python -m tests.benchmarks.gallery --rows 1000000 --width 512 --kind clustered --threads 1

"clustered" embeddings are of scenes, with few directions of much variance, as real ones are; in
"random" ones, the hardest case, no index finds anything that comparing all would not cost.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.timing import interleaved, ratio, report, timed, use_threads

if TYPE_CHECKING:
    import numpy as np

PART = 65_536
ROWS_A_SCENE = 50
RECALL_QUERIES = 512


class Source:
    """Unit vectors of one kind; every call draws others."""

    def __init__(self, kind: str, rows: int, width: int) -> None:
        import numpy as np

        self.kind, self.width = kind, width
        self.rng = np.random.default_rng(0)
        self.spread = np.arange(1, width + 1, dtype=np.float32) ** -0.5
        self.turn = np.linalg.qr(self.rng.standard_normal((width, width)))[0].astype(np.float32)
        self.scenes = self._normal(max(1, rows // ROWS_A_SCENE)) * self.spread

    def _normal(self, rows: int) -> "np.ndarray":
        import numpy as np

        return self.rng.standard_normal((rows, self.width), dtype=np.float32)

    def draw(self, rows: int) -> "np.ndarray":
        import numpy as np

        values = self._normal(rows)
        if self.kind == "clustered":
            of_scene = self.scenes[self.rng.integers(0, len(self.scenes), rows)]
            values = (of_scene + 0.5 * values * self.spread) @ self.turn
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    def parts(self, rows: int) -> Iterator["np.ndarray"]:
        for start in range(0, rows, PART):
            yield self.draw(min(PART, rows - start))


def memory_mb() -> float:
    """Resident memory now, without pages of mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1000
    return float("nan")


def build(folder: Path, source: Source, rows: int) -> tuple[Any, dict[str, Any]]:
    """A gallery with its index, and seconds and sizes of it."""
    import pandas as pd

    from geoclip.ranking.gallery.approximate import update_index
    from geoclip.ranking.gallery.photo_gallery import Gallery, GalleryAbout

    gallery = Gallery.create(folder, GalleryAbout("key", "benchmark", source.width))
    added = 0.0
    for values in source.parts(rows):
        ids = [f"{len(gallery) + i:032x}" for i in range(len(values))]
        table = pd.DataFrame({"photo_id": ids, "lat": 0.0, "lon": 0.0})
        added += timed(lambda values=values, table=table: gallery.add(values, table)).wall
    indexed = timed(lambda: update_index(gallery, least_rows=1))
    files = {file.name.split(".")[-1]: 0.0 for file in folder.iterdir()}
    for file in folder.iterdir():
        files[file.name.split(".")[-1]] += file.stat().st_size / 1e6
    sizes = {name: round(size, 1) for name, size in files.items()}
    return gallery, {"add_s": round(added, 2), "index": vars(indexed), "files_mb": sizes}


def bare_index(gallery: Any, lists: int) -> tuple[Any, dict[str, float]]:
    """The library's own index of the same vectors, and its time, without that of reading them."""
    import faiss
    import numpy as np

    from geoclip.ranking.gallery import approximate as ours

    index = faiss.index_factory(
        gallery.about.width, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter = ours._TRAINING_ROUNDS
    drawn = np.random.default_rng(0).permutation(len(gallery))[: ours._TRAINED_A_LIST * lists]
    sample = gallery.take(np.sort(drawn))
    spent = [timed(lambda: index.train(sample))]
    for _, block in gallery.blocks():
        values = np.array(block, np.float32)  # of one block: all would be twice the index
        spent.append(timed(lambda values=values: index.add(values)))
    return index, {clock: sum(getattr(t, clock) for t in spent) for clock in ("wall", "cpu")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=512, help="size of an embedding")
    parser.add_argument("--kind", choices=("clustered", "random"), default="clustered")
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--search-only", action="store_true", help="build no second index: take ours, in memory"
    )
    arguments = parser.parse_args()
    use_threads(arguments.threads)

    import faiss
    import numpy as np

    from geoclip.ranking.gallery.approximate import INDEX_FILE, read_tuning
    from geoclip.ranking.gallery.lookup import GalleryLookup
    from geoclip.ranking.gallery.neighbours import exact_neighbours

    faiss.omp_set_num_threads(arguments.threads)
    source = Source(arguments.kind, arguments.rows, arguments.width)
    queries, asked = source.draw(arguments.queries), source.draw(RECALL_QUERIES)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        gallery, built = build(Path(folder) / "gallery", source, arguments.rows)
        tuning = read_tuning(gallery.folder)
        if arguments.search_only:
            index = faiss.read_index(str(gallery.folder / INDEX_FILE))
        else:
            index, built["library"] = bare_index(gallery, tuning.lists)
        params = faiss.SearchParametersIVF(nprobe=tuning.probes or tuning.lists)
        before = memory_mb()
        lookup = GalleryLookup.open(gallery.folder)
        found = lookup.neighbours(asked, 10).rows
        held = memory_mb() - before
        true = exact_neighbours(gallery, asked, 10).rows
        sides = {
            "geoclip": lambda some: lookup.neighbours(some, 10),
            "library": lambda some: index.search(some, 10, params=params),
        }
        together = interleaved(
            {name: partial(side, queries) for name, side in sides.items()}, arguments.rounds
        )
        one = interleaved(
            {
                name: lambda side=side: [side(query[None]) for query in queries[:8]]
                for name, side in sides.items()
            },
            arguments.rounds,
        )
        # Last, as it reads the whole gallery, and may push the mapped index out of memory.
        brute = {"brute force": lambda: exact_neighbours(gallery, queries, 10)}
        together |= interleaved(brute, arguments.rounds)
        hits = [len(set(a) & set(b)) for a, b in zip(true.tolist(), found.tolist(), strict=True)]
    report(
        "gallery",
        arguments.threads,
        rows=arguments.rows,
        width=arguments.width,
        kind=arguments.kind,
        queries=len(queries),
        recall_at_10=round(float(np.mean(hits)) / 10, 4),
        tuning=vars(tuning),
        build=built,
        build_over_library={
            clock: round(built["index"][clock] / built["library"][clock], 3)
            for clock in ("wall", "cpu")
            if "library" in built
        },
        memory_of_search_mb=round(held, 1),
        peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1),
        sides=together,
        eight_one_by_one=one,
        geoclip_over_library=ratio(together, "geoclip", "library"),
        geoclip_over_brute_force=ratio(together, "geoclip", "brute force"),
        one_by_one_over_library=ratio(one, "geoclip", "library"),
        seconds=round(time.perf_counter() - begin, 1),
    )


if __name__ == "__main__":
    main()
