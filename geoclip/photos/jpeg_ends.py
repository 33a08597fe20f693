"""JPEGs that lack their last bytes: what is there is decoded, and how much that is."""

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

LEAST_SHARE = 0.05
"""Of a picture's rows: a thinner strip shows nothing."""
_END_OF_IMAGE = b"\xff\xd9"
_UNDECODED = 128  # what libjpeg leaves where data end


def supply_end(image: Image.Image) -> list[bytes]:
    """Have an open JPEG that ends early decoded as far as it goes, before it is loaded.

    The list that is returned holds what was supplied, once it was: nothing for a whole file.
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
    """The rows of a loaded picture of which most is decoded, and their share of all rows.

    A progressive JPEG may have all rows, the last ones coarse: it counts as not quite whole.
    """
    values = np.asarray(image).astype(np.int16).reshape(image.height, image.width, -1)
    seen = (abs(values - _UNDECODED) > 1).any(axis=2).mean(axis=1)
    decoded = np.flatnonzero(seen > 0.5)
    rows = int(decoded[-1]) + 1 if len(decoded) else 0
    share = min(rows / image.height, 0.99)
    return image.crop((0, 0, image.width, max(rows, 1))), share
