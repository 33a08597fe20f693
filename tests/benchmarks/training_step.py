"""A training step beside the plain open_clip one, and the memory that gradient caching needs.

    python -m tests.benchmarks.training_step --batch 64 --threads 1
    python -m tests.benchmarks.training_step --memory 64 1024 --chunk 64
    python -m tests.benchmarks.training_step --precisions --model street-tiny --batch 16

Random weights, random pixels, the captions that training draws for cities; forward, backward and
AdamW on both sides, in single precision. With --memory one step for each batch size runs in its own
process; the peaks of its resident memory are compared. With --precisions our step in float32 is
beside ours in bfloat16; the model is an architecture or one of `geoclip models`.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.benchmarks.timing import ROUNDS, interleaved, ratio, report, use_threads

if TYPE_CHECKING:
    from geoclip.encoders.open_clip_encoder import OpenClipEncoder
    from geoclip.training.step import Batch


def drawn_batch(encoder: "OpenClipEncoder", size: int) -> tuple["Batch", list[str]]:
    """A batch of photos of cities, and the text of each photo's caption."""
    import numpy as np
    import torch

    from geoclip.places.captions import CaptionBook, distinct, truth_matrix
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.training.step import Batch

    book = CaptionBook(Gazetteer.default())
    cities = book.gazetteer.level_rows("city")
    rows = cities[np.linspace(0, len(cities) - 1, size).astype(int)]
    drawn = [book.draw(int(row), 0, 0, str(row)) for row in rows]
    captions = distinct(drawn)
    truth = torch.from_numpy(truth_matrix(rows, captions, book.gazetteer.ancestors))
    side = encoder.image_size
    pixels = torch.randn(size, 3, side, side, generator=torch.Generator().manual_seed(0))
    tokens = encoder.tokenize([caption.text for caption in captions])
    readable = torch.ones(size, dtype=torch.bool)
    return Batch(pixels, tokens, truth, readable, rows), [caption.text for caption in drawn]


def compare(model: str, size: int, rounds: int) -> dict[str, Any]:
    """Seconds of both steps."""
    import open_clip
    import torch

    from geoclip.encoders.open_clip_encoder import OpenClipEncoder
    from geoclip.training.settings import TrainingSettings
    from geoclip.training.step import contrastive_gradients

    encoder = OpenClipEncoder.from_reference(model, "random")
    encoder.model.train()
    batch, texts = drawn_batch(encoder, size)
    optimizer = torch.optim.AdamW(encoder.model.parameters(), lr=1e-6)
    all_tokens, loss = encoder.tokenizer(texts), open_clip.ClipLoss()

    def ours() -> None:
        contrastive_gradients(encoder, batch, TrainingSettings(batch_size=size, chunk_size=None))
        optimizer.step()
        optimizer.zero_grad()

    def theirs() -> None:
        loss(*encoder.model(batch.pixels, all_tokens)[:3]).backward()
        optimizer.step()
        optimizer.zero_grad()

    sides = interleaved({"open_clip": theirs, "geoclip": ours}, rounds)
    return {
        "batch": size,
        "distinct_captions": len(batch.tokens),
        "sides": sides,
        "geoclip_over_open_clip": ratio(sides, "geoclip", "open_clip"),
    }


def compare_precisions(model: str, size: int, rounds: int) -> dict[str, Any]:
    """Seconds of our step in both precisions."""
    import torch

    from geoclip.encoders import load_encoder
    from geoclip.encoders.registry import KNOWN_MODELS
    from geoclip.training.settings import TrainingSettings
    from geoclip.training.step import contrastive_gradients
    from geoclip.training.towers import freeze_batch_norm

    encoder = load_encoder(model if model in KNOWN_MODELS else f"{model}:random")
    encoder.model.train()
    freeze_batch_norm(encoder.model)
    batch, _ = drawn_batch(encoder, size)
    optimizer = torch.optim.AdamW(encoder.model.parameters(), lr=1e-6)

    def stepper(precision: str) -> Callable[[], None]:
        settings = TrainingSettings(batch_size=size, precision=precision)

        def step() -> None:
            contrastive_gradients(encoder, batch, settings)
            optimizer.step()
            optimizer.zero_grad()

        return step

    sides = interleaved({name: stepper(name) for name in ("fp32", "bf16")}, rounds)
    return {"batch": size, "sides": sides, "bf16_over_fp32": ratio(sides, "bf16", "fp32")}


def step_in_this_process(model: str, size: int, chunk: int) -> None:
    """One step with gradient caching; prints the peak of resident memory in MB."""
    import torch

    from geoclip.encoders.open_clip_encoder import OpenClipEncoder
    from geoclip.training.settings import TrainingSettings
    from geoclip.training.step import contrastive_gradients

    encoder = OpenClipEncoder.from_reference(model, "random")
    encoder.model.train()
    batch, _ = drawn_batch(encoder, size)
    optimizer = torch.optim.AdamW(encoder.model.parameters(), lr=1e-6)
    for parameter in encoder.model.parameters():  # moments of earlier steps are there as well
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    contrastive_gradients(encoder, batch, TrainingSettings(batch_size=size, chunk_size=chunk))
    optimizer.step()
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def peak_memory(model: str, size: int, chunk: int, threads: int) -> float:
    """Peak of resident memory in MB of a process that takes one step."""
    options = ["--model", model, "--chunk", str(chunk), "--threads", str(threads)]
    command = [sys.executable, "-m", "tests.benchmarks.training_step", "--one-step", str(size)]
    result = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return float(json.loads(result.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--memory", type=int, nargs=2, metavar=("SMALL", "LARGE"))
    parser.add_argument("--precisions", action="store_true")
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one-step", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    model, threads = arguments.model, arguments.threads
    if arguments.one_step:
        step_in_this_process(model, arguments.one_step, arguments.chunk)
    elif arguments.memory:
        peaks = {n: peak_memory(model, n, arguments.chunk, threads) for n in arguments.memory}
        small, large = (round(peaks[n]) for n in arguments.memory)
        figures = {"chunk": arguments.chunk, "batches": arguments.memory, "peak_mb": [small, large]}
        report("caching_memory", threads, model=model, **figures, ratio=round(large / small, 3))
    else:
        from geoclip.support.process import keep_freed_memory

        keep_freed_memory()
        side_by_side = compare_precisions if arguments.precisions else compare
        figures = side_by_side(model, arguments.batch, arguments.rounds)
        report("training_step", threads, model=model, **figures)


if __name__ == "__main__":
    main()
