"""Files, folders, globs and CSV lists → the photos they name."""

import glob
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from geoclip.errors import GeoclipError
from geoclip.photos.csv_lists import read_csv_list
from geoclip.support.paths import AnyPath, decode_path, encode_path, path_list

# fmt: off
PHOTO_SUFFIXES = frozenset({
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo",
    ".png", ".tif", ".tiff", ".webp",
})
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".webm", ".wmv",
})
# fmt: on


def list_photos(
    paths: AnyPath | Iterable[AnyPath], suffixes: Container[str] = PHOTO_SUFFIXES
) -> list[Path]:
    """The photos named by files, folders and globs, each once, in the order given.

    A folder gives the entries below it whose ending is one of `suffixes` (lower case, with the
    dot), sorted; links are followed, each folder is entered once, and macOS companions (`._name`)
    are left out. A folder that cannot be listed stands for itself. A path that does not exist, or
    a glob that matches nothing, is kept, so that it is reported with the photos.

    >>> [photo.name for photo in list_photos("holiday")]
    ['grey.jpg']
    """
    return _listed(paths, lambda name: is_wanted(name, suffixes))


def list_left_out(
    paths: AnyPath | Iterable[AnyPath], suffixes: Container[str] = PHOTO_SUFFIXES
) -> list[Path]:
    """The files in folders that `list_photos` passes over, for a record of them."""
    paths = path_list(paths)
    named = {_key(path) for path in list_photos(paths, suffixes)}
    return [path for path in _listed(paths, lambda _: True) if _key(path) not in named]


def read_path_list(stream: BinaryIO) -> list[str]:
    """Paths from a stream, one a line; separated by zero bytes, as `find -print0` writes them,
    where it holds one, so that names with line breaks can be given.
    """
    content = stream.read()
    if b"\0" in content:
        names = content.split(b"\0")
    else:
        names = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return [os.fsdecode(name) for name in names if name]


def is_wanted(path: str, suffixes: Container[str]) -> bool:
    """Whether a file's ending is one of `suffixes` and it is no macOS companion (`._name`)."""
    name = path.rsplit("/", 1)[-1]
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    return suffix in suffixes and not name.startswith("._")


def _listed(paths: AnyPath | Iterable[AnyPath], wanted: Callable[[str], bool]) -> list[Path]:
    photos: dict[str, Path] = {}
    for path in path_list(paths):
        for photo in _expand(os.fspath(path), wanted):
            photos.setdefault(_key(photo), photo)
    return list(photos.values())


def _key(photo: Path) -> str:
    """The same for a path however it is written; links are not followed."""
    return os.path.abspath(photo)  # noqa: PTH100


def _expand(path: str, wanted: Callable[[str], bool]) -> Iterator[Path]:
    if os.path.isdir(path):  # noqa: PTH112
        yield from sorted(map(Path, _walk(path, wanted)))
    elif not os.path.lexists(path) and glob.has_magic(path):
        for match in sorted(glob.glob(path, recursive=True)) or [path]:  # noqa: PTH207
            is_folder = os.path.isdir(match)  # noqa: PTH112
            yield from sorted(map(Path, _walk(match, wanted))) if is_folder else [Path(match)]
    else:
        yield Path(path)


def walk_photos(folder: AnyPath, suffixes: Container[str] = PHOTO_SUFFIXES) -> Iterator[str]:
    """The paths that `list_photos` gives for a folder, of which no list is kept.

    They come folder by folder, those of one in order.
    """
    return _walk(os.fspath(folder), lambda name: is_wanted(name, suffixes))


def _walk(folder: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """Wanted files below a folder; one reached again, by whatever link, is not entered again."""
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            info = os.stat(current)  # noqa: PTH116
            if (info.st_dev, info.st_ino) in entered:
                continue
            entered.add((info.st_dev, info.st_ino))
            folders, files = _entries(current, wanted)
        except OSError:
            yield current
            continue
        # Links are entered last, so that photos keep their real folder's path.
        waiting[:0] = [entry.path for entry in folders if entry.is_symlink()]
        waiting += [entry.path for entry in reversed(folders) if not entry.is_symlink()]
        yield from files


def _entries(
    folder: str, wanted: Callable[[str], bool]
) -> tuple[list[os.DirEntry[str]], list[str]]:
    """The folders in a folder, and the paths of the wanted files, both in order of their names."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_folder(entry):
                folders.append(entry)
            elif wanted(entry.name):
                files.append(entry.path)
    return sorted(folders, key=lambda entry: entry.name), sorted(files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path)  # noqa: PTH112  (`entry.is_dir` raises for a link to itself)


def photos_and_locations(
    paths: Sequence[str],
    location_column: str | None = None,
    suffixes: Container[str] = PHOTO_SUFFIXES,
) -> tuple[list[Path], list[str] | None]:
    """Photos named on a command line, `.csv` lists included, and the location of each.

    `suffixes` chooses the files in folders, as in `list_photos`. `location_column` names a column
    of the CSV files; a photo that is in none of them, or whose cell is empty, is a location of its
    own. Raises GeoclipError for a list that cannot be read, lacks a column or names nothing, for a
    photo of two locations, for an address, and for a `location_column` without a CSV file.
    """
    paths = [named for path in paths for named in _expand_lists(_local(path))]
    lists = [path for path in paths if path.lower().endswith(".csv")]
    if location_column is not None and not lists:
        raise GeoclipError(f"--location-id {location_column} needs a .csv list with this column.")
    photos: dict[str, tuple[Path, str]] = {}
    for path in paths:
        named = _read_list(path, location_column) if path in lists else _alone(path, suffixes)
        for photo, location in named:
            first, known = photos.setdefault(_key(photo), (photo, location))
            if known and location and known != location:
                raise GeoclipError(
                    f"{photo} has {known!r} and {location!r} in {location_column}: keep one of "
                    "them."
                )
            photos[_key(photo)] = first, known or location
    if not photos:
        raise no_photos(paths)
    listed = [photo for photo, _ in photos.values()]
    if location_column is None:
        return listed, None
    return listed, [location or key for key, (_, location) in photos.items()]


def no_photos(paths: Iterable[AnyPath]) -> GeoclipError:
    """The error for files and folders among which there is no photo."""
    named = ", ".join(map(encode_path, paths))
    return GeoclipError(
        f"No photos were found{f' in {named}' if named else ''}: name files or folders."
    )


def _local(path: str) -> str:
    """The path of an address `file:///…`; other paths as they are, other addresses an error."""
    if "://" not in path or os.path.lexists(path):
        return path
    if path.startswith("file:///"):
        return os.fspath(decode_path(path))
    raise GeoclipError(
        f"{path} is an address, and only files of this machine are read: download it first, or "
        "name s3:// and the like to python -m pipelines.locate_photos."
    )


def _expand_lists(path: str) -> list[str]:
    """The lists that a glob of them matches; other paths as they are."""
    is_glob = path.lower().endswith(".csv") and glob.has_magic(path) and not os.path.lexists(path)
    return (sorted(glob.glob(path, recursive=True)) or [path]) if is_glob else [path]  # noqa: PTH207


def _alone(path: str, suffixes: Container[str]) -> list[tuple[Path, str]]:
    return [(photo, "") for photo in list_photos([path], suffixes)]


def _read_list(path: str, location_column: str | None) -> list[tuple[Path, str]]:
    """Photo and location ("" for none) from a CSV list; paths are relative to the list's folder."""
    table = read_csv_list(Path(path), location_column)
    photos = table["photo_id"].map(lambda text: Path(path).parent / decode_path(text))
    locations = table["location_id"] if location_column else [""] * len(table)
    return list(zip(photos, locations, strict=True))
