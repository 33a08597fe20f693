"""A photo file → an upright RGB image, or one clear error that says why not."""

import functools
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from types import TracebackType
from typing import BinaryIO, NoReturn

import numpy as np
from PIL import Image, UnidentifiedImageError

from geoclip.errors import PhotoError

UNREADABLE = "unreadable"
"""The disk or the network did not give it, or the rights to it are missing."""
STATUSES = ("ok", "missing", UNREADABLE, "not a photo", "truncated", "too large", "empty")
MAX_PIXELS = 200_000_000
MAX_BYTES = 2_000_000_000  # some decoders take the whole file into memory before its header

# Still-picture formats only: Pillow would also hand PostScript to an external program.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
_ISO_MEDIA_FORMATS = ("HEIF", "AVIF", "JPEG2000")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112


def read_photo(
    path: str | os.PathLike[str], short_side: int | None = None, content: bytes | None = None
) -> Image.Image:
    """Read a photo as an upright RGB image; of several frames the first.

    With `short_side` (pixels) a JPEG may be decoded at a half, a quarter or an eighth of its size,
    the smallest of these whose short side is still at least `short_side`, and a strip that would
    be huge once its short side is `short_side` is refused. Transparency is laid on
    white and 16-bit values are scaled to 8. The file is opened for reading only; with `content`
    (the bytes of a photo kept elsewhere) `path` is only its name.

    Raises PhotoError; its `status` is one of `STATUSES` other than "ok".

    >>> read_photo("holiday/grey.jpg").size, read_photo("holiday/grey.jpg", short_side=20).size
    ((64, 48), (32, 24))
    """
    with open_photo(path, content) as image:
        return decode(image, os.fspath(path), short_side)


@contextmanager
def open_photo(path: str | os.PathLike[str], content: bytes | None = None) -> Iterator[Image.Image]:
    """Open a photo for its header, size and EXIF: its pixels are not decoded yet.

    Raises PhotoError as `read_photo` does; the file is closed when the context ends.
    """
    name = os.fspath(path)
    size = check_file(name).st_size if content is None else len(content)
    if size > MAX_BYTES:
        refuse(name, f"the file is larger than {MAX_BYTES // 10**9} GB; shrink it", "too large")
    with open_file(name, content) as file, _QUIET_PILLOW, _read_header(file, name) as image:
        yield image


@contextmanager
def open_picture(image: Image.Image, name: str) -> Iterator[Image.Image]:
    """An image that the caller has, with its pixels loaded; it stays as it is.

    One at a time: the same image may stand in a list twice. Raises PhotoError where it cannot be
    loaded.
    """
    with _ONE_PICTURE, _QUIET_PILLOW:
        if not image.width * image.height:
            refuse(name, "the picture has no pixels; leave it out", "empty")
        if image.width * image.height > MAX_PIXELS:
            refuse_size(name)
        try:
            image.load()  # else `draft` would shrink it for the caller, too
        except Exception as problem:  # decoders of damaged files raise almost anything
            refuse_damage(name, problem)
        yield image


def open_file(name: str, content: bytes | None = None) -> BinaryIO:
    """Open a file, or its content, for reading; raises PhotoError where the system refuses."""
    if content is not None:
        return BytesIO(content) if content else _refuse_empty(name)
    try:
        return open(name, "rb")  # noqa: PTH123  (names may hold any bytes)
    except OSError as problem:
        _refuse_os_error(name, problem)


def check_file(name: str) -> os.stat_result:
    """Look before opening, so that a named pipe is never waited for; raises PhotoError."""
    try:
        info = os.stat(name)  # noqa: PTH116
    except (OSError, ValueError) as problem:
        _refuse_os_error(name, problem)
    if stat.S_ISDIR(info.st_mode) and not os.access(name, os.R_OK | os.X_OK):
        refuse(name, "the folder may not be read; change its permissions", UNREADABLE)
    if not stat.S_ISREG(info.st_mode):
        refuse(name, "not a regular file; name a photo", "not a photo")
    if info.st_size == 0:
        _refuse_empty(name)
    return info


def refuse(name: str, problem: str, status: str) -> NoReturn:
    """Raise PhotoError in the words that all unreadable files share."""
    printable = name.encode("utf-8", "backslashreplace").decode()
    raise PhotoError(f"{printable!r}: {problem}.", status)


def _refuse_empty(name: str) -> NoReturn:
    refuse(name, "the file is empty; copy it again from its source", "empty")


def _refuse_os_error(name: str, problem: OSError | ValueError) -> NoReturn:
    if isinstance(problem, FileNotFoundError | NotADirectoryError | ValueError):
        refuse(name, "there is no such file; check the path", "missing")
    reason = problem.strerror or "it cannot be opened"
    refuse(name, f"{reason}; check the file and its permissions", UNREADABLE)


def _read_header(file: BinaryIO, name: str) -> Image.Image:
    """Read the header, turning whatever the decoders raise into PhotoError."""
    try:
        image = _open(file)
    except UnidentifiedImageError:
        refuse(name, "the content is not a picture in a known format; remove it", "not a photo")
    except (MemoryError, Image.DecompressionBombError):
        refuse_size(name)
    except Exception as problem:  # decoders of damaged files raise almost anything
        refuse_damage(name, problem)
    if image.width * image.height > MAX_PIXELS:
        refuse_size(name)
    return image


def decode(image: Image.Image, name: str, short_side: int | None = None) -> Image.Image:
    """The pixels of an open photo as an upright RGB image; see `read_photo`.

    `name` stands in the PhotoError. With `short_side` an image that is open from a file is left
    at its reduced size.
    """
    try:
        if short_side is not None:
            _refuse_thin(image, name, short_side)
            image.draft("RGB", (short_side, short_side))
        image.load()
        return _upright_rgb(image, name)
    except PhotoError:
        raise
    except (MemoryError, Image.DecompressionBombError):
        refuse_size(name)
    except Exception as problem:
        refuse_damage(name, problem)


def _refuse_thin(image: Image.Image, name: str, short_side: int) -> None:
    """Raise PhotoError for a strip that would have over `MAX_PIXELS` at an encoder's short side."""
    short, long = sorted(image.size)
    if long * short_side**2 > MAX_PIXELS * short:
        refuse(name, f"the picture is a strip of {long} by {short} pixels; crop it", "too large")


def refuse_size(name: str) -> NoReturn:
    """Raise PhotoError for a picture of more than `MAX_PIXELS`."""
    limit = MAX_PIXELS // 1_000_000
    refuse(name, f"the picture has more than {limit} megapixels; scale it down", "too large")


def refuse_damage(name: str, problem: Exception) -> NoReturn:
    """Raise PhotoError for a file that a decoder gave up on."""
    reason = " ".join(str(problem).split()) or type(problem).__name__
    refuse(name, f"the picture is cut off or damaged ({reason}); copy it again", "truncated")


def _open(file: BinaryIO) -> Image.Image:
    """Read the header; pillow-heif is loaded when the first bytes ask for it."""
    head = file.read(12)
    file.seek(0)
    return Image.open(file, formats=_formats(head[4:8] == b"ftyp" or head[4:8] == b"jP  "))


@functools.cache
def _formats(iso_media: bool) -> tuple[str, ...]:
    if iso_media:
        import pillow_heif  # noqa: PLC0415

        pillow_heif.register_heif_opener()
        if hasattr(pillow_heif, "register_avif_opener"):  # until Pillow read AVIF itself
            pillow_heif.register_avif_opener()
    Image.init()
    wanted = _ISO_MEDIA_FORMATS if iso_media else _FORMATS
    return tuple(name for name in wanted if name in Image.OPEN)


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    orientation = _orientation(image)
    try:
        rgb = _to_rgb(image)
    except ValueError:
        refuse(name, f"colour mode {image.mode} is not supported; save it as RGB", "not a photo")
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    rgb.info = {}  # else its EXIF would still ask for the turn that has been made
    return rgb


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where EXIF is absent, wrong or corrupt."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # EXIF is written by cameras of every quality
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _deep_to_grey(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _deep_to_grey(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and floating-point greys to 8 bits; Pillow itself would clip them."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
    peak = float(values.max(initial=0))
    if image.mode.startswith("I;16") or peak > 255:
        top = 65535.0
    else:
        top = 1.0 if image.mode == "F" and peak <= 1 else 255.0
    grey = np.clip(values * (255 / top), 0, 255)
    return Image.fromarray(np.rint(grey).astype(np.uint8))


class _QuietPillow:
    """While any thread is inside: Pillow warns of nothing and its size limit is ours.

    Both settings are global to the process, so the first thread in changes them and the last one
    out puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._warnings = warnings.catch_warnings()
        self._limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL|pillow_heif")
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                Image.MAX_IMAGE_PIXELS = self._limit
                self._warnings.__exit__(None, None, None)


_QUIET_PILLOW = _QuietPillow()
_ONE_PICTURE = threading.Lock()
