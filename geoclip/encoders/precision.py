"""The precision in which towers compute, and which is fastest here.

A CPU's description does not tell: bfloat16 may take a third of the time of float32, or several
times as long where it is emulated or a layer falls back to slow code. So "auto" tries, and keeps
the finding for this machine.
"""

import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import nn

from geoclip.errors import GeoclipError
from geoclip.support.files import write_whole
from geoclip.support.user_folders import cache_folder

logger = logging.getLogger(__name__)

AUTO, FULL, BF16 = "auto", "fp32", "bf16"
HALVES = {BF16: torch.bfloat16, "fp16": torch.float16}
PRECISIONS = (AUTO, FULL, "tf32", *HALVES)
ON_PROCESSORS = (AUTO, FULL, BF16)
FASTER = 0.9
"""A trial chooses a half precision that takes at most this share of the time of fp32."""
HOPELESS, ONCE = 2.0, 1.0
"""A pass so many times slower ends a trial, at the second pass if the first took less than `ONCE`
seconds more: a precision's one-time set-up takes less."""
ROUNDS = 2
WORTH_A_TRIAL = 1000
"""Photos. A trial takes the time of some twenty photos: 2 %."""
TRIAL_PHOTOS = 4


def check_precision(precision: str, device: torch.device) -> None:
    """Raise GeoclipError for an unknown precision and for one that the device lacks."""
    if precision not in PRECISIONS:
        raise GeoclipError(f"precision is {precision!r}; use {', '.join(PRECISIONS)}.")
    if device.type == "cpu" and precision not in ON_PROCESSORS:
        raise GeoclipError(
            f"precision {precision} is for GPUs; on a processor use {', '.join(ON_PROCESSORS)}."
        )


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """A context in which products are computed in a precision; sums and norms stay in float32.

    "bf16" and "fp16" are PyTorch's autocast; "tf32" lets a GPU round the factors of float32
    products to 10 bits.
    """
    if precision in HALVES:
        with torch.autocast(device.type, HALVES[precision]):
            yield
    elif precision == "tf32":
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
    else:
        yield


def bears_half(tower: nn.Module) -> bool:
    """Whether "auto" may choose a half precision for an image tower.

    Not where convolutions between its blocks round everything that passes: street-tiny in bfloat16
    names another country for 1.6 % of 560 photos. A ViT has one convolution, which cuts its
    patches.
    """
    return sum(isinstance(module, nn.Conv2d) for module in tower.modules()) <= 1


def of_gpu(device: torch.device) -> str:
    """The precision that "auto" means on a device other than a CPU."""
    if device.type != "cuda":
        return FULL  # nobody has measured others
    return BF16 if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def kept_finding(what: str, model: nn.Module) -> str | None:
    """The finding of an earlier trial on this machine for `what` of a model, if any."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        found = json.loads(_file(what, model).read_text(encoding="utf-8"))["precision"]
        return str(found) if found in ON_PROCESSORS[1:] else None
    return None


def try_out(what: str, model: nn.Module, work: Callable[[str, int], object]) -> str:
    """The fastest precision on this CPU for `what` of a model, by trial; the finding is kept.

    `work` takes a precision and a number of photos to work on. It counts processor time, which
    other processes disturb least.
    """
    seconds = {FULL: min(_time(work, FULL, 1), _time(work, FULL, 1)), BF16: _time(work, BF16, 1)}
    most = HOPELESS * seconds[FULL]
    if most < seconds[BF16] <= most + ONCE:  # the second pass has no set-up
        seconds[BF16] = _time(work, BF16, 1)
    if seconds[BF16] <= most:
        rounds = [{p: _time(work, p, TRIAL_PHOTOS) for p in (FULL, BF16)} for _ in range(ROUNDS)]
        seconds = {p: min(each[p] for each in rounds) for p in (FULL, BF16)}
    found = BF16 if seconds[BF16] <= FASTER * seconds[FULL] else FULL
    logger.info("%s: %s, by a trial on this machine (seconds: %s)", what, found, seconds)
    _keep(_file(what, model), {"precision": found, "seconds": seconds})
    return found


def _time(work: Callable[[str, int], object], precision: str, photos: int) -> float:
    """Seconds of processor time of one pass."""
    start = time.process_time()
    work(precision, photos)
    return time.process_time() - start


def _keep(file: Path, finding: Mapping[str, object]) -> None:
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, lambda f: f.write(json.dumps(finding).encode()))


def _file(what: str, model: nn.Module) -> Path:
    """The file of a trial's finding: by machine, PyTorch, threads and the tower's shapes."""
    shapes = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    machine = (platform.node(), platform.machine(), _processor(), os.cpu_count())
    parts = (what, machine, torch.__version__, torch.get_num_threads(), shapes)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
    return cache_folder() / "precision" / f"{key}.json"


def _processor() -> str:
    """Linux's description of the processor, else Python's."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        told = {line for line in lines if line.startswith(("model name", "flags"))}
        return "\n".join(sorted(told))
    return platform.processor()
