"""The exceptions a user of geoclip can catch."""


class GeoclipError(Exception):
    """Bad input; the message is one sentence: the file or row, what is wrong, what to do."""


class PhotoError(GeoclipError):
    """A photo that cannot be used; `status` is the word that stands in the guesses table."""

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status
