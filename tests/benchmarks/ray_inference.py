"""Photos a second through Ray beside a plain process: JSON with both sides of each comparison.

    python tests/benchmarks/ray_inference.py --seconds 130

One worker against a plain process of one thread, and two workers against a plain process of two:
the same encoder (ViT-B/32 size, random weights), photos and places, the whole way from files to
rows of guesses; the workers also write theirs. Start-up is left out: a rate is taken between the
ends of the first and the last blocks, over `--seconds` of work and more. Sides alternate, and the
order turns round from one round to the next. It needs two cores that do nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from geoclip.encoders import load_encoder
from geoclip.gazetteer import Gazetteer
from geoclip.index import PlaceIndex
from geoclip.locator import Locator
from geoclip.memory import keep_freed_memory

FILES = 128
SIZE = (1600, 1200)
CHUNK = 1024
"""Photos that the plain process reads without a pause before it ranks them."""
VIT_B_32 = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12
    },
}  # fmt: skip
Timeline = list[tuple[float, int]]
"""Times (seconds) at which a number of photos was done in all."""


def prepare(folder: Path) -> None:
    """Photos, an encoder and an index of random vectors, which takes as long to search as any."""
    from geoclip.encoders.open_clip_encoder import OpenClipEncoder

    noise = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(FILES):
        small = Image.fromarray(noise.integers(0, 255, (60, 80, 3), dtype=np.uint8))
        photo = small.resize(SIZE, Image.Resampling.BICUBIC)
        photo.save(folder / "photos" / f"{i:04}.jpg", quality=90)
    OpenClipEncoder.from_config("ViT-B-32", VIT_B_32).save(folder / "model")
    vectors = noise.normal(size=(len(Gazetteer.default()), VIT_B_32["embed_dim"]))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    PlaceIndex(vectors.astype(np.float32), "random").save(folder / "places")


def paths(folder: Path, count: int) -> list[str]:
    """`count` photos, the same files over and over."""
    return [str(folder / "photos" / f"{i % FILES:04}.jpg") for i in range(count)]


def plain(folder: Path, workers: int, count: int) -> Timeline:
    """A process of `workers` threads without Ray."""
    keep_freed_memory()
    torch.set_num_threads(workers)
    index, world = PlaceIndex.read(folder / "places"), Gazetteer.default()
    locator = Locator(load_encoder(folder / "model"), index, world)
    done: Timeline = []

    def note(photos: int) -> None:
        done.append((time.time(), (done[-1][1] if done else 0) + photos))

    listed = paths(folder, count)
    for start in range(0, count, CHUNK):
        embeddings = locator.embed(listed[start : start + CHUNK], note)
        locator.guesses(embeddings, classes=True)
    return done


def through_ray(folder: Path, workers: int, count: int) -> Timeline:
    """`workers` actors on a cluster of two CPUs, one thread each."""
    from pipelines.cluster import ray_session
    from pipelines.inputs import table_parts
    from pipelines.locate_photos import locate_into, locator_arguments
    from pipelines.photo_actors import Pool
    from pipelines.photo_source import Photo

    listed = [Photo(f"{i:06}", path) for i, path in enumerate(paths(folder, count))]
    model, places = str(folder / "model"), folder / "places"
    with tempfile.TemporaryDirectory(dir=folder) as out, ray_session(cpus=2):
        arguments = locator_arguments(model, places, None, None, 5)
        parts = list(table_parts(listed, workers))
        locate_into(f"{out}/guesses", parts, arguments, Pool(workers, threads=1))
        files = sorted(Path(out, "guesses").glob("*.parquet"), key=lambda f: f.stat().st_mtime)
        ranks = [(f.stat().st_mtime, pq.read_table(f, columns=["rank"])["rank"]) for f in files]
    done: Timeline = []
    for moment, rank in ranks:
        photos = int((rank.to_numpy() == 1).sum())
        done.append((moment, (done[-1][1] if done else 0) + photos))
    return done


def steady_rate(done: Timeline, workers: int) -> dict[str, float]:
    """Photos a second between the first blocks and the last ones, which may have a core alone."""
    (begun, before), (ended, after) = done[workers - 1], done[-workers]
    seconds = ended - begun
    return {"photos_a_second": round((after - before) / seconds, 2), "seconds": round(seconds, 1)}


SIDES: dict[str, Callable[[Path, int, int], Timeline]] = {"plain": plain, "ray": through_ray}


def measured(side: str, folder: Path, workers: int, count: int) -> dict[str, float]:
    """A side in a process of its own."""
    given = ["--side", side, "--folder", str(folder), "--workers", str(workers)]
    command = [sys.executable, __file__, *given, "--count", str(count)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def compare(folder: Path, workers: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Both sides, alternating, and the median of their ratios."""
    trial = measured("plain", folder, workers, 256)["photos_a_second"]
    count = int(1.3 * trial * seconds)
    results: dict[str, Any] = {"photos": count, "plain": [], "ray": []}
    for turn in range(rounds):
        for side in ("plain", "ray") if turn % 2 == 0 else ("ray", "plain"):
            results[side].append(measured(side, folder, workers, count))
    rates = [[one["photos_a_second"] for one in results[side]] for side in ("ray", "plain")]
    results["ratio"] = round(median(ray / alone for ray, alone in zip(*rates, strict=True)), 3)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=130, help="of steady state for each side")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", type=int, help="workers: one comparison instead of both")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        timeline = SIDES[given.side](given.folder, given.workers, given.count)
        print(json.dumps(steady_rate(timeline, given.workers)))
        return
    report: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for workers in [given.only] if given.only else (1, 2):
            report[f"{workers} worker(s)"] = compare(
                Path(name), workers, given.seconds, given.rounds
            )
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
