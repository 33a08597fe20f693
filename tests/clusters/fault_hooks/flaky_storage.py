"""The local disk as storage of which every tenth call of a process fails, as a busy one's would."""

import itertools
import os
import threading
from typing import Any

from fsspec.implementations.local import LocalFileSystem

EVERY = 10
CALLS = itertools.count(1)
INSIDE = threading.local()


def count_call(name: str) -> None:
    if next(CALLS) % EVERY == 0:
        if log := os.environ.get("FLAKY_LOG"):
            with open(log, "a") as file:  # noqa: PTH123
                file.write(f"{name}\n")
        raise OSError(f"Connection reset in {name} (simulated)")


def failing(name: str) -> Any:
    """The method, except every tenth call; calls that it makes itself do not count."""

    def call(self: LocalFileSystem, *arguments: Any, **options: Any) -> Any:
        inner = getattr(INSIDE, "inside", False)
        if not inner:
            count_call(name)
        INSIDE.inside = True
        try:
            return getattr(LocalFileSystem, name)(self, *arguments, **options)
        finally:
            INSIDE.inside = inner

    return call


class FlakyFileSystem(LocalFileSystem):
    protocol = "flaky"


for _name in ("info", "ls", "_open", "makedirs", "mkdir", "rm_file", "rm", "mv", "cp_file"):
    setattr(FlakyFileSystem, _name, failing(_name))
