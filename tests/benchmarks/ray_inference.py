"""Photos a second through Ray beside a plain process: JSON with both sides of each comparison.

    python tests/benchmarks/ray_inference.py --seconds 160

One worker against a plain process of one thread, and two workers against a plain process of two:
the same encoder (ViT-B/32 size, random weights), photos and places, the whole way from files to
rows of guesses; the workers also write theirs. Both sides run at once, but take turns: while one
works the other is stopped (SIGSTOP), so that what else the machine does falls on both. Start-up is
left out: a rate is taken over the time that a side was not stopped, between the end of its first
block and that of its last. The quieter the machine, the better.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from geoclip.encoders import load_encoder
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.support.process import keep_freed_memory

FILES = 128
SIZE = (1600, 1200)
CHUNK = 1024
"""Photos that the plain process reads without a pause before it ranks them."""
BLOCK = 64
"""Photos that a worker reads, ranks and writes at a time."""
ENOUGH = 100_000
"""Photos: more than any run does."""
TURN = 20.0
"""Seconds that a side works before it is the other's turn."""
WORKER = "MapBatches(PhotoLocator)"
VIT_B_32 = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12
    },
}  # fmt: skip
Timeline = list[tuple[float, int]]
"""Times (seconds since 1970) at which numbers of photos were done."""


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


def paths(folder: Path) -> list[str]:
    """The same photos over and over."""
    return [str(folder / "photos" / f"{i % FILES:04}.jpg") for i in range(ENOUGH)]


def plain(folder: Path, workers: int) -> None:
    """A process of `workers` threads without Ray; notes what is done in a file."""
    keep_freed_memory()
    torch.set_num_threads(workers)
    index, world = PlaceIndex.read(folder / "places"), Gazetteer.default()
    locator = Locator(load_encoder(folder / "model"), index, world)
    listed = paths(folder)
    with (folder / f"plain{workers}.txt").open("w", buffering=1) as notes:
        for start in range(0, ENOUGH, CHUNK):
            chunk = listed[start : start + CHUNK]
            found = locator.embed(chunk, lambda photos: print(time.time(), photos, file=notes))
            locator.guesses(found, classes=True)


def through_ray(folder: Path, workers: int) -> None:
    """`workers` actors on a cluster of two CPUs, one thread each; writes parts of guesses."""
    from pipelines.cluster import ray_session
    from pipelines.locate_photos import locate_into
    from pipelines.photo_actors import Pool
    from pipelines.photo_locator import LocatorSpec
    from pipelines.photo_source import Photo, sliced

    listed = [Photo(f"{i:06}", path) for i, path in enumerate(paths(folder))]
    with ray_session(cpus=2):
        model, out = str(folder / "model"), str(folder / f"ray{workers}")
        spec = LocatorSpec.of(model, folder / "places")
        parts = list(sliced(listed, BLOCK))
        locate_into(out, parts, spec, Pool(workers, threads=1))


def done_by(side: str, folder: Path, workers: int) -> Timeline:
    """A side's progress so far."""
    if side == "plain":
        notes = folder / f"plain{workers}.txt"
        lines = notes.read_text().splitlines() if notes.is_file() else []
        return [(float(line.split()[0]), int(line.split()[1])) for line in lines]
    parts = sorted((f.stat().st_mtime, f) for f in (folder / f"ray{workers}").glob("*.parquet"))
    return [(moment, BLOCK) for moment, _ in parts]


def processes_of(side: str, process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The processes of a side: itself, and its workers on the cluster."""
    own = psutil.Process(process.pid)
    if side == "plain":
        return [own]
    return [own, *(p for p in own.children(recursive=True) if WORKER in " ".join(p.cmdline()))]


def steady(done: Timeline, turns: list[tuple[float, float]]) -> dict[str, float]:
    """The rate between the ends of the first and the last block within a side's turns."""
    clock, known = 0.0, []
    for begun, ended in turns:
        known += [(clock + at - begun, n) for at, n in done if begun <= at < ended]
        clock += ended - begun
    photos = sum(n for _, n in known[1:])
    seconds = known[-1][0] - known[0][0]
    rate = round(photos / seconds, 2)
    return {"photos": photos, "seconds": round(seconds, 1), "photos_a_second": rate}


def compare(folder: Path, workers: int, seconds: float) -> dict[str, Any]:
    """Both sides in turns of `TURN` seconds until each has had `seconds`."""
    sides: dict[str, subprocess.Popen[bytes]] = {}
    turns: dict[str, list[tuple[float, float]]] = {"ray": [], "plain": []}
    try:
        for side in turns:
            given = ["--side", side, "--folder", str(folder), "--workers", str(workers)]
            sides[side] = subprocess.Popen(
                [sys.executable, __file__, *given], stdout=subprocess.DEVNULL
            )
            while len(done_by(side, folder, workers)) < 2 * workers:
                time.sleep(0.2)
            for process in processes_of(side, sides[side]):
                process.suspend()
        while sum(end - begin for begin, end in turns["plain"]) < seconds:
            for side, process in sides.items():
                for each in processes_of(side, process):
                    each.resume()
                begun = time.time()
                time.sleep(TURN)
                turns[side].append((begun, time.time()))
                for each in processes_of(side, process):
                    each.suspend()
    finally:
        for process in sides.values():
            end(process)
    results: dict[str, Any] = {
        side: steady(done_by(side, folder, workers), turns[side]) for side in turns
    }
    rates = [results[side]["photos_a_second"] for side in ("ray", "plain")]
    return results | {"ratio": round(rates[0] / rates[1], 3)}


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a side and what it started, stopped or not."""
    own = psutil.Process(process.pid)
    for each in [own, *own.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=160, help="of work for each side")
    parser.add_argument("--only", type=int, help="workers: one comparison instead of both")
    parser.add_argument("--side", choices=("plain", "ray"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        (plain if given.side == "plain" else through_ray)(given.folder, given.workers)
        return
    report: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for workers in [given.only] if given.only else (1, 2):
            report[f"{workers} worker(s)"] = compare(Path(name), workers, given.seconds)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
