"""Operations on many files of a stored folder: list, delete, move."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pyarrow import fs

from pipelines.storage import attempted, exists, filesystem, join, list_files

FILES_AT_ONCE = 32


def list_names(folder: str) -> list[str]:
    """The files below a folder by their names in it; [] if there is none."""
    home = filesystem(folder)[1].strip("/")  # some list with a slash before the first folder
    return [file.path.strip("/").removeprefix(f"{home}/") for file in list_files(folder)]


def walk_files(name: str) -> Iterator[fs.FileInfo]:
    """The files below a folder, or the file itself, without keeping a list.

    They come folder by folder, sorted by name within each; some folders are requested at a time.
    Their `path` is a path in the folder's file system.
    """
    system, path = filesystem(name)
    own = system.get_file_info(path)
    if own.type == fs.FileType.File:
        yield own
    level = [path] if own.type == fs.FileType.Directory else []
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        while level:
            asked, level = level[:FILES_AT_ONCE], level[FILES_AT_ONCE:]
            for folders, files in pool.map(partial(_entries, system), asked):
                level += folders
                yield from files


def _entries(system: fs.FileSystem, folder: str) -> tuple[list[str], list[fs.FileInfo]]:
    """The folders and files in a folder, each in order of their names."""
    found: dict[fs.FileType, list[fs.FileInfo]] = defaultdict(list)
    for info in attempted(lambda: system.get_file_info(fs.FileSelector(folder))):
        found[info.type].append(info)
    folders = sorted(info.path for info in found[fs.FileType.Directory])
    return folders, sorted(found[fs.FileType.File], key=lambda info: info.path)


def delete_files(folder: str, names: Iterable[str]) -> None:
    """Delete files of a folder; absent ones count as deleted."""

    def delete(name: str) -> None:
        system, path = filesystem(join(folder, name))
        if system.get_file_info(path).type == fs.FileType.File:
            system.delete_file(path)

    _each(delete, names)


def delete_folder(name: str) -> None:
    """Delete a folder with its content, if it exists."""
    system, path = filesystem(name)
    if exists(name):
        attempted(lambda: system.delete_dir(path))


def move_files(source: str, target: str) -> None:
    """Move the files of a folder to another in the same storage; some may already be there."""
    system, home = filesystem(target)
    names = list_names(source)
    if names:
        system.create_dir(home, recursive=True)
    _each(lambda name: system.move(f"{filesystem(source)[1]}/{name}", f"{home}/{name}"), names)


def _each(act: Callable[[str], None], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        list(pool.map(act, names))
