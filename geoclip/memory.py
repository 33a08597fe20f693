"""How the C library hands memory back, which decides the speed of CPU tensors on Linux."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # from glibc's malloc.h
_KEPT = 256 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Ask glibc to keep up to 256 MiB of freed memory instead of giving it back to the kernel.

    A forward and backward pass frees and takes the same large blocks at every step; where page
    faults are dear, returning them made a text tower's training step three times slower. Returns
    whether the C library took the setting (it is left alone where it is not glibc).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    options = (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_TOP_PAD)
    values = (_KEPT, _KEPT, _KEPT // 16)
    taken = [mallopt(o, v) == 1 for o, v in zip(options, values, strict=True)]
    return all(taken)
