"""Storage that takes a run's credentials no longer: that is no photo's problem."""

import re

from geoclip.errors import GeoclipError

_EXPIRED = re.compile("Expired ?Token|Invalid ?Token|HTTP status 40[01]\\) during Head", re.I)
"""What a store says; to HEAD it has no other words."""


def says_expired(problem: BaseException) -> bool:
    """Whether an error of storage says that it takes the credentials no longer."""
    return bool(_EXPIRED.search(" ".join(str(problem).split())))


def check_credentials(name: str, problem: Exception) -> None:
    """Raise GeoclipError where the storage of a file does not take credentials any longer.

    Photos that nobody was let at would be known as done, or be left out of training, for good.
    """
    if says_expired(problem):
        reason = " ".join(str(problem).split())
        raise GeoclipError(
            f"{name!r}: the storage does not take the credentials any longer ({reason}); renew "
            "them, and the same command goes on."
        ) from None
