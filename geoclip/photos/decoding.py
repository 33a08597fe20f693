"""A photo file → an upright RGB image, or one clear error with the reason."""

import functools
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from geoclip.errors import PhotoError
from geoclip.photos.container_exif import add_exif
from geoclip.photos.decoder_noise import counted_noise
from geoclip.photos.iso_media import exif_turn
from geoclip.photos.jpeg_ends import LEAST_SHARE, decoded_part, supply_end
from geoclip.photos.known_formats import undecodable
from geoclip.photos.quiet_pillow import QUIET_PILLOW
from geoclip.photos.raw_photos import is_raw, open_raw
from geoclip.photos.refusals import (
    MAX_PIXELS,
    PARTIAL,
    UNREADABLE,
    photo_error,
    refuse,
    refuse_damage,
    refuse_empty,
    refuse_os_error,
    refuse_size,
)

MAX_BYTES = 2_000_000_000  # some decoders read the whole file into memory before its header

# Still-picture formats only: Pillow would also pass PostScript to an external program.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
_ISO_MEDIA_FORMATS = ("HEIF", "AVIF", "JPEG2000", "JXL")

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
_TURN = "geoclip_turn"
SHARE, NOISE = "decoded_share", "decoder_messages"
"""Keys of a picture's `info`: the decoded share of a truncated file, the decoder's messages."""


def read_photo(
    path: str | os.PathLike[str], short_side: int | None = None, content: bytes | None = None
) -> Image.Image:
    """Read a photo as an upright RGB image; of several frames the first.

    With `short_side` (pixels) a JPEG may be decoded at a half, a quarter or an eighth of its size,
    the smallest whose short side is at least `short_side`; a strip that would be huge at that short
    side is refused. Transparency becomes white and 16-bit values are scaled to 8. The file is
    opened for reading only; with `content` (the bytes of a photo kept elsewhere) `path` is only its
    name.

    Of a truncated JPEG the existing rows are returned, with their share in `info`.

    Raises PhotoError; its `status` is one of `STATUSES` other than those of `READ`.

    >>> read_photo("holiday/grey.jpg").size, read_photo("holiday/grey.jpg", short_side=20).size
    ((64, 48), (32, 24))
    """
    with open_photo(path, content) as image:
        return decode(image, os.fspath(path), short_side)


@contextmanager
def open_photo(path: str | os.PathLike[str], content: bytes | None = None) -> Iterator[Image.Image]:
    """Open a photo for its header, size and EXIF, without decoding its pixels.

    Raises PhotoError as `read_photo` does; the file is closed when the context ends.
    """
    name = os.fspath(path)
    size = check_file(name).st_size if content is None else len(content)
    if size > MAX_BYTES:
        refuse(name, f"the file is larger than {MAX_BYTES // 10**9} GB; shrink it", "too large")
    with open_file(name, content) as file, QUIET_PILLOW, _read_header(file, name) as image:
        yield image


@contextmanager
def open_picture(image: Image.Image, name: str) -> Iterator[Image.Image]:
    """Use the caller's image, with its pixels loaded; it stays unchanged.

    One at a time: a list may hold the same image twice. Raises PhotoError where loading fails.
    """
    with _ONE_PICTURE, QUIET_PILLOW:
        if not image.width * image.height:
            refuse(name, "the picture has no pixels; leave it out", "empty")
        if image.width * image.height > MAX_PIXELS:
            refuse_size(name)
        try:
            image.load()  # else `draft` would shrink the caller's image, too
        except Exception as problem:  # decoders of damaged files raise almost anything
            refuse_damage(name, problem)
        yield image


def open_file(name: str, content: bytes | None = None) -> BinaryIO:
    """Open a file, or its content, for reading; raises PhotoError where the system refuses."""
    if content is not None:
        return BytesIO(content) if content else refuse_empty(name)
    try:
        return open(name, "rb")  # noqa: PTH123  (names may hold any bytes)
    except OSError as problem:
        refuse_os_error(name, problem)


def check_file(name: str) -> os.stat_result:
    """Check before opening, so as not to wait for a named pipe; raises PhotoError."""
    try:
        info = os.stat(name)  # noqa: PTH116
    except (OSError, ValueError) as problem:
        refuse_os_error(name, problem)
    if stat.S_ISDIR(info.st_mode) and not os.access(name, os.R_OK | os.X_OK):
        refuse(name, "the folder may not be read; change its permissions", UNREADABLE)
    if not stat.S_ISREG(info.st_mode):
        refuse(name, "not a regular file; name a photo", "not a photo")
    if info.st_size == 0:
        refuse_empty(name)
    return info


def _read_header(file: BinaryIO, name: str) -> Image.Image:
    """Read the header; any error of the decoders becomes PhotoError."""
    try:
        image = _open(file, name)
    except PhotoError:
        raise
    except (MemoryError, Image.DecompressionBombError):
        refuse_size(name)
    except Exception as problem:  # decoders of damaged files raise almost anything
        refuse_damage(name, problem)
    if image.width * image.height > MAX_PIXELS:
        refuse_size(name)
    return image


def decode(image: Image.Image, name: str, short_side: int | None = None) -> Image.Image:
    """The pixels of an open photo as an upright RGB image; see `read_photo`.

    `name` appears in the PhotoError. With `short_side` an image opened from a file keeps its
    reduced size.
    """
    try:
        if short_side is not None:
            _refuse_thin(image, name, short_side)
            image.draft("RGB", (short_side, short_side))
        supplied = supply_end(image)
        with counted_noise(image) as noise:
            image.load()
        picture, share = decoded_part(image) if supplied else (image, 1.0)
        if share < LEAST_SHARE:
            refuse_damage(name, OSError(f"{share:.0%} of it is there"))
        upright = _upright_rgb(picture, _orientation(image), name)
    except PhotoError:
        raise
    except (MemoryError, Image.DecompressionBombError):
        refuse_size(name)
    except Exception as problem:
        refuse_damage(name, problem)
    upright.info = {NOISE: len(noise)} if noise else {}
    if supplied:
        upright.info[SHARE] = share
    return upright


def flaw(pictures: Sequence[Image.Image], name: str) -> PhotoError | None:
    """The error of status "partial" for a photo that was decoded in part."""
    share = min((picture.info.get(SHARE, 1.0) for picture in pictures), default=1.0)
    if share == 1.0:
        return None
    said = f"the file ends early, {share:.0%} of the picture is there and used; copy it again"
    return photo_error(name, said, PARTIAL)


def _refuse_thin(image: Image.Image, name: str, short_side: int) -> None:
    """Raise PhotoError for a strip of over `MAX_PIXELS` at an encoder's short side."""
    short, long = sorted(image.size)
    if long * short_side**2 > MAX_PIXELS * short:
        refuse(name, f"the picture is a strip of {long} by {short} pixels; crop it", "too large")


def _open(file: BinaryIO, name: str) -> Image.Image:
    """Read the header; pillow-heif is loaded if the first bytes need it."""
    head = file.read(12)
    file.seek(0)
    if is_raw(name) and not head.startswith((b"\xff\xd8", b"\x89PNG")):
        return open_raw(file, name)
    iso_media = head[4:8] in {b"ftyp", b"jP  ", b"JXL "} or head.startswith(b"\xff\x0a")
    try:
        image = Image.open(file, formats=_formats(iso_media))
    except OSError as problem:
        if isinstance(problem, UnidentifiedImageError) or head.startswith(b"BM"):
            return undecodable(file, name)
        raise
    if image.format in {"HEIF", "AVIF"}:
        place = file.tell()
        image.info[_TURN] = exif_turn(file, image)
        file.seek(place)
    elif image.format in {"JPEG2000", "JXL"} and "exif" not in image.info:
        place = file.tell()
        add_exif(file, image)
        file.seek(place)
    return image


@functools.cache
def _formats(iso_media: bool) -> tuple[str, ...]:
    if iso_media:
        import pillow_heif  # noqa: PLC0415

        pillow_heif.register_heif_opener()
        if hasattr(pillow_heif, "register_avif_opener"):  # until Pillow read AVIF itself
            pillow_heif.register_avif_opener()
        with suppress(ImportError):  # a plugin that the user chooses
            import pillow_jxl  # noqa: F401, PLC0415
    Image.init()
    wanted = _ISO_MEDIA_FORMATS if iso_media else _FORMATS
    return tuple(name for name in wanted if name in Image.OPEN)


def _upright_rgb(image: Image.Image, orientation: int, name: str) -> Image.Image:
    try:
        rgb = _to_rgb(image)
    except ValueError:
        refuse(name, f"colour mode {image.mode} is not supported; save it as RGB", "not a photo")
    return rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where EXIF is absent, wrong or corrupt."""
    try:
        own = int(image.getexif().get(_ORIENTATION_TAG, 1))
        return own if own != 1 else image.info.get(_TURN, 1)
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


_ONE_PICTURE = threading.Lock()
