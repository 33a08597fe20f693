"""Photos a second in float32, bfloat16, int8 and by the trial of "auto", on a processor.

    python -m tests.benchmarks.precision --model ViT-L-14 --photos 2 --rounds 3

Random weights, ready pixels; with --layers only so many of the tower's, which are all alike. int8
is torchao's: activations quantised as they come, weights beforehand, outside attentions. It needs
`pip install torchao`. With --compile all sides are compiled. "auto" is the trial's choice; the
trial's cost is given in photos in float32.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from copy import copy, deepcopy
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

from tests.benchmarks.timing import ROUNDS, interleaved, ratio, report, use_threads


def in_int8(encoder: Any, compiled: bool) -> Any:
    """The encoder with layers that torchao has quantised."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    other = copy(encoder)
    other.model = deepcopy(encoder.model)
    quantize_(other.model.visual, Int8DynamicActivationInt8WeightConfig())
    return other.for_photos("fp32", compiled)


def by_trial(encoder: Any) -> tuple[Any, float]:
    """The encoder in the fastest precision by trial, and the trial's seconds of processor time."""
    from geoclip.encoders.precision import WORTH_A_TRIAL

    other = copy(encoder).for_photos("auto")
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, GEOCLIP_CACHE=cache):
        start = time.process_time()
        other.expect(WORTH_A_TRIAL)
        return other, time.process_time() - start


def random_encoder(model: str, layers: int | None) -> Any:
    """An encoder of `layers` layers with a small text tower: texts are not measured."""
    import open_clip

    from geoclip.encoders.open_clip_encoder import OpenClipEncoder

    config = open_clip.get_model_config(model)
    config["text_cfg"] |= {"layers": 1, "width": 64, "heads": 1}
    config["vision_cfg"] |= {"layers": layers} if layers else {}
    return OpenClipEncoder.from_config(model, config)


def compare(
    model: str, layers: int | None, photos: int, rounds: int, compiled: bool
) -> dict[str, Any]:
    """Seconds of all sides, and cosines with float32."""
    import torch

    encoder = random_encoder(model, layers)
    encoder.model.requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    side = encoder.image_size
    pixels = torch.randn(photos, 3, side, side, generator=generator)
    ready = {p: copy(encoder).for_photos(p, compiled) for p in ("fp32", "bf16")}
    figures: dict[str, Any] = {}
    if find_spec("torchao"):
        ready["int8"] = in_int8(encoder, compiled)
    else:
        figures["int8"] = "skipped: pip install torchao"
    if not compiled:
        ready["auto"], figures["trial_cpu_s"] = by_trial(encoder)
        figures["auto"] = ready["auto"].precision
    found: dict[str, Any] = {}

    def runner(name: str) -> Callable[[], None]:
        def run() -> None:
            found[name] = ready[name].encode_pixels(pixels)

        return run

    sides = interleaved({name: runner(name) for name in ready}, rounds)
    others = [name for name in ready if name != "fp32"]
    cosines = {name: (found[name] * found["fp32"]).sum(axis=1) for name in others}
    if "auto" in ready:
        each = sides["fp32"]["cpu_s"] / photos
        figures["trial_in_photos"] = round(figures["trial_cpu_s"] / each, 1)
    return figures | {
        "over_fp32": {name: ratio(sides, name, "fp32") for name in others},
        "cosine": {name: float(cosines[name].min()) for name in others},
        "sides": sides,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-L-14", help="an open_clip architecture")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--photos", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)

    from geoclip.support.process import keep_freed_memory

    keep_freed_memory()
    model, layers, photos = arguments.model, arguments.layers, arguments.photos
    figures = compare(model, layers, photos, arguments.rounds, arguments.compile)
    about = {"model": model, "layers": layers, "photos": photos, "compiled": arguments.compile}
    report("precision", arguments.threads, **about, **figures)


if __name__ == "__main__":
    main()
