"""Marks in a map's page of the folders that its photos lie in, so that no other map replaces it.

A mark is a short digest: the page shows no folder's name, and whoever gets it learns none.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from geoclip.errors import GeoclipError
from geoclip.support.paths import AnyPath

_MARKS = re.compile(rb'<header data-geoclip-folders="([0-9a-f ]*)">')
HEAD = 1 << 20
"""Bytes of a page in which the marks stand."""


def folder_marks(photos: Iterable[AnyPath]) -> set[str]:
    """The marks of the folders of photos; relative paths start at the working directory.

    >>> folder_marks(["trip/a.jpg", "trip/b.jpg"]) == folder_marks([Path("trip/a.jpg").absolute()])
    True
    """
    folders = {os.path.dirname(os.path.abspath(photo)) for photo in photos}  # noqa: PTH100, PTH120
    return {_digest(folder) for folder in folders}


def refuse_map_of_others(page: Path, photos: Iterable[AnyPath]) -> None:
    """Raise GeoclipError where a page is there that is no map of photos of any of their folders."""
    try:
        with page.open("rb") as file:
            found = _MARKS.search(file.read(HEAD))
    except OSError:  # absent, or to be reported when it is written
        return
    if found is None:
        what = "is no map that says which photos it is of"
    elif folder_marks(photos).isdisjoint(found[1].decode().split()):
        what = "is a map of photos of other folders"
    else:
        return
    raise GeoclipError(f"{page} {what} and would be replaced: name another --map, or give --force.")


def _digest(folder: str) -> str:
    return hashlib.blake2b(os.fsencode(folder), digest_size=4).hexdigest()
