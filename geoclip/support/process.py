"""A whole process: kept memory and garbage collection, which decide its speed; free memory."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # from glibc's malloc.h
_KEPT = 2**31 - 1  # as much as the setting can say
_PADDING = 16 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Ask glibc to keep up to 2 GiB of freed memory instead of giving it back to the kernel.

    An encoder frees and takes the same large blocks at every pass. Where page faults are slow,
    giving them back took 45 % of the time of `street-tiny` over 32 photos, and made a text tower's
    training step three times slower. The process stays as large as it once was. Returns whether
    the C library took the setting; any other than glibc is left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    options = (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_TOP_PAD)
    values = (_KEPT, _KEPT, _PADDING)
    taken = [mallopt(o, v) == 1 for o, v in zip(options, values, strict=True)]
    return all(taken)


@contextmanager
def made_to_last() -> Iterator[None]:
    """Pause garbage collection, and leave out of it for ever what exists at the end.

    Importing torch and open_clip makes some 870,000 objects that last as long as the process.
    Python would search all of them several times while they are made and once more at its end,
    which takes a quarter of the time to a first answer. This is for commands, not for libraries:
    garbage of others that exists at the end is kept, too. Does nothing where collection is off.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: of the machine, and within its control groups.

    A container's or a job's limit is that of a control group, which the machine's own figures do
    not show. Files that the kernel has cached count as free. `root` is the root of the file system.
    """
    import psutil  # noqa: PLC0415 (only training asks)

    free: int = psutil.virtual_memory().available
    return min([free, *_free_in_groups(root)])


def _free_in_groups(root: Path) -> Iterator[int]:
    """What is left under the limit of each control group, of version 1 or 2, that holds us."""
    mounts = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            mount, names = mounts, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            mount = mounts / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = Path(path.strip("/"))
        for group in (mount / own, *(mount / above for above in own.parents)):
            limit, used = (_text(group / name).strip() for name in names[:2])
            stat = dict(line.split() for line in _text(group / "memory.stat").splitlines())
            if limit.isdigit() and used.isdigit():  # else "max", or no such group in this container
                yield max(0, int(limit) - int(used) + int(stat.get(names[2], 0)))


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
