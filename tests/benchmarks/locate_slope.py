"""Processor time that `geoclip locate` takes for one more photo, beside its bare parts.

    python -m tests.benchmarks.locate_slope --few 200 --many 800 --model ViT-B-32

The slope between two numbers of photos, so that start-up does not count. The bare parts are the
encoder on ready tensors, and Pillow's decoding at reduced scale with one resize. The JPEGs are
made here; a few distinct ones stand under many names. An architecture's name gives random weights
and a random place index (the embedded text index is a matter of start-up); a folder is an encoder.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.inputs import link_photos, make_photos, prepared_encoder
from tests.benchmarks.timing import ROUNDS, middle, report, timed, use_threads

if TYPE_CHECKING:
    from geoclip.encoders import Encoder

BATCH = 32
COMMAND = "from geoclip.commands.launcher import run_command; run_command()"


def command_cpu(photos: Path, model: Path, home: Path, threads: int) -> float:
    """Processor seconds of one run over a folder of photos, all processes and threads."""
    out = home / f"{photos.name}.parquet"  # guesses for other photos are not replaced
    options = ["locate", str(photos), "--model", str(model), "--out", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", COMMAND, *options, "--jobs", str(threads)],
        env=os.environ | {"GEOCLIP_CACHE": str(home / "cache")},
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bare_cpu(encoder: "Encoder", photos: Sequence[Path]) -> dict[str, float]:
    """Processor seconds for a photo of the two bare parts."""
    import torch
    from PIL import Image

    side = encoder.image_size
    pixels = torch.randn(BATCH, 3, side, side)

    def encode() -> None:
        with torch.inference_mode():
            encoder.raw_image_features(pixels)

    def decode() -> None:
        for photo in photos:
            with Image.open(photo) as image:
                image.draft("RGB", (side, side))
                image.resize((side * image.width // image.height, side), Image.Resampling.BICUBIC)

    return {"encoder": timed(encode).cpu / BATCH, "decode": timed(decode).cpu / len(photos)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=800)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--distinct", type=int, default=20)
    parser.add_argument("--model", default="ViT-B-32", help="architecture or folder")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)

    from geoclip.support.process import keep_freed_memory

    keep_freed_memory()
    few, many = arguments.few, arguments.many
    with tempfile.TemporaryDirectory(prefix="geoclip-benchmark-") as folder:
        home = Path(folder)
        photos = make_photos(home / "photos", arguments.megapixels, arguments.distinct)
        folders = {n: link_photos(photos, home / str(n), n) for n in (few, many)}
        encoder, model = prepared_encoder(arguments.model, home)
        command_cpu(folders[few], model, home, arguments.threads)  # fills caches
        bare_cpu(encoder, photos)
        runs = []
        for _ in range(arguments.rounds):
            cpu = {n: command_cpu(f, model, home, arguments.threads) for n, f in folders.items()}
            slope = (cpu[many] - cpu[few]) / (many - few)
            bare = bare_cpu(encoder, photos)
            run = {"slope": slope, "start_up": cpu[few] - few * slope, **bare}
            runs.append(run | {"ratio": slope / (bare["encoder"] + bare["decode"])})
    report(
        "locate_slope",
        arguments.threads,
        model=arguments.model,
        photos=[few, many],
        megapixels=arguments.megapixels,
        cpu_s_median={name: middle([run[name] for run in runs]) for name in runs[0]},
        ratio_runs=[round(run["ratio"], 3) for run in runs],
    )


if __name__ == "__main__":
    main()
