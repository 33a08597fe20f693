"""What is left out of folders: files that systems and photo programs put beside photos.

Thumbnails, trash and older versions of the same photos would be guessed a second time.
"""

import os
import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cache, lru_cache

# Names in lower case; whatever begins with a dot is left out too (.thumbnails, .Trash-1000).
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
    # Windows, Linux, macOS: trash, what was found after a crash, resource forks of an archive
    *("$recycle.bin", "recycler", "recycled", "system volume information", "found.[0-9][0-9][0-9]"),
    *("lost+found", "lost.dir", "__macosx", "ipod photo cache"),
    # Lightroom, Capture One, ACDSee: previews, and what a photo was before it was edited
    *("*.lrdata", "*.lrcat-data", "captureone", "*.cocatalog", "[[]originals]"),
    # Nextcloud: trash, versions, previews
    *("files_trashbin", "files_versions", "appdata_*"),
    # Cameras: the first frames of videos
    *("thmbnl", "avchdtn"),
)
# What Apple's programs keep beside the originals, whatever it is called.
_LIBRARIES = ("*.photoslibrary", "*photolibrary", "*.aplibrary", "iphoto library")
_ORIGINALS = ("originals", "masters")
_NO_NAMES = {"", ".", ".."}
_EXCLUDE = "--exclude"
HIDDEN = "hidden files"
"""What photos are counted under whose names begin with a dot."""


@dataclass(frozen=True)
class FolderRules:
    """What is left out of folders that a user names; files that are named themselves are read.

    With `include_hidden` folders of systems and photo programs are entered, and what begins with
    a dot is read. `exclude` are globs, whatever the case: one with a slash is compared with paths
    below the folder named, one without with the names of files and folders.
    """

    exclude: tuple[str, ...] = ()
    include_hidden: bool = False

    def leaves_out(self, path: str, is_folder: bool, home: str = "") -> str:
        """What a file or folder that is left out is counted under, "" for one that is not.

        `path` is that below the folder named, `home` the name of the folder it lies in.
        """
        name = os.path.basename(path)  # noqa: PTH119
        if glob := self._excluded(path, name):
            return f"{_EXCLUDE} {glob}"
        if self.include_hidden:
            return ""
        if is_folder and (name.startswith(".") or _is_of_a_program(name, home)):
            return name
        # `._name` is no photo at all, whatever the rules.
        is_hidden = name.startswith(".") and not name.startswith("._")
        return HIDDEN if is_hidden else ""

    def leaves_out_below(self, path: str, is_folder: bool = False) -> str:
        """The same for a path whose folders nobody walked, as in an archive or storage."""
        folder, _, name = path.rpartition("/")
        if is_folder or self.exclude or name in _NO_NAMES:
            return _below(self, path, is_folder)
        # Of the millions of files of a store few have a folder of their own.
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
    """Whether what is counted under this is left out by a glob of the user's."""
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
