"""Views of photos → decoded photos, even if a photo kills its process.

A photo that kills its process also kills the actor. Ray restarts the actor and gives it the same
photos again; it then decodes each of them in its own process, so that the culprit is known and
everything else is done. In undisturbed runs this does not happen.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import ray
from PIL import Image
from ray.exceptions import OutOfMemoryError, WorkerCrashedError

from geoclip.errors import PhotoError
from geoclip.photos.opening import Content, read_pictures
from geoclip.photos.reader import DecodedPhoto, PhotoReader, Preprocessor, read_batches
from geoclip.photos.refusals import UNREADABLE
from geoclip.support.paths import AnyPath
from pipelines.credentials import check_credentials
from pipelines.storage import is_uri, read_bytes

IN_FLIGHT = 2
"""Blocks sent to an actor at a time: one more than it works on."""
CALLS_APART = 2 * IN_FLIGHT
"""Blocks that a restarted actor decodes apart: all that may have killed it."""
RETRIES_APART = 2
FETCHERS = 16
"""Threads for photos over the network: most of them wait."""

View = dict[str, Any]
"""A row of `photo_source.VIEW`."""


class BlockReader:
    """Decodes the views of blocks, in an actor; `threads` are for local photos."""

    def __init__(self, preprocessor: Preprocessor, threads: int) -> None:
        self.preprocessor = preprocessor
        self.threads = max(2, threads)
        self.calls_apart = CALLS_APART if was_restarted() else 0

    def read(self, batches: Sequence[Sequence[View]]) -> Iterator[list[DecodedPhoto]]:
        """The decoded photos of each batch of a block's views."""
        decode = decode_apart if self.calls_apart > 0 else None
        self.calls_apart -= 1
        reader = ViewReader(PhotoReader(self.preprocessor, decode=decode))
        views = (view for batch in batches for view in batch)
        fetched = any(view["content"] is None and is_uri(view["path"]) for view in views)
        return read_batches(batches, reader, FETCHERS if fetched else self.threads)


class ViewReader:
    """Reads a view by its path, URI or content; safe to call from several threads."""

    def __init__(self, read: PhotoReader) -> None:
        self.read = read

    def __call__(self, view: View) -> DecodedPhoto:
        """Read it; a failure gives a `DecodedPhoto` with its problem.

        Raises GeoclipError for expired credentials, which are no fault of a photo.
        """
        path, content = view["path"], view["content"]
        if view["problem"] is not None:
            return DecodedPhoto(None, PhotoError(view["problem"], UNREADABLE))
        if content is None and is_uri(path):
            try:
                content = read_bytes(path)
            except OSError as problem:
                return DecodedPhoto(None, _out_of_reach(path, problem))
        return self.read(path, content)


def _out_of_reach(path: str, problem: OSError) -> PhotoError:
    if isinstance(problem, FileNotFoundError):
        return PhotoError(f"{path!r}: there is no such file; check the path.", "missing")
    check_credentials(path, problem)
    reason = " ".join(str(problem).split())
    return PhotoError(
        f"{path!r}: it cannot be fetched ({reason}); try it in a run with another OUT.", UNREADABLE
    )


def decode_apart(
    file: AnyPath, content: Content | None, frames: int, short_side: int
) -> list[Image.Image]:
    """`read_pictures` in another process, so that a photo that kills it is only a PhotoError."""
    try:
        pictures = ray.get(_decode.remote(file, content, frames, short_side))
    except (WorkerCrashedError, OutOfMemoryError):
        raise PhotoError(
            f"{str(file)!r}: reading it killed {RETRIES_APART + 1} processes; save it anew.",
            UNREADABLE,
        ) from None
    if isinstance(pictures, tuple):
        raise PhotoError(*pictures)
    return pictures


@ray.remote(num_cpus=0, max_retries=RETRIES_APART)
def _decode(
    file: AnyPath, content: Content | None, frames: int, short_side: int
) -> list[Image.Image] | tuple[str, str]:
    """The pictures, or message and status of the problem: that exception cannot be pickled."""
    try:
        return read_pictures(file, content, frames, short_side)
    except PhotoError as problem:
        return str(problem), problem.status


def was_restarted() -> bool:
    """Whether this process is a restarted actor."""
    context = ray.get_runtime_context()
    return bool(context.get_actor_id() and context.was_current_actor_reconstructed)
