"""The steps of `geoclip locate` once its photos and its locator are there."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from geoclip.commands.locate_report import Tally, print_guesses
from geoclip.commands.progress import progress
from geoclip.commands.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.runs.answers import FolderAnswers
    from geoclip.runs.folder_run import FolderRun
    from geoclip.runs.journal import Journal

INTERRUPTED = 130


@contextmanager
def open_journal(
    run: "FolderRun", out: Path | None, kept: Path | None, keep_journal: bool
) -> "Iterator[Journal]":
    """The journal of a run: beside --out, in --keep-embeddings, else a temporary one.

    The one beside --out is removed when all is done; an error leaves it for the next run.
    """
    from geoclip.runs.journal import Journal, remove_journals  # noqa: PLC0415

    with ExitStack() as stack:
        if kept is None and out is None:
            temporary = tempfile.TemporaryDirectory(prefix="geoclip-")
            home = Path(stack.enter_context(temporary))
        else:
            home = kept or journal_home(out or Path())
        journal = stack.enter_context(Journal.open(home / run.journal_key))
        try:
            yield journal
        except KeyboardInterrupt:
            lost = kept is None and out is None
            rest = "with --out it could go on" if lost else "the same command goes on from here"
            typer.echo(f"geoclip: stopped; {rest}.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        journal.close()
        if out is not None and not keep_journal and not _is_one(kept, journal_home(out)):
            remove_journals(journal_home(out))


def _is_one(kept: Path | None, home: Path) -> bool:
    """Whether --keep-embeddings names the folder that a run's own journal would be in."""
    return kept is not None and kept.resolve() == home.resolve()


def journal_home(out: Path) -> Path:
    """The folder of a run's journal: `guesses.parquet.journal` beside `guesses.parquet`."""
    return out.with_name(f"{out.name}.journal")


def read_photos(run: "FolderRun", journal: "Journal") -> None:
    """Read and encode what is not in the journal yet."""
    batches = run.todo(journal)
    left = sum(len(batch) for batch in batches)
    done = len(run) - left
    if done:
        typer.echo(f"{done:,} of {len(run):,} photos were read before.", err=True)
    if left:
        with progress("reading", len(run), done) as advance:
            run.read(journal, batches, advance)


def answer(
    run: "FolderRun", journal: "Journal", out: Path | None, tally: Tally
) -> "pd.DataFrame | None":
    """Rank and write to --out; without it the table is printed and returned."""
    from geoclip.runs.answers import FolderAnswers  # noqa: PLC0415

    answers = FolderAnswers(run, journal)
    if out is None:
        import pandas as pd  # noqa: PLC0415

        guesses = pd.concat(list(_tables(answers, tally)), ignore_index=True)
        print_guesses(guesses)
        return guesses
    from geoclip.guesses.writer import GuessWriter  # noqa: PLC0415

    scratch = journal_home(out) / "draft"
    with GuessWriter(out, scratch, answers.extra_columns) as writer:
        for table in _tables(answers, tally):
            writer.write(table)
    typer.echo(f"Wrote {out}", err=True)
    return None


def _tables(answers: "FolderAnswers", tally: Tally) -> "Iterator[pd.DataFrame]":
    with progress("ranking", len(answers.run)) as advance:
        for block in answers.blocks():
            tally.add(block)
            yield block.table
            advance(block.photos)


def write_map_and_sidecars(
    guesses: "pd.DataFrame | None",
    out: Path | None,
    map_file: Path | None,
    sidecar_model: str | None,
    dry_run: bool,
) -> None:
    """The map and the sidecars, from the table that is in place."""
    from geoclip.guesses.schema import guess_table, read_guesses  # noqa: PLC0415

    table = guess_table(guesses) if guesses is not None else read_guesses(out or Path())
    if map_file is not None:
        from geoclip.guesses.maps import write_map  # noqa: PLC0415

        write_map(table, map_file)
        typer.echo(f"Wrote {map_file}", err=True)
    if sidecar_model is not None:
        from geoclip.guesses.sidecars import PRIVACY_WARNING, write_sidecars  # noqa: PLC0415

        journal = Path("-") if out is None else sidecar_journal(out)
        report = write_sidecars(table, journal, dry_run, sidecar_model)
        if dry_run:
            for path in report.written:
                typer.echo(f"Would write {printable(str(path))}")
        typer.echo(report.summary(), err=True)
        if report.written and not dry_run:
            typer.echo(f"{PRIVACY_WARNING} Take back: geoclip sidecar undo {journal}", err=True)


def sidecar_journal(out: Path) -> Path:
    """The journal of sidecars: `guesses-sidecars.jsonl` beside `guesses.parquet`."""
    return out.with_name(f"{out.stem}-sidecars.jsonl")


def beside(out: Path) -> list[Path]:
    """The files that stand beside the table `out`: its ledger and the journal of sidecars."""
    from geoclip.guesses.failures import ledger_path  # noqa: PLC0415

    return [ledger_path(out), sidecar_journal(out)]


def own_files(out: Path | None, map_file: Path | None, kept: Path | None) -> Callable[[Path], bool]:
    """Tells what a run writes itself from what it is to read, in folders and globs."""
    written = (out, map_file, *([] if out is None else beside(out)))
    files = {os.path.abspath(path) for path in written if path}  # noqa: PTH100
    homes = (kept, None if out is None else journal_home(out))
    folders = tuple(os.path.abspath(home) + os.sep for home in homes if home)  # noqa: PTH100

    def is_own(path: Path) -> bool:
        name = os.path.abspath(path)  # noqa: PTH100
        return name in files or name.startswith(folders)

    return is_own


def write_out_ledger(
    tally: Tally, paths: list[str], out: Path, is_own: Callable[[Path], bool]
) -> None:
    """Write OUT-ledger.csv if there is something to say, or an older one to replace."""
    from geoclip.guesses.failures import ledger_path, left_out, write_ledger  # noqa: PLC0415
    from geoclip.guesses.sidecars import SUFFIX  # noqa: PLC0415
    from geoclip.photos.listing import (  # noqa: PLC0415
        PHOTO_SUFFIXES,
        VIDEO_SUFFIXES,
        list_left_out,
    )

    ledger = ledger_path(out)
    folders = [path for path in paths if not path.lower().endswith(".csv")]
    found = list_left_out(folders, PHOTO_SUFFIXES | VIDEO_SUFFIXES)
    others = [path for path in found if not is_own(path) and path.suffix.lower() != SUFFIX]
    entries = [*tally.unread, *left_out(others)]
    if entries or ledger.exists():
        write_ledger(entries, ledger)
        typer.echo(f"Wrote {ledger} (files not located: {len(entries):,})", err=True)
