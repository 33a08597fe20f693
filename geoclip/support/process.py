"""The whole process: kept memory and garbage collection, which decide its speed; free memory."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # from glibc's malloc.h
_KEPT = 2**31 - 1  # the setting's maximum
_PADDING = 16 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Ask glibc to keep up to 2 GiB of freed memory instead of giving it back to the kernel.

    An encoder frees and allocates the same large blocks at every pass. Where page faults are slow,
    returning them took 45 % of the time of `street-tiny` over 32 photos, and made a text tower's
    training step three times slower. The process keeps its largest size. Returns whether the C
    library accepted the setting; only glibc has it.
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
    """Pause garbage collection, and exclude all objects that exist at the end from it for good.

    Importing torch and open_clip makes some 870,000 objects that last as long as the process.
    Without the pause Python scans all of them several times while they are made and once at exit, a
    quarter of the time to a first answer. This is for commands, not for libraries: it also keeps
    the garbage of others that exists at the end. Does nothing where collection is off.
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
    """Bytes that this process may still allocate, on the machine and within its control groups.

    The limit of a container or a job is that of a control group, which the machine's own figures do
    not show. Files that the kernel has cached count as free. `root` is the root of the file system.
    """
    import psutil  # noqa: PLC0415 (only training asks)

    free: int = psutil.virtual_memory().available
    return min([free, *_free_in_groups(root)])


def _free_in_groups(root: Path) -> Iterator[int]:
    """Bytes left under the limit of each of our control groups, of version 1 or 2."""
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
