"""Towers compiled by PyTorch."""

import torch

from geoclip.errors import GeoclipError


def check_compiler(device: torch.device) -> None:
    """Compile a small function; GeoclipError if that fails.

    A tower that fails to compile would fail in mid-run, with pages of output.
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
