"""Photo paths as text: every path in a table is valid UTF-8 and leads back to its file.

A file name is bytes. Nearly all are UTF-8 and appear in tables unchanged. Others (Latin-1 names on
an old disk) would break the writers of Arrow, GeoPackage and CSV. They become a `file:` URI with
percent signs (RFC 3986): `photos/caf\\xe9.jpg` becomes `file:photos/caf%E9.jpg`. Such a URI may be
relative, as any other path in a table.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

PREFIX = "file:"

AnyPath = str | os.PathLike[str]


def path_list(paths: AnyPath | Iterable[AnyPath]) -> list[AnyPath]:
    """One path or several as a list; a text is one path, not its letters."""
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def encode_path(path: AnyPath) -> str:
    """A path as table text; encoding twice changes nothing.

    >>> encode_path("photos/Lyon.jpg")
    'photos/Lyon.jpg'
    """
    text = os.fspath(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return PREFIX + quote_from_bytes(os.fsencode(text))
    return text


def decode_path(text: str) -> Path:
    """The path of a table text: the inverse of `encode_path`.

    `file:///a/b.jpg`, as other programs write it, is read too.
    """
    if not text.startswith(PREFIX):
        return Path(text)
    encoded = text.removeprefix(PREFIX)
    if encoded.startswith("///"):
        encoded = encoded[2:]
    return Path(os.fsdecode(unquote_to_bytes(encoded)))


def gdal_takes(path: Path) -> bool:
    """Whether GDAL takes a path literally; it reads `a!b` as b in an archive a, for one."""
    return not any(sign in str(path) for sign in "!;") and encode_path(path) == str(path)


def resolve_path(text: str, folder: Path) -> str:
    """Absolute path text of `text`, taken relative to `folder`; `..` and links stay as they are."""
    return encode_path(folder.absolute() / decode_path(text))


def same_file_key(text: str, folder: Path) -> str:
    """One text for all spellings of a file; links are followed, and the file may be absent."""
    try:
        return encode_path(os.path.realpath(folder / decode_path(text)))
    except ValueError:  # a zero byte, which no file's name holds
        return text
