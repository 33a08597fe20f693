"""What is left out of folders: files that systems and photo programs put beside photos.

Thumbnails, trash and older versions would be guessed a second time.
"""

import os
import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cache, lru_cache

# Names in lower case; names that begin with a dot are left out too (.thumbnails, .Trash-1000).
_PROGRAM_FOLDERS = (
    # Synology, QNAP and other network disks: thumbnails, trash, snapshots
    *(
        "@eadir",
        "@__thumb",
        "@recycle",
        "@recently-snapshot",
        "@snapshot",
        "@tmp",
        "@sharebin",
        "~snapshot",
    ),
    *("#recycle", "#snapshot", "network trash folder", "temporary items"),
    # Windows, Linux, macOS: trash, files recovered after a crash, resource forks of an archive
    *("$recycle.bin", "recycler", "recycled", "system volume information", "found.[0-9][0-9][0-9]"),
    *("lost+found", "lost.dir", "__macosx", "ipod photo cache"),
    # Lightroom, Capture One, ACDSee: previews, and photos before editing
    *("*.lrdata", "*.lrcat-data", "captureone", "*.cocatalog", "[[]originals]"),
    # Nextcloud: trash, versions, previews
    *("files_trashbin", "files_versions", "appdata_*"),
    # Cameras: the first frames of videos
    *("thmbnl", "avchdtn"),
)
# Subfolders of Apple's libraries that hold no originals, by any name.
_LIBRARIES = ("*.photoslibrary", "*photolibrary", "*.aplibrary", "iphoto library")
_ORIGINALS = ("originals", "masters")
_NO_NAMES = {"", ".", ".."}
_EXCLUDE = "--exclude"
HIDDEN = "hidden files"
"""The heading for photos whose names begin with a dot."""


@dataclass(frozen=True)
class FolderRules:
    """Rules for leaving files out of folders; a file that the user names is always read.

    With `include_hidden` folders of systems and photo programs are entered, and names that begin
    with a dot are read. `exclude` are globs without regard to case: one with a slash is compared
    with paths below the named folder, another with names of files and folders.
    """

    exclude: tuple[str, ...] = ()
    include_hidden: bool = False

    def leaves_out(self, path: str, is_folder: bool, home: str = "") -> str:
        """The heading under which a left-out file or folder is counted; "" for others.

        `path` is relative to the named folder, `home` is the name of the folder around it.
        """
        name = os.path.basename(path)  # noqa: PTH119
        if glob := self._excluded(path, name):
            return f"{_EXCLUDE} {glob}"
        if self.include_hidden:
            return ""
        if is_folder and (name.startswith(".") or _is_of_a_program(name, home)):
            return name
        # `._name` is never a photo, under any rules.
        is_hidden = name.startswith(".") and not name.startswith("._")
        return HIDDEN if is_hidden else ""

    def leaves_out_below(self, path: str, is_folder: bool = False) -> str:
        """The same for a path in an archive or storage, whose folders were not walked."""
        folder, _, name = path.rpartition("/")
        if is_folder or self.exclude or name in _NO_NAMES:
            return _below(self, path, is_folder)
        # Of the millions of files of a store few have their own folder.
        if under := _of_folder(self.include_hidden, folder):
            return under
        return self.leaves_out(name, False) if name.startswith(".") else ""

    def _excluded(self, path: str, name: str) -> str:
        if not self.exclude:
            return ""
        for glob in self.exclude:
            if _pattern((glob.strip("/"),)).match((path if "/" in glob else name).lower()):
                return glob
        return ""


@lru_cache(1 << 12)
def _of_folder(include_hidden: bool, path: str) -> str:
    return _below(FolderRules(include_hidden=include_hidden), path, True)


def _below(rules: FolderRules, path: str, is_folder: bool) -> str:
    parts = [part for part in path.split("/") if part not in _NO_NAMES]
    for depth, home in enumerate(["", *parts[:-1]], 1):
        below, inside = "/".join(parts[:depth]), is_folder or depth < len(parts)
        if under := rules.leaves_out(below, inside, home):
            return under
    return ""


def is_excluded(under: str) -> bool:
    """Whether this heading belongs to one of the user's globs."""
    return under.startswith(f"{_EXCLUDE} ")


def _is_of_a_program(name: str, home: str) -> bool:
    low, home = name.lower(), home.lower()
    if _pattern(_PROGRAM_FOLDERS).match(low):
        return True
    if _pattern(_LIBRARIES).match(home):
        return low not in _ORIGINALS
    return (home, low) == ("misc", "thm")  # DJI's thumbnails


@cache
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob.lower()) for glob in globs))


USUAL = FolderRules()
EVERYTHING = FolderRules(include_hidden=True)
"""Rules that leave nothing out."""
