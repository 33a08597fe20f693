"""The user's own folders: the cache holds files that can be made again, the data folder the
others."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_dir, user_data_dir


def cache_folder() -> Path:
    """Folder of kept place indexes: `$GEOCLIP_CACHE`, else within the user's cache folder."""
    return _named("GEOCLIP_CACHE") or _of_user(user_cache_dir) / "places"


def data_folder() -> Path:
    """Folder of the user's calibrations: `$GEOCLIP_DATA`, else within the user's data folder."""
    return _named("GEOCLIP_DATA") or _of_user(user_data_dir)


def first_time(notice: str) -> bool:
    """Whether a notice appears for the first time on this machine, as far as files can tell."""
    mark = data_folder() / "told" / notice
    if mark.exists():
        return False
    with suppress(OSError):  # no home, or a full disk: the notice appears again
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return True


def _named(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _of_user(folder: Callable[..., str]) -> Path:
    try:
        return Path(folder("geoclip", appauthor=False)).expanduser()
    except RuntimeError:  # containers run under user ids that have no home
        return Path(tempfile.gettempdir()) / f"geoclip-{os.getuid()}"
