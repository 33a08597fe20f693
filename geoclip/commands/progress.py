"""Progress of long commands on stderr: a bar on a terminal, occasional lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

SECONDS_A_LINE = 30.0


class Advance(Protocol):
    """Called with the number done since the last call."""

    def __call__(self, count: int, words: str = "") -> None:
        """Count them, and show a few `words`: a loss, say."""
        ...


@contextmanager
def progress(what: str, total: int | None, done: int = 0) -> Iterator[Advance]:
    """Show the progress of the work within the block.

    An earlier run finished `done` of the `total` (None: unknown), which count for neither rate nor
    time left.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        lines = _Lines(what, total, done)
        yield lines
        lines.close()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, completed=done, words="")

        def advance(count: int, words: str = "") -> None:
            bar.update(task, advance=count, words=words)

        yield advance


class _RateColumn(ProgressColumn):
    """The rate: items per second."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing before there is one."""
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else _a_second(rate))


class _Lines:
    """A line with rate and time left, at most every `SECONDS_A_LINE`."""

    def __init__(self, what: str, total: int | None, done: int) -> None:
        self.what, self.total, self.done = what, total, done
        self.fresh, self.words = 0, ""
        self.start = self.last = time.monotonic()

    def __call__(self, count: int, words: str = "") -> None:
        self.fresh += count
        self.words = words
        now = time.monotonic()
        if now - self.last >= SECONDS_A_LINE:
            self.last = now
            self._write(now)

    def close(self) -> None:
        """Print the last words, if there are any."""
        if self.words:
            self._write(time.monotonic())

    def _write(self, now: float) -> None:
        rate = self.fresh / max(now - self.start, 1e-9)
        ready = self.done + self.fresh
        parts = [f"{ready:,}", _a_second(rate), self.words]
        if self.total is not None:
            left = duration(max(0, self.total - ready) / rate) if rate else "?"
            parts = [f"{ready:,} of {self.total:,}", _a_second(rate), f"{left} left", self.words]
        typer.echo(f"{self.what}: {', '.join(filter(None, parts))}", err=True)


def _a_second(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 0.1 else f"{rate:.2g}/s"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as in 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
