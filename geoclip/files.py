"""Writing files whole or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import IO
from uuid import uuid4


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all; others may read it, as the umask says."""
    draft = path.with_name(f".{uuid4().hex}")
    try:
        with draft.open("wb") as file:
            write(file)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
