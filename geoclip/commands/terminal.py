"""Terminal output of commands: safe names, tables, and errors as one sentence."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from geoclip.errors import GeoclipError
from geoclip.photos.folder_rules import is_excluded

if TYPE_CHECKING:
    from geoclip.photos.listing import LeftOut

BAD_INPUT, SOME_UNREAD = 2, 3
"""Exit codes: nothing was done; all was done except for unreadable photos."""
PIPE_WIDTH = 200
UNBOUNDED = 10_000
TEXT_WIDTH = 12  # least width of a text column, for texts as long


@contextmanager
def errors_in_one_sentence() -> Iterator[None]:
    """The one place where a GeoclipError becomes a sentence on stderr and exit code 2."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as problem:
        error = user_error(problem)
        if error is None:
            raise
        typer.echo(f"geoclip: {printable(str(error))}", err=True)
        sys.exit(BAD_INPUT)


def user_error(problem: BaseException | None) -> GeoclipError | None:
    """The GeoclipError in an error, even if a Ray worker has wrapped it."""
    # Ray's own error has the class of what it wraps, too, but reads as a traceback.
    errors = (e for e, is_bare in inner_errors(problem) if is_bare)
    return next((error for error in errors if isinstance(error, GeoclipError)), None)


def inner_errors(problem: BaseException | None) -> Iterator[tuple[BaseException, bool]]:
    """An error and its wrapped errors, outermost first, and whether each wraps none."""
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        inner = getattr(problem, "worker_failures", None)
        wrapped = next(iter(inner.values())) if inner else getattr(problem, "cause", None)
        yield problem, wrapped is None
        problem = wrapped or problem.__cause__ or problem.__context__


def told_reasons(counts: Counter[str]) -> str:
    """Reasons with their counts, the most frequent first.

    >>> told_reasons(Counter({"it is void": 2, "it is 0,0": 1}))
    'it is void: 2; it is 0,0: 1'
    """
    return "; ".join(f"{reason}: {count:,}" for reason, count in counts.most_common())


def told_left_out(entries: "Iterable[LeftOut]") -> str:
    """A sentence about photos left out of folders, by their place; "" for none."""
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry.under] += entry.photos
    told = ", ".join(
        f"{count:,} {'by' if is_excluded(under) else 'in'} {printable(under)}"
        for under, count in (+counts).most_common()
    )
    return told and f"Photos left out of folders (--include-hidden reads what is hidden): {told}."


def printable(text: str) -> str:
    """The text with control characters and undecodable bytes of file names as escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[str] = (),
    title: str | None = None,
) -> None:
    """Print a table on stdout; cells are plain text, never markup; `right` columns are numbers.

    Numbers are never cut: a wide table exceeds the terminal instead.
    """
    table = Table(title=title, title_justify="left")
    cells = [[printable(cell) for cell in row] for row in rows]
    for at, column in enumerate(columns):
        longest = max(map(cell_len, [column, *(row[at] for row in cells)]))
        is_number = column in right
        table.add_column(
            column,
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
            min_width=longest if is_number else min(longest, TEXT_WIDTH),
        )
    for row in cells:
        table.add_row(*map(Text, row))
    console = Console()
    if not console.is_terminal:  # a pipe has no width, and Rich would assume 80
        console.width = PIPE_WIDTH
    wide = console.options.update(max_width=UNBOUNDED)
    console.width = max(console.width, Measurement.get(console, wide, table).minimum)
    console.print(table)
