"""Progress of long commands on stderr: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


class RateColumn(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing before there is one."""
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:.1f}/s")


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Gives a function to call with the number done since its last call.

    `done` of the `total` were done by an earlier run and count for neither rate nor time left.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(what, total, done)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda count: bar.advance(task, count)


class _Lines:
    """A line with rate and time left, not oftener than every `SECONDS_A_LINE`."""

    def __init__(self, what: str, total: int, done: int) -> None:
        self.what, self.total, self.done = what, total, done
        self.fresh = 0
        self.start = self.last = time.monotonic()

    def __call__(self, count: int) -> None:
        self.fresh += count
        now = time.monotonic()
        if now - self.last < SECONDS_A_LINE:
            return
        self.last = now
        rate = self.fresh / (now - self.start)
        ready = self.done + self.fresh
        left = duration((self.total - ready) / rate) if rate else "?"
        text = f"{self.what}: {ready:,} of {self.total:,}, {rate:.1f}/s, {left} left"
        typer.echo(text, err=True)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as in 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
