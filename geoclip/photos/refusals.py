"""Why a photo cannot be used: statuses, and words shared by all unreadable files."""

from typing import NoReturn

from geoclip.errors import PhotoError

UNREADABLE = "unreadable"
"""The disk or network failed, or permissions are missing."""
PARTIAL = "partial"
"""The file ends early; its existing part is used."""
UNSUPPORTED = "unsupported"
"""A picture of a known format that cannot be decoded here; its position is read."""
READ = ("ok", PARTIAL)
"""The statuses of photos that have pixels."""
STATUSES = (
    *READ,
    "missing",
    UNREADABLE,
    "not a photo",
    UNSUPPORTED,
    "truncated",
    "too large",
    "empty",
)
MAX_PIXELS = 200_000_000


def refuse(name: str, problem: str, status: str) -> NoReturn:
    """Raise PhotoError for a file."""
    raise photo_error(name, problem, status)


def photo_error(name: str, problem: str, status: str) -> PhotoError:
    """The error of a file, whatever bytes its name has."""
    printable = name.encode("utf-8", "backslashreplace").decode()
    return PhotoError(f"{printable!r}: {problem}.", status)


def refuse_size(name: str) -> NoReturn:
    """Raise PhotoError for a picture of more than `MAX_PIXELS`."""
    limit = MAX_PIXELS // 1_000_000
    refuse(name, f"the picture has more than {limit} megapixels; scale it down", "too large")


def refuse_damage(name: str, problem: Exception) -> NoReturn:
    """Raise PhotoError for a file whose decoding failed."""
    reason = " ".join(str(problem).split()) or type(problem).__name__
    refuse(name, f"the picture is cut off or damaged ({reason}); copy it again", "truncated")


def refuse_os_error(name: str, problem: OSError | ValueError) -> NoReturn:
    """Raise PhotoError for a file that the system could not read."""
    if isinstance(problem, FileNotFoundError | NotADirectoryError | ValueError):
        refuse(name, "there is no such file; check the path", "missing")
    reason = problem.strerror or "it cannot be opened"
    refuse(name, f"{reason}; check the file and its permissions", UNREADABLE)


def refuse_empty(name: str) -> NoReturn:
    """Raise PhotoError for a file without content."""
    refuse(name, "the file is empty; copy it again from its source", "empty")
