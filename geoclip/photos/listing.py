"""Files, folders, globs and CSV lists → their photos."""

import glob
import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from geoclip.errors import GeoclipError
from geoclip.photos.csv_lists import read_csv_list
from geoclip.photos.folder_rules import EVERYTHING, USUAL, FolderRules, is_excluded
from geoclip.support.paths import AnyPath, decode_path, encode_path, path_list

# fmt: off
RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".gpr", ".iiq", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw",
    ".x3f",
})
PHOTO_SUFFIXES = frozenset({
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo",
    ".png", ".tif", ".tiff", ".webp", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl",
}) | RAW_SUFFIXES
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".webm", ".wmv",
})
# fmt: on
Entry = tuple[Path, str | None]
"""A photo and None, or a left-out file and its heading."""


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that was left out; `photos` of its files would have been listed.

    `under` is its heading: "" for a file whose name is not a photo's, else the folder's name, or
    the option that leaves it out.
    """

    path: Path
    under: str = ""
    photos: int = 0


def list_photos(
    paths: AnyPath | Iterable[AnyPath],
    suffixes: Container[str] = PHOTO_SUFFIXES,
    rules: FolderRules = USUAL,
) -> list[Path]:
    """The photos of files, folders and globs, each once, in the order given.

    A folder gives the files below it whose ending is one of `suffixes` (lower case, with the dot),
    except those that the `rules` leave out, sorted; links are followed, each folder is entered
    once, and macOS companions (`._name`) are left out. A folder that cannot be listed appears
    itself. A path that does not exist, or a glob without a match, is kept, so that it is reported
    with the photos.

    >>> [photo.name for photo in list_photos("holiday")]
    ['grey.jpg']
    """
    found = _listed(paths, suffixes, rules)
    return [path for path, under in found.values() if under is None]


def list_left_out(
    paths: AnyPath | Iterable[AnyPath],
    suffixes: Container[str] = PHOTO_SUFFIXES,
    rules: FolderRules = USUAL,
) -> list[LeftOut]:
    """The files and folders left out by `list_photos`, for a record."""
    found = _listed(paths, suffixes, rules)
    return [
        _left_out(path, under, suffixes, rules)
        for path, under in found.values()
        if under is not None
    ]


def _left_out(path: Path, under: str, suffixes: Container[str], rules: FolderRules) -> LeftOut:
    if not under or not path.is_dir():
        return LeftOut(path, under, int(under != ""))
    inside = replace(rules, exclude=()) if is_excluded(under) else EVERYTHING
    return LeftOut(path, under, sum(1 for _ in walk_photos(path, suffixes, inside)))


def read_path_list(stream: BinaryIO) -> list[str]:
    """Paths from a stream, one per line, or separated by zero bytes if it holds one (as `find
    -print0` writes), so that names may have line breaks.
    """
    content = stream.read()
    if b"\0" in content:
        names = content.split(b"\0")
    else:
        names = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return [os.fsdecode(name) for name in names if name]


def is_wanted(path: str, suffixes: Container[str]) -> bool:
    """Whether a file's ending is one of `suffixes` and it is no macOS companion (`._name`)."""
    name = path.rpartition("/")[2]
    if name.startswith("._"):
        return False
    # os.path.splitext would take much of the time of a listing of millions of files.
    stem, dot, ending = name.rpartition(".")
    return (dot + ending.lower() if stem.strip(".") else "") in suffixes


def _listed(
    paths: AnyPath | Iterable[AnyPath], suffixes: Container[str], rules: FolderRules
) -> dict[str, Entry]:
    """Photos and left-out files, keyed by path."""
    entries: dict[str, Entry] = {}
    for path in path_list(paths):
        for entry in _expand(os.fspath(path), suffixes, rules):
            key = _key(entry[0])
            before = entries.get(key)
            if before is None or (before[1] is not None and entry[1] is None):
                entries[key] = entry  # a file that one folder leaves out may be named itself
    return entries


def _key(photo: Path) -> str:
    """One key for all spellings of a path; links are not followed."""
    return os.path.abspath(photo)  # noqa: PTH100


def _expand(path: str, suffixes: Container[str], rules: FolderRules) -> Iterator[Entry]:
    if os.path.lexists(path) or not glob.has_magic(path):
        yield from _alone_or_below(path, suffixes, rules)
        return
    fixed = os.path.dirname(re.split(r"[*?[]", path, maxsplit=1)[0])  # noqa: PTH120
    for match in sorted(glob.glob(path, recursive=True)) or [path]:  # noqa: PTH207
        below = match.removeprefix(fixed).lstrip(os.sep)
        under = rules.leaves_out_below(below, os.path.isdir(match))  # noqa: PTH112
        if under:
            yield Path(match), under
        else:
            yield from _alone_or_below(match, suffixes, rules)


def _alone_or_below(path: str, suffixes: Container[str], rules: FolderRules) -> Iterator[Entry]:
    if os.path.isdir(path):  # noqa: PTH112
        found = ((Path(file), under) for file, under in _walk(path, suffixes, rules))
        yield from sorted(found, key=itemgetter(0))
    else:
        yield Path(path), None


def walk_photos(
    folder: AnyPath,
    suffixes: Container[str] = PHOTO_SUFFIXES,
    rules: FolderRules = USUAL,
) -> Iterator[str]:
    """The paths of `list_photos` for a folder, without keeping a list.

    They come folder by folder, and sorted within each.
    """
    return (path for path, under in _walk(os.fspath(folder), suffixes, rules) if under is None)


def _walk(
    home: str, suffixes: Container[str], rules: FolderRules
) -> Iterator[tuple[str, str | None]]:
    """Files below a folder, and the folders left out by the rules, with their headings.

    None marks a photo. A folder reached a second time, by any link, is not entered again.
    """
    entered: set[tuple[int, int]] = set()
    waiting = [home]
    while waiting:
        current = waiting.pop()
        try:
            info = os.stat(current)  # noqa: PTH116
            if (info.st_dev, info.st_ino) in entered:
                continue
            entered.add((info.st_dev, info.st_ino))
            folders, files = _entries(current)
        except OSError:
            yield current, None
            continue
        inside = os.path.basename(os.path.abspath(current))  # noqa: PTH100, PTH119
        below = current.removeprefix(home).lstrip(os.sep)
        left = [rules.leaves_out(_join(below, entry.name), True, inside) for entry in folders]
        yield from ((e.path, under) for e, under in zip(folders, left, strict=True) if under)
        open_ = [entry for entry, under in zip(folders, left, strict=True) if not under]
        # Links are entered last, so that photos keep their real folder's path.
        waiting[:0] = [entry.path for entry in open_ if entry.is_symlink()]
        waiting += [entry.path for entry in reversed(open_) if not entry.is_symlink()]
        for entry in files:
            under = rules.leaves_out(_join(below, entry.name), False)
            yield entry.path, (under or None) if is_wanted(entry.name, suffixes) else ""


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _entries(folder: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """The folders and the files in a folder, both in order of their names."""
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            (folders if _is_folder(entry) else files).append(entry)
    return sorted(folders, key=_name), sorted(files, key=_name)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path)  # noqa: PTH112  (`entry.is_dir` raises for a link to itself)


def photos_and_locations(
    paths: Sequence[str],
    location_column: str | None = None,
    suffixes: Container[str] = PHOTO_SUFFIXES,
    rules: FolderRules = USUAL,
) -> tuple[list[Path], list[str] | None]:
    """Photos named on a command line, also in `.csv` lists, and the location of each.

    `suffixes` and `rules` choose the files in folders, as in `list_photos`. `location_column` names
    a column of the CSV files; a photo outside these, or with an empty cell, is its own location.
    Raises GeoclipError for an unreadable or empty list or a missing column, for a photo of two
    locations, for an address, and for a `location_column` without a CSV file.
    """
    paths = [named for path in paths for named in _expand_lists(_local(path))]
    lists = [path for path in paths if path.lower().endswith(".csv")]
    if location_column is not None and not lists:
        raise GeoclipError(f"--location-id {location_column} needs a .csv list with this column.")
    photos: dict[str, tuple[Path, str]] = {}
    for path in paths:
        named = (
            _read_list(path, location_column) if path in lists else _alone(path, suffixes, rules)
        )
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
    """The error for files and folders without a photo."""
    named = ", ".join(map(encode_path, paths))
    return GeoclipError(
        f"No photos were found{f' in {named}' if named else ''}: name files or folders."
    )


def _local(path: str) -> str:
    """The path of an address `file:///…`; other paths unchanged, other addresses an error."""
    if "://" not in path or os.path.lexists(path):
        return path
    if path.startswith("file:///"):
        return os.fspath(decode_path(path))
    raise GeoclipError(
        f"{path} is an address, but only local files are read: download it first, or pass s3:// "
        f"and the like to python -m pipelines.locate_photos."
    )


def _expand_lists(path: str) -> list[str]:
    """The lists that match a glob; other paths unchanged."""
    is_glob = path.lower().endswith(".csv") and glob.has_magic(path) and not os.path.lexists(path)
    return (sorted(glob.glob(path, recursive=True)) or [path]) if is_glob else [path]  # noqa: PTH207


def _alone(path: str, suffixes: Container[str], rules: FolderRules) -> list[tuple[Path, str]]:
    return [(photo, "") for photo in list_photos([path], suffixes, rules)]


def _read_list(path: str, location_column: str | None) -> list[tuple[Path, str]]:
    """Photo and location ("" for none) from a CSV list; paths are relative to the list's folder."""
    table = read_csv_list(Path(path), location_column)
    photos = table["photo_id"].map(lambda text: Path(path).parent / decode_path(text))
    locations = table["location_id"] if location_column else [""] * len(table)
    return list(zip(photos, locations, strict=True))
