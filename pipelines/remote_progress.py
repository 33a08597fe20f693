"""Progress of work in other processes of the cluster, shown where it was started."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import typer

from geoclip.commands.progress import progress
from pipelines.actor_arguments import kept_actor

POLL_SECONDS = 1.0

State = tuple[int, int | None, str]


@ray.remote(num_cpus=0)
class Counter:
    """Holds the workers' progress: the done number, the total, and a few words."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.failed = 0
        self.said: list[str] = []

    def set(self, done: int, total: int | None, words: str) -> None:
        """Store the state; a total of None is unknown."""
        self.state = (done, total, words)

    def add(self, photos: int, failed: int) -> None:
        """Count finished photos, of which `failed` were unreadable."""
        done, total, _ = self.state or (0, None, "")
        self.failed += failed
        words = f"{self.failed:,} could not be read" if self.failed else ""
        # A lost worker's photos are done again, and counted again.
        self.state = (min(done + photos, total or done + photos), total, words)

    def get(self) -> "State | None":
        """Return the state, None before there is one."""
        return self.state

    def say(self, sentence: str) -> None:
        """Keep a sentence until it is shown."""
        self.said.append(sentence)

    def hear(self) -> list[str]:
        """Return the sentences since the last call."""
        said, self.said = self.said, []
        return said


@contextmanager
def remote_progress(title: str) -> Iterator[Any]:
    """Show a counter while the block runs; yields its actor handle, for a worker."""
    (counter, given), stop = kept_actor(Counter), threading.Event()
    watcher = threading.Thread(target=_watch, args=(title, counter, stop), daemon=True)
    watcher.start()
    try:
        yield given
    finally:
        stop.set()
        watcher.join()
        ray.kill(counter)


def _watch(title: str, counter: Any, stop: threading.Event) -> None:
    states = _states(counter, stop)
    first = next(states, None)
    if first is not None:
        shown, total, words = first
        with progress(title, total, shown) as advance:
            advance(0, words)
            for done, _, words in states:
                advance(done - shown, words)
                shown = done


def _states(counter: Any, stop: threading.Event) -> Iterator[State]:
    """The counter's states, repeatedly from the first one on, and once at the stop.

    Sentences are shown as they come.
    """
    ended = False
    while not ended:
        ended = stop.wait(POLL_SECONDS)
        for sentence in ray.get(counter.hear.remote()):
            typer.echo(sentence, err=True)
        state = ray.get(counter.get.remote())
        if state is not None:
            yield state
