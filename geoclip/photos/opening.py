"""Inputs accepted as photos, opened once for metadata and pixels."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from geoclip.errors import GeoclipError
from geoclip.photos.decoding import decode, open_photo, open_picture
from geoclip.photos.metadata import PhotoMetadata, photo_metadata, video_metadata
from geoclip.photos.videos import container_tags, frames_of, is_video, open_video
from geoclip.support.paths import AnyPath

if TYPE_CHECKING:
    from av.container import InputContainer

Content = bytes | Image.Image | np.ndarray
"""A photo without a file: its bytes, a PIL image, an array (H, W, 3) or (H, W) of uint8."""
Photo = AnyPath | Content
NamedPhoto = tuple[AnyPath, Content | None]
"""A file and None, or the name and the content of a photo without a file."""
Fetch = Callable[[str], bytes | None]
"""The bytes of a photo by its path in a table; None for a local file.

Raises PhotoError where they are unavailable.
"""


def photo_list(photos: Photo | Iterable[Photo]) -> list[Photo]:
    """One photo or several as a list.

    An array of four dimensions is a stack of photos. Raises GeoclipError for an input that is not
    iterable.
    """
    if isinstance(photos, str | os.PathLike | bytes | Image.Image):
        return [photos]
    if isinstance(photos, np.ndarray) and photos.ndim in {2, 3}:
        return [photos]
    if not isinstance(photos, Iterable):
        raise _no_photo(photos, "What was given")
    return list(photos)


def named(photo: Photo, position: int) -> NamedPhoto:
    """A file unchanged; a photo without a file is called `photo 0`, `photo 1`, … by position.

    Raises GeoclipError for an input that is no photo.
    """
    name = f"photo {position}"
    if isinstance(photo, str) and is_address(photo):
        raise GeoclipError(
            f"{photo} is an address, but only local files are read: download it first, and give "
            f"its path or its bytes."
        )
    if isinstance(photo, str | os.PathLike):
        return photo, None
    if isinstance(photo, bytes) and not photo:
        raise GeoclipError(f"{name!r} has no bytes: give all bytes of a photo.")
    if isinstance(photo, np.ndarray):
        _check_array(photo, name)
    elif not isinstance(photo, bytes | Image.Image):
        raise _no_photo(photo, repr(name))
    return name, photo


def is_address(text: str) -> bool:
    """Whether a text is an address such as https://… and not a file; `file:///…` is a path.

    >>> is_address("https://example.org/a.jpg"), is_address("file:///a.jpg"), is_address("a.jpg")
    (True, False, False)
    """
    return "://" in text and not text.startswith("file:///") and not os.path.lexists(text)


def _check_array(pixels: np.ndarray, name: str) -> None:
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not is_picture or not pixels.size:
        raise GeoclipError(
            f"{name!r} is an array {pixels.shape} of {pixels.dtype}: give pixels as (height, "
            "width, 3) or (height, width) of uint8."
        )


def _no_photo(given: Any, name: str) -> GeoclipError:
    return GeoclipError(
        f"{name} is of the type {type(given).__name__}: give a path, the bytes of a photo, a PIL "
        "image or an array."
    )


@dataclass(frozen=True)
class OpenImage:
    """An open photo."""

    image: Image.Image
    name: str

    def metadata(self) -> PhotoMetadata:
        """The camera's notes; no pixel is decoded."""
        return photo_metadata(self.image)

    def pictures(self, frames: int, short_side: int) -> list[Image.Image]:
        """The one picture of a photo; raises PhotoError."""
        return [decode(self.image, self.name, short_side)]


@dataclass(frozen=True)
class OpenVideo:
    """An open video."""

    container: "InputContainer"
    name: str

    def metadata(self) -> PhotoMetadata:
        """The header's content; no frame is decoded."""
        return video_metadata(container_tags(self.container))

    def pictures(self, frames: int, short_side: int) -> list[Image.Image]:
        """Up to `frames` pictures, see `read_frames`; raises PhotoError."""
        return frames_of(self.container, self.name, frames, short_side)


@contextmanager
def opened(path: AnyPath, content: Content | None = None) -> Iterator[OpenImage | OpenVideo]:
    """Open a photo or video once; with `content`, `path` is only its name.

    The ending of the name says whether it is a video. Raises PhotoError as `read_photo` does. The
    caller's image stays unchanged.
    """
    name = os.fspath(path)
    if isinstance(content, np.ndarray | Image.Image):
        picture = Image.fromarray(content) if isinstance(content, np.ndarray) else content
        with open_picture(picture, name) as image:
            yield OpenImage(image, name)
    elif is_video(name):
        with open_video(name, content) as container:
            yield OpenVideo(container, name)
    else:
        with open_photo(name, content) as image:
            yield OpenImage(image, name)


def read_pictures(
    path: AnyPath, content: Content | None, frames: int, short_side: int
) -> list[Image.Image]:
    """The picture of a photo, or up to `frames` of a video; raises PhotoError as `opened` does.

    `short_side` (pixels) is as for `read_photo`.
    """
    with opened(path, content) as photo:
        return photo.pictures(frames, short_side)
