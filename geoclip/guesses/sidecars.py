"""XMP sidecars beside the originals: written once, journaled, and removed exactly.

`photo.jpg` gets `photo.jpg.xmp`, the name that darktable and others read; too long a name is cut
(`geoclip.photos.beside.sidecar_name`). A sidecar states what the guess justifies
(`guesses.location_tags`): the position as XMP's own GPS properties, country, region and city as
IPTC's, and in our own namespace their origin. The journal is a file of JSON lines: each sidecar is
noted with its SHA-256 before it is written, so that `undo_sidecars` finds everything even after a
crash, and removes nothing else.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.guesses.location_tags import PositionRule, earned_tags
from geoclip.guesses.schema import ALBUM, GALLERY, MODEL, REVIEW
from geoclip.guesses.xmp import sidecar_xmp
from geoclip.photos.beside import SIDECAR, sidecar_name
from geoclip.photos.refusals import READ
from geoclip.support.paths import decode_path, encode_path

PRIVACY_WARNING = (
    "Sidecars say where photos were taken: anyone who receives them with the photos knows it too."
)
TOO_COARSE = {"continent": "only the continent can be told", "none": "the place cannot be told"}
"""Levels of a guess whose point is too coarse for a sidecar, and why."""
BATCH = 256
"""Sidecars noted in the journal at a time, before any of them is written."""
DRAFT_SUFFIX = ".geoclip-draft"


@dataclass
class SidecarReport:
    """The result for each photo, by path: sidecars written, photos skipped and why.

    `withheld` are the sidecars without a position, and why.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    withheld: dict[Path, str] = field(default_factory=dict)
    dry_run: bool = False

    def summary(self) -> str:
        """The counts in one line, with reasons."""
        verb = "would be written" if self.dry_run else "written"
        withheld = Counter(self.withheld[path] for path in self.written if path in self.withheld)
        told = [f"{n:,} of them without a position: {reason}" for reason, n in withheld.items()]
        skipped = Counter(reason for _, reason in self.skipped)
        told += [f"{n:,} not: {reason}" for reason, n in skipped.most_common()]
        return "; ".join([f"{len(self.written):,} sidecars {verb}", *told]) + "."


@dataclass
class UndoReport:
    """The result for each sidecar of a journal."""

    removed: list[Path] = field(default_factory=list)
    gone: list[Path] = field(default_factory=list)
    kept: list[tuple[Path, str]] = field(default_factory=list)


def write_sidecars(
    guesses: pd.DataFrame,
    journal: Path,
    dry_run: bool = False,
    model: str = "",
    rule: PositionRule | None = None,
) -> SidecarReport:
    """Write a sidecar for the best guess of each photo of a table (`geoclip.guesses.schema`).

    Whatever `rule` does not justify is left out; without a rule nothing is. A photo with its own
    position (EXIF, XMP, a sidecar) is left alone. So is any file at a sidecar's place, except this
    journal's own unchanged sidecar. So is a photo whose guess names only a continent, or justifies
    neither a name nor a position. The originals are only read. With `dry_run` nothing is written,
    the journal included. Raises GeoclipError if the journal cannot be read or written.
    """
    known = dict(_entries(journal)) if journal.exists() else {}
    report = SidecarReport(dry_run=dry_run)
    best = guesses[(guesses["rank"] == 1) & guesses["status"].isin(READ)].to_dict("records")
    for start in range(0, len(best), BATCH):
        planned, photos = dict[Path, bytes](), dict[Path, Path]()
        for guess in best[start : start + BATCH]:
            photo = decode_path(str(guess["path"]))
            target = photo.with_name(sidecar_name(photo.name))
            tags = earned_tags(guess, rule)
            reason = _obstacle(guess, photo, target, known)
            if not reason and not tags:
                reason = "no place is probable enough"
            if reason:
                report.skipped.append((photo, reason))
                continue
            planned[target], photos[target] = sidecar_xmp(guess, model, rule), photo
            if tags.withheld:
                report.withheld[target] = tags.withheld
        if dry_run:
            report.written += planned
        else:
            _note(journal, planned)
            _write(planned, photos, known, report)
    return report


def _obstacle(guess: dict[Any, Any], photo: Path, target: Path, known: dict[Path, set[str]]) -> str:
    """Why a photo gets no sidecar; "" if it does."""
    if guess["source"] not in (MODEL, ALBUM, GALLERY, REVIEW) or has_position(photo):
        return "the photo has a position of its own"
    if guess.get("level") in TOO_COARSE:
        return TOO_COARSE[guess["level"]]
    if os.path.lexists(target) and not _is_ours(target, known):
        return "there is a sidecar already"
    other = photo.with_suffix(SIDECAR)
    if other != target and _names_position(other):
        return "another sidecar has a position"
    return ""


def has_position(photo: Path) -> bool:
    """Whether a photo file carries its own position, trustworthy or not."""
    from geoclip.photos.metadata import read_metadata  # noqa: PLC0415 (Pillow)

    return read_metadata(photo).gps is not None


def _names_position(sidecar: Path) -> bool:
    try:
        return b"GPSLatitude" in sidecar.read_bytes()
    except OSError:
        return False


def _write(
    planned: dict[Path, bytes],
    photos: dict[Path, Path],
    known: dict[Path, set[str]],
    report: SidecarReport,
) -> None:
    """Write planned sidecars; `photos` maps each sidecar to its photo."""
    for target, content in planned.items():
        try:
            _put(target, content, replace=os.path.lexists(target) and _is_ours(target, known))
        except FileExistsError:
            report.skipped.append((photos[target], "there is a sidecar already"))
        except OSError as problem:
            reason = f"it cannot be written ({problem.strerror})"
            report.skipped.append((photos[target], reason))
        else:
            known.setdefault(target.absolute(), set()).add(_digest(content))
            report.written.append(target)


def _put(target: Path, content: bytes, replace: bool) -> None:
    """Write a complete file; FileExistsError if one has appeared meanwhile."""
    draft = _draft(target)
    try:
        draft.write_bytes(content)
        if replace:
            draft.replace(target)
            return
        try:
            os.link(draft, target)  # unlike a rename it never replaces another file
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            with target.open("xb") as file:
                file.write(content)
    finally:
        draft.unlink(missing_ok=True)


def _draft(target: Path) -> Path:
    """The draft of a sidecar, named by the digest of its name, which may be long."""
    digest = _digest(os.fsencode(target.name))[:16]
    return target.with_name(f".{digest}{DRAFT_SUFFIX}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_ours(target: Path, known: dict[Path, set[str]]) -> bool:
    """Whether a sidecar is a plain file with its content from the journal."""
    digests = known.get(target.absolute(), set())
    try:
        return not target.is_symlink() and _digest(target.read_bytes()) in digests
    except OSError:
        return False


def _note(journal: Path, planned: dict[Path, bytes]) -> None:
    """Append lines to the journal and flush them to disk."""
    lines = [
        json.dumps({"sidecar": encode_path(target.absolute()), "sha256": _digest(content)})
        for target, content in planned.items()
    ]
    if not lines:
        return
    try:
        with journal.open("ab") as file:
            # The next line must survive a line that a crash cut off.
            file.write(("\n" + "\n".join(lines) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        raise GeoclipError(
            f"The journal {journal} cannot be written ({problem.strerror}), so no more sidecars "
            f"are written: free the disk or name another journal."
        ) from None


def _entries(journal: Path) -> Iterator[tuple[Path, set[str]]]:
    """Sidecars of a journal with the digests of their written contents."""
    try:
        lines = journal.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as problem:
        raise GeoclipError(
            f"The journal {journal} cannot be read ({problem.strerror}): check the path."
        ) from None
    digests: dict[Path, set[str]] = {}
    filled = [line for line in lines if line.strip()]
    for line in filled:
        with suppress(ValueError, KeyError, TypeError):  # a line that a crash cut off
            entry = json.loads(line)
            digests.setdefault(decode_path(entry["sidecar"]), set()).add(entry["sha256"])
    if filled and not digests:
        raise GeoclipError(
            f"{journal} is no journal of sidecars: name the journal that geoclip wrote."
        )
    yield from digests.items()


def undo_sidecars(journal: Path) -> UndoReport:
    """Remove the unchanged sidecars of a journal; others stay.

    Raises GeoclipError if the journal cannot be read or is none.
    """
    report = UndoReport()
    known = dict(_entries(journal))
    for target in known:
        try:
            _draft(target).unlink(missing_ok=True)
            if not os.path.lexists(target):
                report.gone.append(target)
            elif _is_ours(target, known):
                target.unlink()
                report.removed.append(target)
            else:
                report.kept.append((target, "changed since it was written"))
        except OSError as problem:
            report.kept.append((target, problem.strerror or "cannot be removed"))
    return report
