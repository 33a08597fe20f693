"""Write files whole or not at all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import uuid4

from geoclip.errors import GeoclipError

if TYPE_CHECKING:
    from torch import Tensor


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all; others may read it if the umask allows."""
    with _draft(path) as draft, draft.open("wb") as file:
        write(file)


def write_for_user(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """The same for a file that a user named; raises GeoclipError where it cannot be written."""
    try:
        write_whole(path, write)
    except OSError as problem:
        raise GeoclipError(
            f"{path} cannot be written ({problem.strerror or problem}): make room or name another "
            "file."
        ) from None


def write_tensors(
    path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, as `write_whole` does, of tensors on any device."""
    from safetensors.torch import save_file  # noqa: PLC0415

    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with _draft(path) as draft:
        save_file(ready, draft, metadata)
        let_others_read(draft)


def let_others_read(path: Path) -> None:
    """Give a file the mode of any new file, by the umask.

    safetensors writes files that only their owner may read. Without this, other users of a cluster
    could not read a model.
    """
    new = path.with_name(f".{uuid4().hex}")
    try:
        new.touch()
        with suppress(OSError):  # a file system without modes has none to set
            path.chmod(new.stat().st_mode)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which it replaces at the end; an error removes it."""
    draft = path.with_name(f".{uuid4().hex}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
