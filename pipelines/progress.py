"""Progress of work that runs on other processes of the cluster, shown where it was started."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

POLL_SECONDS = 1.0
PLAIN_SECONDS = 20.0
"""Where standard error is no terminal, a line as often as this."""


@ray.remote(num_cpus=0)
class Counter:
    """Holds how far a worker is: steps done of steps in all, and a few words."""

    def __init__(self) -> None:
        self.state = (0, 0, "")

    def set(self, done: int, total: int, words: str) -> None:
        """Store the state."""
        self.state = (done, total, words)

    def get(self) -> tuple[int, int, str]:
        """Return the state."""
        return self.state


@contextmanager
def shown(title: str) -> Iterator[Any]:
    """Show a counter while the block runs; yields its actor handle, to be given to a worker."""
    counter, stop = Counter.remote(), threading.Event()  # type: ignore[attr-defined]
    watcher = threading.Thread(target=_watch, args=(title, counter, stop), daemon=True)
    watcher.start()
    try:
        yield counter
    finally:
        stop.set()
        watcher.join()
        ray.kill(counter)


def _watch(title: str, counter: Any, stop: threading.Event) -> None:
    console = Console(stderr=True)
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None)
        waited = 0.0
        while not stop.wait(POLL_SECONDS):
            done, total, words = ray.get(counter.get.remote())
            bar.update(task, completed=done, total=total or None, description=words or title)
            waited += POLL_SECONDS
            if bar.disable and total and waited >= PLAIN_SECONDS:
                console.print(f"  {title}: {done}/{total} {words}", highlight=False)
                waited = 0.0
