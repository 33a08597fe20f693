"""`locate_folder`: `geoclip locate` for programs and notebooks."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from geoclip.encoders.registry import DEFAULT_MODEL
from geoclip.errors import GeoclipError
from geoclip.guesses.failures import left_out, write_failures
from geoclip.guesses.guess_files import ENDINGS, read_guess_frame
from geoclip.guesses.settings import LocateSettings
from geoclip.photos.folder_rules import USUAL, FolderRules
from geoclip.runs.run_files import MAP_ENDINGS, RunFiles, check_output
from geoclip.runs.run_report import RunReport, RunWatch
from geoclip.support.paths import AnyPath, path_list

if TYPE_CHECKING:
    from geoclip.guesses.location_tags import PositionRule
    from geoclip.locator import Locator
    from geoclip.runs.folder_run import FolderRun
    from geoclip.runs.journal import Journal

Sidecars = Literal["off", "write", "dry run"]


def locate_folder(
    paths: AnyPath | Iterable[AnyPath],
    model: "Locator | str | Path" = DEFAULT_MODEL,
    settings: LocateSettings | None = None,
    out: str | Path | None = None,
    *,
    map_file: str | Path | None = None,
    thumbnails: bool = False,
    sidecars: Sidecars = "off",
    position_rule: "PositionRule | None" = None,
    location_column: str | None = None,
    by_folder: bool = False,
    limit: int | None = None,
    rules: FolderRules = USUAL,
    keep_embeddings: str | Path | None = None,
    keep_journal: bool = False,
    force: bool = True,
    load: "Callable[[str | Path], Locator] | None" = None,
    watch: RunWatch | None = None,
) -> RunReport:
    """Locate the photos and videos of folders as `geoclip locate` does.

    With `out` a run may be stopped at any moment, and the same call resumes it: `OUT.journal` keeps
    the finished photos until the table is written. Originals are only read.

    Args:
        paths: photos, videos, folders, globs and `.csv` lists with a column `path`.
        model: a locator, or the name or folder of a model, loaded once the photos are listed.
        settings: how photos are treated.
        out: the table of guesses: .parquet, .geojson, .csv or .gpkg. Files that could not be read
            are listed beside it in `OUT-ledger.csv`. Of the classes of a table of levels it is a
            .csv, .parquet or .xlsx.
        map_file: a map as one .html file.
        thumbnails: the map shows small pictures of the photos and the days they were taken on.
        sidecars: "write" puts an XMP sidecar beside each guessed photo, "dry run" says which.
        position_rule: when sidecars state a position; `PositionRule()` without it.
        location_column: a column of the lists; photos that share a value are views of a location.
        by_folder: the photos of a folder are views of a location.
        limit: at most so many photos.
        rules: what is left out of folders.
        keep_embeddings: a folder that keeps what was read, for runs with other settings.
        keep_journal: leave `OUT.journal` when all is done.
        force: take the place of guesses for other photos in `out`, or of another kind of file.
        load: makes a locator of a model's name; `Locator.from_pretrained` without it.
        watch: is told how the run goes.

    Raises: GeoclipError: for unusable inputs and outputs, before any work is done.

    >>> report = locate_folder("holiday", out="guesses.parquet")
    >>> report.photos, report.guesses()["status"].tolist()
    (1, ['no evidence'])
    """
    given = [str(path) for path in path_list(paths)]
    out, map_file, kept = (Path(p) if p else None for p in (out, map_file, keep_embeddings))
    files = RunFiles(out, map_file, kept, rules)
    check_output(files.out, "out", ENDINGS)
    check_output(files.map_file, "map_file", MAP_ENDINGS)
    if sidecars == "write" and out is None:
        raise GeoclipError("sidecars need `out`: their journal lies beside it.")
    watch, settings = watch or RunWatch(), settings or LocateSettings()
    photos, locations = files.photos(given, location_column, limit, by_folder)
    if not force:
        files.refuse_guesses_of_others(photos)
    name, locator = _locator(model, load)
    locator.encoder.expect(len(photos))

    from geoclip.runs.folder_run import FolderRun  # noqa: PLC0415  (torch)
    from geoclip.runs.gps_summary import GpsSummary  # noqa: PLC0415
    from geoclip.runs.table_outputs import map_of_run, sidecars_of_run  # noqa: PLC0415

    run = FolderRun.of(locator, photos, locations, settings)
    of_classes = not locator.gazetteer.has_positions
    if of_classes:
        from geoclip.guesses.class_files import check_class_outputs  # noqa: PLC0415  (torch)

        check_class_outputs(files.out, files.map_file, sidecars != "off")
    report = RunReport(
        of_classes=of_classes,
        calibrated=locator.settings.calibrated,
        gps=GpsSummary() if settings.gps == "compare" else None,
        out=files.out,
        map_file=files.map_file,
        extra_columns=run.assembler.extra_columns,
    )
    with _journal(run, files, keep_journal, watch) as journal:
        _read(run, journal, watch)
        watch.photos_read(locator)
        _make_table(run, journal, files, report, watch)
        if files.map_file is not None or sidecars != "off":
            table = read_guess_frame(files.out) if files.out else report.table
            if files.map_file is not None:
                map_of_run(table, files.map_file, thumbnails)
                watch.wrote(files.map_file)
            if sidecars != "off":
                dry_run, listed = sidecars == "dry run", files.sidecar_journal
                report.sidecars = sidecars_of_run(table, listed, dry_run, name, position_rule)
                watch.sidecars(report.sidecars, listed)
        _write_failures(report, given, files, watch)
    return report


def _locator(
    model: "Locator | str | Path", load: "Callable[[str | Path], Locator] | None"
) -> tuple[str, "Locator"]:
    """The name of a model, and its locator."""
    if not isinstance(model, str | Path):
        return model.encoder.name, model
    if load is None:
        from geoclip.locator import Locator  # noqa: PLC0415  (torch)

        load = Locator.from_pretrained
    return str(model), load(model)


@contextmanager
def _journal(
    run: "FolderRun", files: RunFiles, keep_journal: bool, watch: RunWatch
) -> "Iterator[Journal]":
    """The journal of a run: beside the table, in the folder of kept embeddings, or temporary.

    The one beside the table is removed at the end; an error leaves it for the next run.
    """
    from geoclip.runs.journal import Journal, remove_journals  # noqa: PLC0415

    with ExitStack() as stack:
        home = files.kept or files.journal_home
        if home is None:
            temporary = tempfile.TemporaryDirectory(prefix="geoclip-")
            home = Path(stack.enter_context(temporary))
        journal = stack.enter_context(Journal.open(home / run.journal_key))
        try:
            yield journal
        except KeyboardInterrupt:
            watch.stopped(resumable=files.kept is not None or files.out is not None)
            raise
        journal.close()
        own = files.journal_home
        if own and not keep_journal and not (files.kept and files.kept.resolve() == own.resolve()):
            remove_journals(own)


def _read(run: "FolderRun", journal: "Journal", watch: RunWatch) -> None:
    """Read and encode the photos missing from the journal."""
    batches = run.todo(journal)
    left = sum(len(batch) for batch in batches)
    done = len(run) - left
    if done:
        watch.read_before(done, len(run))
    if left:
        with watch.progress("reading", len(run), done) as advance:
            run.read(journal, batches, advance)


def _make_table(
    run: "FolderRun", journal: "Journal", files: RunFiles, report: RunReport, watch: RunWatch
) -> None:
    """Rank and write the table, or store it in the report."""

    def tables() -> Iterator[pd.DataFrame]:
        with watch.progress("ranking", len(run)) as advance:
            for block in run.blocks(journal):
                report.add(block)
                yield block.table
                advance(block.photos)

    if report.of_classes or files.out is None or files.journal_home is None:
        report.table = pd.concat(list(tables()), ignore_index=True)
        if files.out is None:
            watch.located(report.table)
            return
        from geoclip.guesses.class_files import write_class_guesses  # noqa: PLC0415  (torch)

        write_class_guesses(report.table, files.out)
        watch.wrote(files.out)
        return
    from geoclip.guesses.writer import GuessWriter  # noqa: PLC0415  (slow to import)

    scratch = files.journal_home / "draft"
    with GuessWriter(files.out, scratch, run.assembler.extra_columns) as writer:
        for table in tables():
            writer.write(table)
    watch.wrote(files.out)


def _write_failures(report: RunReport, paths: list[str], files: RunFiles, watch: RunWatch) -> None:
    """Write any failures beside the table, or replace an older list."""
    report.left_out = files.left_out(paths)
    if files.failures is None:
        return
    failures = [*report.failures, *report.remarks, *left_out(report.left_out)]
    if failures or files.failures.exists():
        write_failures(failures, files.failures)
        watch.wrote(files.failures, len(failures))
