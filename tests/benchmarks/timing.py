"""Both sides of a comparison, measured in turn in one process."""

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

ROUNDS = 5


@dataclass(frozen=True)
class Timing:
    """Seconds of one run: by the clock on the wall, and of processor time over all threads.

    That of other processes, which it waited for, is counted.
    """

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Timing:
    """How long `work` takes."""
    wall, cpu = time.perf_counter(), processor_time()
    work()
    return Timing(time.perf_counter() - wall, processor_time() - cpu)


def processor_time() -> float:
    """Seconds so far of this process and of those that it waited for."""
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def interleaved(
    sides: dict[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, dict[str, Any]]:
    """Median seconds of every side; all sides run once in each round, after one round unmeasured.

    On a machine that other work shares, processor time is the fairer of the two.
    """
    for work in sides.values():
        work()
    runs: dict[str, list[Timing]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            runs[name].append(timed(work))
    return {
        name: {
            "wall_s": middle([t.wall for t in found]),
            "cpu_s": middle([t.cpu for t in found]),
            "runs_wall_s": [round(t.wall, 5) for t in found],
        }
        for name, found in runs.items()
    }


def middle(values: Sequence[float]) -> float:
    """The median, in five decimals."""
    return round(median(values), 5)


def ratio(sides: dict[str, dict[str, Any]], above: str, below: str) -> dict[str, float]:
    """Median of one side over the median of another, on both clocks."""
    return {
        clock: round(sides[above][f"{clock}_s"] / max(sides[below][f"{clock}_s"], 1e-9), 3)
        for clock in ("wall", "cpu")
    }


def use_threads(threads: int) -> None:
    """Let torch and numpy's products use so many threads; call it before either is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    import torch

    torch.set_num_threads(threads)


def report(name: str, threads: int, **figures: Any) -> None:
    """Print figures as JSON, with what they were measured on."""
    import torch

    about = {
        "benchmark": name,
        "threads": threads,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps(about | figures, indent=2))
