"""Photos a second from tar shards on an S3-compatible server beside the same shards on disk.

    python -m tests.benchmarks.shards --megabytes 200

Both sides read shards as a task of `pipelines.locate_photos` does and decode each photo to the size
of an encoder; they take turns. The server (moto) is a process of its own on this machine: it takes
processor time from the reader, which a real store does not.
"""

import argparse
import io
import multiprocessing
import os
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.photo_source import Shard, read_blocks
from pipelines.storage import store_folder
from pipelines.tar_photos import TarShard
from tests.benchmarks.timing import interleaved, ratio, report
from tests.loopback_s3 import counted_requests, make_bucket, s3_server

SIZE = (1024, 768)
SHARD_BYTES = 50_000_000
SIDE = 224


def serve(pipe: Connection) -> None:
    """Run the server until told to end; sends its environment, and at the end its requests."""
    with s3_server() as environment:
        pipe.send(environment)
        with counted_requests() as requests:
            while pipe.recv():
                pipe.send(dict(requests))
                requests.clear()


def make_shards(folder: Path, megabytes: int) -> int:
    """Shards of photos of about a street view's size; how many photos there are."""
    noise = np.random.default_rng(0)
    pictures = []
    for _ in range(16):
        small = Image.fromarray(noise.integers(0, 255, (60, 80, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        small.resize(SIZE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    photos, size = 0, min(megabytes * 1_000_000, SHARD_BYTES)
    for shard in range(megabytes * 1_000_000 // size):
        with tarfile.open(folder / f"{shard:03}.tar", "w") as tar:
            while tar.offset < size:
                member = tarfile.TarInfo(f"{photos:06}.jpg")
                content = pictures[photos % len(pictures)]
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
                photos += 1
    return photos


def read_all(names: list[str], decode: bool = True) -> int:
    """Read shards, and decode their photos; returns the number of photos."""
    count = 0
    for name in names:
        for block in read_blocks(TarShard(Shard(name))):
            for views in block["views"].to_pylist():
                count += len(views)
                if decode:
                    picture = Image.open(io.BytesIO(views[0]["content"]))
                    picture.draft("RGB", (SIDE, SIDE))
                    picture.resize((SIDE, SIDE))
    return count


def compare(sides: dict[str, Callable[[], object]], photos: int, rounds: int) -> dict[str, Any]:
    """Photos a second of each side, and how the second's compare with the first's."""
    times = interleaved(sides, rounds)
    rates = {name: round(photos / found["wall_s"], 1) for name, found in times.items()}
    return {"photos_a_second": rates, "s3_over_local": ratio(times, "local", "s3")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    os.environ |= here.recv()
    with tempfile.TemporaryDirectory() as folder:
        photos = make_shards(Path(folder), given.megabytes)
        bucket = make_bucket("shards")
        store_folder(Path(folder), bucket)
        files = sorted(Path(folder).iterdir())
        names = {"local": [str(f) for f in files], "s3": [f"{bucket}/{f.name}" for f in files]}
        here.send(True)
        here.recv()
        read_all(names["s3"], decode=False)
        here.send(True)
        gets = here.recv()["GET"]
        most = sum(2 + f.stat().st_size / (8 * 1024 * 1024) for f in files)
        figures: dict[str, Any] = {
            "photos": photos,
            "shards": len(files),
            "gets": gets,
            "gets_at_most": most,
        }
        for kind, decode in (("read_and_decoded", True), ("read_only", False)):
            sides = {side: partial(read_all, own, decode) for side, own in names.items()}
            figures[kind] = compare(sides, photos, given.rounds)
    here.send(False)
    server.join()
    report("shards", 1, **figures)


if __name__ == "__main__":
    main()
