"""RAW photos: the camera's embedded preview, with the EXIF of the file around it.

Every camera of the last twenty years stores a JPEG preview, mostly of full size. Finding it takes a
few milliseconds for any maker's format. Without one LibRaw develops the picture, if it is installed
(`pip install 'geoclip-gzsl[raw]'`).
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from io import RawIOBase
from typing import BinaryIO, cast

from PIL import Image

from geoclip.photos.container_exif import add_exif
from geoclip.photos.listing import RAW_SUFFIXES
from geoclip.photos.refusals import UNSUPPORTED, refuse, refuse_damage

ENOUGH = 1000
"""A preview with this short side (pixels) ends the search for a larger one."""
SMALL = 256
"""Below this short side of the preview LibRaw, if it is installed, develops the picture instead."""
_BLOCK = 1 << 20
_START = b"\xff\xd8\xff"
_FRAMES = {0xC0, 0xC1, 0xC2}  # lossy frames; sensor data are lossless


def is_raw(name: str) -> bool:
    """Whether a file's ending is that of a RAW photo."""
    return os.path.splitext(name)[1].lower() in RAW_SUFFIXES  # noqa: PTH122


def open_raw(file: BinaryIO, name: str) -> Image.Image:
    """The preview of a RAW photo, or a picture that is developed on loading."""
    image = _preview(file)
    if image is None or (min(image.size) < SMALL and find_spec("rawpy")):
        image = _Undeveloped(file, name)
    add_exif(file, image)
    return image


class _Undeveloped(Image.Image):
    """A RAW photo without a preview."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__()
        self._mode, self._size = "RGB", (1, 1)
        self.file, self.name = file, name

    def load(self) -> None:
        """Develop the photo; raises PhotoError."""
        if self._im is None:
            picture = _developed(self.file, self.name)
            self._size, self.im = picture.size, picture.im


def _developed(file: BinaryIO, name: str) -> Image.Image:
    try:
        import rawpy  # noqa: PLC0415  (an extra)
    except ImportError:
        kind = os.path.splitext(name)[1].lstrip(".").upper()  # noqa: PTH122
        cure = "pip install 'geoclip-gzsl[raw]' reads it"
        refuse(name, f"the RAW photo ({kind}) has no preview; {cure}", UNSUPPORTED)
    file.seek(0)
    try:
        with rawpy.imread(file) as raw:
            pixels = raw.postprocess(half_size=True, use_camera_wb=True, user_flip=0)
    except rawpy.LibRawFileUnsupportedError:
        refuse(name, "LibRaw does not know this RAW format; export it as JPEG", UNSUPPORTED)
    except rawpy.LibRawError as problem:
        refuse_damage(name, problem)
    return Image.fromarray(pixels)


def _preview(file: BinaryIO) -> Image.Image | None:
    """The first large JPEG in a file, or the largest."""
    best: Image.Image | None = None
    for start in _starts(file):
        found = _jpeg_at(file, start) if _frame(file, start) in _FRAMES else None
        if found is not None and (best is None or min(found.size) > min(best.size)):
            best = found
            if min(found.size) >= ENOUGH:
                break
    return best


def _starts(file: BinaryIO) -> Iterator[int]:
    """Possible starts of JPEGs."""
    place = 0
    while True:
        file.seek(place)
        block = file.read(_BLOCK + len(_START) - 1)
        at = block.find(_START)
        while at >= 0:
            yield place + at
            at = block.find(_START, at + 1)
        if len(block) < _BLOCK:
            return
        place += _BLOCK


def _frame(file: BinaryIO, start: int) -> int:
    """The marker of a JPEG's coding; 0 for none."""
    at = start + 2
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return 0
        if 0xC0 <= head[1] <= 0xCF and head[1] not in {0xC4, 0xC8, 0xCC}:
            return head[1]
        at += 2 + int.from_bytes(head[2:], "big")


def _jpeg_at(file: BinaryIO, start: int) -> Image.Image | None:
    try:
        return Image.open(cast(BinaryIO, _Rest(file, start)), formats=("JPEG", "MPO"))
    except Exception:  # chance bytes that look like a start
        return None


class _Rest(RawIOBase):
    """A file from an offset on, with its own position, as several share the file."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self.file, self.start, self.position = file, start, 0

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        if whence == os.SEEK_CUR:
            offset += self.position
        elif whence == os.SEEK_END:
            offset += self.file.seek(0, os.SEEK_END) - self.start
        self.position = max(offset, 0)
        return self.position

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Read on."""
        self.file.seek(self.start + self.position)
        found = self.file.read(len(buffer))
        buffer[: len(found)] = found
        self.position += len(found)
        return len(found)
