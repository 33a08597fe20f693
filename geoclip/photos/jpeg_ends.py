"""Truncated JPEGs: the existing rows are decoded, and their share is measured."""

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

LEAST_SHARE = 0.05
"""Least share of a picture's rows: a thinner strip shows nothing."""
_END_OF_IMAGE = b"\xff\xd9"
_UNDECODED = 128  # libjpeg's value beyond the end of data


def supply_end(image: Image.Image) -> list[bytes]:
    """Prepare an open truncated JPEG to be decoded as far as it goes, before it is loaded.

    The returned list later holds the supplied bytes: it stays empty for a whole file.
    """
    supplied: list[bytes] = []
    if isinstance(image, JpegImageFile) and (file := image.fp) is not None:

        def read(read_bytes: int) -> bytes:
            content = file.read(read_bytes)
            if not content and not supplied:
                supplied.append(_END_OF_IMAGE)
                return _END_OF_IMAGE
            return content

        image.load_read = read  # type: ignore[method-assign]
    return supplied


def decoded_part(image: Image.Image) -> tuple[Image.Image, float]:
    """The mostly decoded rows of a loaded picture, and their share of all rows.

    A progressive JPEG may have all rows, the last ones coarse: it counts as partial.
    """
    values = np.asarray(image).astype(np.int16).reshape(image.height, image.width, -1)
    seen = (abs(values - _UNDECODED) > 1).any(axis=2).mean(axis=1)
    decoded = np.flatnonzero(seen > 0.5)
    rows = int(decoded[-1]) + 1 if len(decoded) else 0
    share = min(rows / image.height, 0.99)
    return image.crop((0, 0, image.width, max(rows, 1))), share
