"""Many files of a folder of storage at a time: their names, deleting them, moving them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from pyarrow import fs

from pipelines.storage import attempted, exists, filesystem, join, list_files

FILES_AT_ONCE = 32


def list_names(folder: str) -> list[str]:
    """The files below a folder by their names in it; [] if there is none."""
    _, home = filesystem(folder)
    return [file.path[len(home) :].lstrip("/") for file in list_files(folder)]


def delete_files(folder: str, names: Iterable[str]) -> None:
    """Delete files of a folder; those that are not there are deleted already."""

    def delete(name: str) -> None:
        system, path = filesystem(join(folder, name))
        if system.get_file_info(path).type == fs.FileType.File:
            system.delete_file(path)

    _each(delete, names)


def delete_folder(name: str) -> None:
    """Delete a folder and what is in it, if it is there."""
    system, path = filesystem(name)
    if exists(name):
        attempted(lambda: system.delete_dir(path))


def move_files(source: str, target: str) -> None:
    """Move the files of a folder to another in the same storage; those moved before are there."""
    system, home = filesystem(target)
    names = list_names(source)
    if names:
        system.create_dir(home, recursive=True)
    _each(lambda name: system.move(f"{filesystem(source)[1]}/{name}", f"{home}/{name}"), names)


def _each(act: Callable[[str], None], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        list(pool.map(act, names))
