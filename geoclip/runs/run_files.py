"""The files of a run over a folder: its outputs, and what these must not overwrite."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from geoclip.errors import GeoclipError
from geoclip.guesses import spreadsheet
from geoclip.guesses.failures import failures_path, refuse_other_file
from geoclip.guesses.guess_files import guessed_photos
from geoclip.guesses.map_marks import refuse_map_of_others
from geoclip.photos.beside import is_beside
from geoclip.photos.folder_rules import USUAL, FolderRules
from geoclip.photos.listing import (
    PHOTO_SUFFIXES,
    VIDEO_SUFFIXES,
    LeftOut,
    list_left_out,
    photos_and_locations,
)
from geoclip.support.paths import decode_path

MAP_ENDINGS = (".html", ".htm")


def check_output(path: Path | None, option: str, endings: tuple[str, ...]) -> None:
    """Refuse an output that cannot be written, before any work is done; raises GeoclipError.

    `option` is its name in errors.
    """
    if path is None:
        return
    if path.suffix.lower() not in endings:
        listed = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise GeoclipError(f"{option} {path} has an unknown ending: use {listed}.")
    if not path.absolute().parent.is_dir():
        raise GeoclipError(f"The folder of {option} {path} does not exist: create it first.")
    if path.is_dir():
        raise GeoclipError(f"{option} {path} is a folder: name a file.")
    try:
        TemporaryFile(dir=path.absolute().parent).close()
    except OSError as problem:
        raise GeoclipError(
            f"{option} {path} cannot be written ({problem.strerror}): name another folder."
        ) from None
    if path.suffix.lower() == spreadsheet.ENDING:
        spreadsheet.check_spreadsheets()


@dataclass(frozen=True)
class RunFiles:
    """The outputs of a run: the table `out`, a map, and the folder of `kept` embeddings, if wanted.

    `rules` say what it reads in folders.
    """

    out: Path | None = None
    map_file: Path | None = None
    kept: Path | None = None
    rules: FolderRules = USUAL

    @property
    def journal_home(self) -> Path | None:
        """The folder of the journal: `guesses.parquet.journal` beside `guesses.parquet`."""
        return self.out and self.out.with_name(f"{self.out.name}.journal")

    @property
    def failures(self) -> Path | None:
        """Where the failures are listed: `guesses.parquet-ledger.csv`."""
        return self.out and failures_path(self.out)

    @property
    def sidecar_journal(self) -> Path | None:
        """The journal of sidecars: `guesses-sidecars.jsonl`."""
        return self.out and self.out.with_name(f"{self.out.stem}-sidecars.jsonl")

    @property
    def _written(self) -> list[Path]:
        files = (self.out, self.failures, self.sidecar_journal, self.map_file)
        return [path for path in files if path]

    def refuse_replacing(self, paths: Iterable[str]) -> None:
        """Refuse to overwrite an input of any name; raises GeoclipError."""
        given = {os.path.realpath(path): path for path in paths}
        for written in self._written:
            if path := given.get(os.path.realpath(written)):
                raise GeoclipError(
                    f"{written} would take the place of {path}, which is given to be read: name "
                    "another --out or --map."
                )

    def refuse_guesses_of_others(self, photos: Sequence[Path]) -> None:
        """Refuse to write over a table that holds none of the photos, or a map of other folders.

        Raises GeoclipError.
        """
        if self.map_file is not None:
            refuse_map_of_others(self.map_file, photos)
        if self.out is None or not self.out.exists():
            return
        try:
            found = guessed_photos(self.out)
        except GeoclipError:
            what = "is no table of guesses"
        else:
            own = {os.path.abspath(photo) for photo in photos}  # noqa: PTH100
            paths = {os.path.abspath(decode_path(text)) for text in found.unique()}  # noqa: PTH100
            what = "holds guesses for other photos" if paths and not paths & own else ""
        if what:
            raise GeoclipError(
                f"{self.out} {what} and would be replaced: name another --out, or give --force."
            )

    def photos(
        self,
        paths: list[str],
        location_column: str | None = None,
        limit: int | None = None,
        by_folder: bool = False,
    ) -> tuple[list[Path], list[str] | None]:
        """The photos of `paths` and their locations, without the run's own outputs.

        A location is a value of the lists' `location_column` or, with `by_folder`, a folder. Raises
        GeoclipError as `photos_and_locations` does, and where an output would replace an input or a
        file that is no list of failures.
        """
        self.refuse_replacing(paths)
        if self.failures is not None:
            refuse_other_file(self.failures)
        suffixes = PHOTO_SUFFIXES | VIDEO_SUFFIXES
        found, locations = photos_and_locations(paths, location_column, suffixes, self.rules)
        if by_folder:
            locations = [str(photo.absolute().parent) for photo in found]
        wanted = [i for i, photo in enumerate(found) if not self._is_own(photo)][:limit]
        if not wanted:
            raise GeoclipError("The only files found are this run's own outputs: name photos.")
        chosen = None if locations is None else [locations[i] for i in wanted]
        return [found[i] for i in wanted], chosen

    def left_out(self, paths: Iterable[str]) -> list[LeftOut]:
        """Files left out of folders, except sidecars and the run's outputs."""
        folders = [path for path in paths if not path.lower().endswith(".csv")]
        found = list_left_out(folders, PHOTO_SUFFIXES | VIDEO_SUFFIXES, self.rules)
        others = [entry for entry in found if not is_beside(entry.path.name)]
        return [entry for entry in others if not self._is_own(entry.path)]

    def _is_own(self, path: Path) -> bool:
        name = os.path.abspath(path)  # noqa: PTH100
        homes = [home for home in (self.kept, self.journal_home) if home]
        folders = tuple(os.path.abspath(home) + os.sep for home in homes)  # noqa: PTH100
        files = {os.path.abspath(file) for file in self._written}  # noqa: PTH100
        return name in files or name.startswith(folders)
