"""PyTorch's compiler, if it can run here."""

import torch

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError


def compile_towers(encoder: Encoder) -> None:
    """Let the towers be compiled when they first run, in place; weights keep their names.

    Of text towers with a causal mask the layers around the blocks alone are: the blocks share what
    texts begin with (`encoders.causal_text`), which saves more.
    Raises GeoclipError where PyTorch cannot compile.
    """
    check_compiler(encoder.device)
    for part in encoder.model.children():
        part.compile()


def check_compiler(device: torch.device) -> None:
    """Compile a line of arithmetic; GeoclipError if that fails.

    A tower that fails to compile would do so in the middle of a step, with pages of output.
    """
    try:
        torch.compile(lambda x: 2 * x + 1)(torch.ones(8, device=device))
    except Exception as error:  # every backend has errors of its own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise GeoclipError(
            f"compile is set, but PyTorch cannot compile for {device.type} here "
            f"({reason[0].rstrip('.:')}); install a C++ compiler (on GPUs also Triton), or leave "
            "compile out."
        ) from error
