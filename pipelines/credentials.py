"""Expired credentials of storage, which are no fault of a photo."""

import re

from geoclip.errors import GeoclipError

_EXPIRED = re.compile("Expired ?Token|Invalid ?Token|HTTP status 40[01]\\) during Head", re.I)
"""Messages of a store; for HEAD it has no better ones."""


def says_expired(problem: BaseException) -> bool:
    """Whether a storage error means expired credentials."""
    return bool(_EXPIRED.search(" ".join(str(problem).split())))


def check_credentials(name: str, problem: Exception) -> None:
    """Raise GeoclipError if a file's storage no longer accepts the credentials.

    Otherwise inaccessible photos would permanently count as done, or be left out of training.
    """
    if says_expired(problem):
        reason = " ".join(str(problem).split())
        raise GeoclipError(
            f"{name!r}: the storage no longer accepts the credentials ({reason}); renew them, "
            f"and the same command goes on."
        ) from None
