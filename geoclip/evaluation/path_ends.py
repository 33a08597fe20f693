"""Photos that two tables call by paths of different beginnings, matched by the end of the paths."""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from geoclip.support.paths import decode_path

Parts = tuple[str, ...]


def match_by_end(
    guesses: Sequence[str], truth: Sequence[str], may_be: Callable[[int, int], bool]
) -> tuple[list[int], list[int]]:
    """For each guess's path the photo of the truth where one path is wholly the end of the other.

    The first list holds a position in `truth` for each guess, -1 for none; each photo occurs once.
    Of several the longest common end counts. The second list holds the guesses for which that does
    not decide. `may_be(guess, photo)` says which pairs come into question.

    >>> match_by_end(["/a/trip/1.jpg", "/a/home/1.jpg"], ["trip/1.jpg"], lambda *_: True)
    ([0, -1], [])
    >>> match_by_end(["/a/trip/1.jpg", "/a/home/1.jpg"], ["1.jpg"], lambda *_: True)
    ([0, 0], [0, 1])
    """
    paths = [path_parts(text) for text in guesses]
    photos = _Photos([path_parts(text) for text in truth], {len(parts) for parts in paths})
    found, unclear = [-1] * len(paths), set()
    claims: dict[int, list[int]] = defaultdict(list)
    for guess, parts in enumerate(paths):
        likely = [photo for photo in photos.like(parts) if may_be(guess, photo)]
        longest = max((photos.common(photo, parts) for photo in likely), default=0)
        best = [photo for photo in likely if photos.common(photo, parts) == longest]
        unclear |= {guess} if len(best) > 1 else set()
        for photo in best:
            claims[photo].append(guess)
            found[guess] = photo
    for photo, rivals in claims.items():
        shared = {guess: photos.common(photo, paths[guess]) for guess in rivals}
        longest = max(shared.values())
        best = [guess for guess in rivals if shared[guess] == longest]
        unclear |= set(best) if len(best) > 1 else set()
        for guess in rivals:
            if shared[guess] < longest:
                found[guess] = -1
    return found, sorted(unclear)


def path_parts(text: str) -> Parts:
    """Folders and file name of a path, without `.` and `..`; "/" stands first in an absolute one.

    >>> path_parts("./trip/../home/1.jpg"), path_parts("../1.jpg"), path_parts("/a/1.jpg")
    (('home', '1.jpg'), ('1.jpg',), ('/', 'a', '1.jpg'))
    """
    parts = Path(os.path.normpath(decode_path(text))).parts
    return tuple(part for part in parts if part != "..")


class _Photos:
    """The paths of the truth, found by their ends; `lengths` are those of the guesses' paths."""

    def __init__(self, paths: list[Parts], lengths: set[int]) -> None:
        self.paths = paths
        self.whole: dict[Parts, list[int]] = defaultdict(list)
        self.ends: dict[Parts, list[int]] = defaultdict(list)
        for photo, parts in enumerate(paths):
            self.whole[parts].append(photo)
            for length in lengths:
                if 0 < length < len(parts):
                    self.ends[parts[-length:]].append(photo)
        self.lengths = {len(parts) for parts in paths}

    def like(self, parts: Parts) -> list[int]:
        """The photos whose path is the end of this one, or has it as its end."""
        shorter = (parts[-n:] for n in self.lengths if 0 < n < len(parts))
        found = [photo for end in shorter for photo in self.whole.get(end, ())]
        return [*self.whole.get(parts, ()), *self.ends.get(parts, ()), *found]

    def common(self, photo: int, parts: Parts) -> float:
        """How long the common end is; two equal paths have a longer one than any other two."""
        own = self.paths[photo]
        return len(parts) + 0.5 if own == parts else min(len(own), len(parts))
