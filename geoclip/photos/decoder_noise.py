"""Count libtiff's lines on the process's stderr, past Python, instead of showing them."""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image

_STDERR = 2
_ONE = threading.Lock()  # stderr belongs to the whole process
_FROM_LIBTIFF = re.compile(
    rb"(tempfile\.tif|_?\w*(TIFF|Decode|Setup|Fax|JPEG|LZW|ZIP|ZSTD|LZMA|WebP|Pixar|Log|Pack)\w*)"
    rb"(, \w+)*: "
)


@contextmanager
def counted_noise(image: Image.Image) -> Iterator[list[bytes]]:
    """Collect libtiff's lines while a picture is loaded; other formats have none.

    Lines of other threads appear a moment later. The list is filled at the end.
    """
    lines: list[bytes] = []
    if not any(tile[0] == "libtiff" for tile in getattr(image, "tile", ())):
        yield lines
        return
    with _ONE, tempfile.TemporaryFile() as caught:
        try:
            real = os.dup(_STDERR)
        except OSError:  # closed
            yield lines
            return
        os.dup2(caught.fileno(), _STDERR)
        try:
            yield lines
        finally:
            os.dup2(real, _STDERR)
            caught.seek(0)
            written = caught.read().splitlines(keepends=True)
            lines += [line for line in written if _FROM_LIBTIFF.match(line)]
            with suppress(OSError):
                os.write(real, b"".join(line for line in written if line not in lines))
            os.close(real)
