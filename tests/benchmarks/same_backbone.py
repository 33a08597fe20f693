"""Photos a second beside PyPI's `geoclip` 1.3.0, and beside the bare image tower.

    python -m tests.benchmarks.same_backbone --other /path/to/its/environment/bin/python

Both sides have a ViT-L/14 of random weights in single precision and are given the same JPEGs. Ours
locates a batch (decoding, encoding, ranking against the built index); theirs is called photo by
photo, as it wants to be, in a process of its own environment: as it is, which encodes its 100,000
positions anew for each photo, and with their embeddings made once. Without --other its sides are
skipped.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.benchmarks.inputs import make_photos, random_index
from tests.benchmarks.timing import ROUNDS, interleaved, middle, ratio, report, use_threads

GALLERIES = ("each", "once")
"""How often the other library encodes its positions."""

DRIVER = """
import json, sys, time
import torch

torch.set_num_threads(int(sys.argv[1]))
from geoclip import GeoCLIP

class Known(torch.nn.Module):
    def __init__(self, embeddings):
        super().__init__()
        self.embeddings = embeddings

    def forward(self, positions):
        return self.embeddings

model = GeoCLIP(clip_pretrained=False).eval()
with torch.inference_mode():
    encoders = {"each": model.location_encoder}
    encoders["once"] = Known(model.location_encoder(model.gps_gallery))
print("ready", flush=True)
for line in sys.stdin:
    gallery, photo = json.loads(line)
    model.location_encoder = encoders[gallery]
    wall, cpu = time.perf_counter(), time.process_time()
    model.predict(photo, 5)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
"""


class OtherGeoclip:
    """The other distribution's model in a process of its environment; idle unless asked."""

    def __init__(self, python: str, threads: int, folder: Path) -> None:
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [python, "-c", DRIVER, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,  # else this checkout's `geoclip` would be imported
            env=clean,
        )

    def __enter__(self) -> "OtherGeoclip":
        while self._answer() != "ready":
            pass
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the other environment's process ended; see its message above")
        return line.strip()

    def predict(self, gallery: str, photo: Path) -> tuple[float, float]:
        """Seconds of wall and processor time; its positions are encoded "each" time or "once"."""
        assert self.process.stdin is not None
        print(json.dumps([gallery, str(photo)]), file=self.process.stdin, flush=True)
        wall, cpu = json.loads(self._answer())
        return wall, cpu


def ours(
    model: str, photos: Sequence[Path], rounds: int, others: dict[str, Callable[[], object]]
) -> dict[str, Any]:
    """Median seconds of locating the photos and of the bare tower; `others` run every round."""
    import torch

    from geoclip.encoders.open_clip_encoder import OpenClipEncoder
    from geoclip.guesses.settings import LocateSettings
    from geoclip.locator import Locator
    from geoclip.places.gazetteer import Gazetteer

    encoder = OpenClipEncoder.from_reference(model, "random")
    index = random_index(encoder.model_config["embed_dim"])
    locator = Locator(encoder, index, Gazetteer.default())
    pixels = torch.randn(len(photos), 3, encoder.image_size, encoder.image_size)

    def bare() -> None:
        with torch.inference_mode():
            encoder.raw_image_features(pixels)

    plain = LocateSettings.model_alone()
    sides = {"image tower": bare, "geoclip-gzsl": lambda: locator.locate(photos, plain)}
    return interleaved(sides | others, rounds)


def beside(other: OtherGeoclip, model: str, photos: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Both libraries by turns; the other's sides are of one photo, by its own clocks."""
    calls: dict[str, list[tuple[float, float]]] = {gallery: [] for gallery in GALLERIES}

    def call(gallery: str) -> None:
        calls[gallery].append(other.predict(gallery, photos[0]))

    sides = ours(model, photos, rounds, {name: partial(call, name) for name in GALLERIES})
    for gallery, found in calls.items():
        wall, cpu = (middle([timing[i] for timing in found[1:]]) for i in range(2))
        sides[gallery] = {"wall_s": wall, "cpu_s": cpu, "photos": 1}
    return sides


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--other", help="python of an environment with PyPI's geoclip 1.3.0")
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--model", default="ViT-L-14", help="an open_clip architecture")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)

    from geoclip.support.process import keep_freed_memory

    keep_freed_memory()
    figures: dict[str, Any] = {"model": arguments.model, "photos": arguments.photos}
    with tempfile.TemporaryDirectory(prefix="geoclip-benchmark-") as folder:
        photos = make_photos(Path(folder) / "photos", arguments.megapixels, arguments.photos)
        if arguments.other is None:
            figures["other"] = "skipped: name its environment with --other"
            sides = ours(arguments.model, photos, arguments.rounds, {})
        else:
            with OtherGeoclip(arguments.other, arguments.threads, Path(folder)) as other:
                sides = beside(other, arguments.model, photos, arguments.rounds)
            for gallery in GALLERIES:
                each = ratio(sides, gallery, "geoclip-gzsl")
                figures[f"times_faster_{gallery}"] = {
                    clock: round(seconds * len(photos), 2) for clock, seconds in each.items()
                }
    figures["over_image_tower"] = ratio(sides, "geoclip-gzsl", "image tower")
    report("same_backbone", arguments.threads, **figures, sides=sides)


if __name__ == "__main__":
    main()
