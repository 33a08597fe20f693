"""The exceptions a user of geoclip can catch."""


class GeoclipError(Exception):
    """Bad input; the message is one sentence: the file or row, what is wrong, what to do.

    >>> from geoclip import read_guesses
    >>> try:
    ...     read_guesses("gone.csv")
    ... except GeoclipError as problem:
    ...     print(problem)
    gone.csv does not exist...
    """


class PhotoError(GeoclipError):
    """A photo that cannot be used; `status` is its word in the guesses table.

    >>> from geoclip import read_photo
    >>> try:
    ...     read_photo("gone.jpg")
    ... except PhotoError as problem:
    ...     print(problem.status)
    missing
    """

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status
