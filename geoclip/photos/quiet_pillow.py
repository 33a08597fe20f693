"""Pillow without warnings, and with geoclip's limit of pixels."""

import threading
import warnings
from types import TracebackType

from PIL import Image

from geoclip.photos.refusals import MAX_PIXELS


class _QuietPillow:
    """While any thread is inside, Pillow gives no warnings and has geoclip's size limit.

    Both settings are global to the process, so the first thread in changes them and the last one
    out restores them.
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


QUIET_PILLOW = _QuietPillow()
