"""Storage by URI: local folders, S3-compatible stores, Google Cloud, and all schemes of fsspec.

A name without `://` is a local path. `s3://` and `gs://` go through pyarrow (credentials and
`AWS_ENDPOINT_URL` from the environment), other schemes through fsspec. Temporary failures are
retried; an absent file is reported at once.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partialmethod
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from pyarrow import fs
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from geoclip.errors import GeoclipError
from pipelines.credentials import says_expired

ATTEMPTS = 8
FIRST_WAIT = 0.1
"""Seconds before the second attempt; each wait is twice the last."""
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
TRANSIENT = ("[Tt]imed? ?out", "[Cc]onnection", "HTTP status (429|5\\d\\d)", "[Ss]low ?[Dd]own")
"""Regular expressions for messages of temporary errors."""
WHOLE = ("s3", "gcs")
"""Kinds of storage whose files appear only when whole."""
DRAFT = ".draft-"
"""First letters of drafts' names in other storage; readers of Parquet folders ignore them."""

Result = TypeVar("Result")


def is_uri(name: str | Path) -> bool:
    """Whether a name is a URI and no local path."""
    return "://" in str(name)


def absolute(name: str | Path) -> str:
    """A URI unchanged, a local path made absolute: workers run in other folders."""
    return str(name) if is_uri(name) else os.path.abspath(name)  # noqa: PTH100 (keeps links)


def join(folder: str, name: str) -> str:
    """A file or folder in a folder; an absolute name or a URI stands alone."""
    if is_uri(name) or name.startswith("/"):
        return name
    return f"{folder.rstrip('/')}/{name}" if is_uri(folder) else os.path.join(folder, name)  # noqa: PTH118


def parent(name: str) -> str:
    """The folder of a file or folder."""
    return name.rstrip("/").rsplit("/", 1)[0] if is_uri(name) else str(Path(name).parent)


def filesystem(name: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URI or path, and the path in it; GeoclipError for an unknown scheme."""
    if not is_uri(name):
        return fs.LocalFileSystem(), absolute(name)
    scheme, _, rest = name.partition("://")
    return _remote(scheme, rest.split("/")[0]), rest.rstrip("/")


class S3(fs.S3FileSystem):  # type: ignore[misc]  # pyarrow has no types
    """S3 whose calls the AWS library retries, `ATTEMPTS` times instead of three.

    Its options are those of pyarrow's class, which forgets the attempts when pickled.
    """

    def __init__(self, **options: Any) -> None:
        attempts = fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)
        super().__init__(retry_strategy=attempts, **options)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _s3, super().__reduce__()[1]


def _s3(options: dict[str, Any]) -> S3:
    return S3(**options)


class FsspecHandler(fs.FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types
    """pyarrow's handler for fsspec, with retries of temporary failures.

    A folder that cannot be listed is an error: fsspec's own `find` treats it as empty, and photos
    would be silently lost.
    """

    def _list(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        folder = selector.base_dir
        self.fs.invalidate_cache()
        try:
            entries = self.fs.ls(folder, detail=True)
        except FileNotFoundError:
            if selector.allow_not_found:
                return []
            raise
        infos = []
        for entry in entries:
            if entry["name"].strip("/") == folder.strip("/"):  # some list the folder itself too
                continue
            infos.append(self._create_file_info(entry["name"], entry))
            if selector.recursive and entry["type"] == "directory":
                inner = fs.FileSelector(entry["name"], recursive=True)
                infos += self.get_file_info_selector(inner)
        return infos

    def _retried(self, method: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        return _patient(_says_it_passes)(method, self, *arguments, **options)

    get_file_info_selector = partialmethod(_retried, _list)


for _name in (
    *("get_file_info", "create_dir", "delete_dir", "delete_dir_contents", "delete_file", "move"),
    *("copy_file", "open_input_stream", "open_input_file", "open_output_stream"),
):
    _method = getattr(fs.FSSpecHandler, _name)
    setattr(FsspecHandler, _name, partialmethod(FsspecHandler._retried, _method))


@cache
def _remote(scheme: str, bucket: str) -> fs.FileSystem:
    """The file system of a bucket, with retries of temporary failures.

    Ray Data retries its writes, but not its checkpoints.
    """
    try:
        system, _ = fs.FileSystem.from_uri(f"{scheme}://{bucket}")
    except pa.ArrowInvalid:
        try:
            return fs.PyFileSystem(FsspecHandler(url_to_fs(f"{scheme}://{bucket}")[0]))
        except (ValueError, ImportError) as problem:
            raise GeoclipError(
                f"{scheme}:// cannot be read ({problem}): use a scheme that pyarrow or an "
                "installed fsspec package knows."
            ) from None
    if isinstance(system, fs.S3FileSystem):
        return S3(**system.__reduce__()[1][0])  # with pyarrow's endpoint and region
    return system


def read_bytes(name: str) -> bytes:
    """The content of a file; raises OSError if it is absent or stays unreachable."""
    system, path = filesystem(name)

    def read() -> bytes:
        with system.open_input_stream(path) as stream:
            return bytes(stream.read())

    return attempted(read)


def read_parquet(
    name: str | Path, columns: list[str] | None, what: str, made_by: str
) -> pd.DataFrame:
    """A Parquet file or folder of parts, a path or URI, or some of its columns.

    Raises GeoclipError, which names its content (`what`) and its maker (`made_by`), if it is
    unreadable or lacks a column.
    """
    system, path = filesystem(str(name))
    try:
        return pq.read_table(path, columns=columns, filesystem=system).to_pandas()
    except (OSError, pa.ArrowException) as problem:
        reason = str(problem).splitlines()[0].rstrip(".")
        raise GeoclipError(
            f"{name} is no readable table of {what} ({reason}); make it with {made_by}."
        ) from problem


def write_bytes(name: str, content: bytes | pa.Buffer) -> None:
    """Write a file, whole or not at all, and its folder; raises OSError on failure."""
    system, path = filesystem(name)
    folder, slash, base = path.rpartition("/")
    other = f"{folder}{slash}{DRAFT}{base}-{uuid4().hex}"
    draft = path if system.type_name in WHOLE else other

    def write() -> None:
        system.create_dir(folder or ".", recursive=True)
        with system.open_output_stream(draft) as stream:
            stream.write(content)
        if draft != path:
            system.move(draft, path)

    attempted(write)


def is_draft(name: str) -> bool:
    """Whether a file was left by `write_bytes` when its process died."""
    return name.rsplit("/", 1)[-1].startswith(DRAFT)


def attempted(call: Callable[[], Result]) -> Result:
    """The result of `call`; a temporary OSError repeats it, for some seconds in all."""
    return _patient(_may_pass)(call)


def resumed(start: Callable[[], Iterator[Result]]) -> Iterator[Result]:
    """The values of `start()`; after a temporary OSError it resumes where it was."""
    done = 0
    for attempt in _patient(_may_pass):
        with attempt:
            for item in islice(start(), done, None):
                done += 1
                yield item


def _patient(passes: Callable[[BaseException], bool]) -> Retrying:
    """Repeats a call while its failure `passes`, up to `ATTEMPTS` times."""
    return Retrying(
        retry=retry_if_exception(passes),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=FIRST_WAIT),
        reraise=True,
    )


def _may_pass(problem: BaseException) -> bool:
    lasts = isinstance(problem, FINAL) or says_expired(problem)
    return isinstance(problem, OSError) and not lasts


def _says_it_passes(problem: BaseException) -> bool:
    said = f"{type(problem).__name__}: {problem}"
    return not isinstance(problem, FINAL) and any(re.search(sign, said) for sign in TRANSIENT)


def exists(name: str) -> bool:
    """Whether a file or folder exists."""
    system, path = filesystem(name)
    return bool(system.get_file_info(path).type != fs.FileType.NotFound)


def list_files(name: str) -> list[fs.FileInfo]:
    """The files below a folder, or the file itself, in order of their names; [] for none.

    Their `path` is a path in the folder's file system.
    """
    system, path = filesystem(name)
    own = system.get_file_info(path)
    if own.type == fs.FileType.File:
        return [own]
    found = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return sorted((f for f in found if f.type == fs.FileType.File), key=lambda f: f.path)


def local_copy(name: str | Path) -> Path:
    """A folder on this machine's disk: itself if local, else fetched once per machine.

    It is fetched anew when a file in it changes. Raises GeoclipError if there is none.
    """
    if not is_uri(name):
        return Path(name)
    system, path = filesystem(str(name))
    files = list_files(str(name))
    if not files:
        raise GeoclipError(f"{name} holds no file: check the address.")
    state = repr((str(name), [(f.path, f.size, f.mtime_ns) for f in files]))
    home = Path(tempfile.gettempdir()) / f"geoclip-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    kept = home / hashlib.sha256(state.encode()).hexdigest()[:20]
    if not kept.is_dir():
        draft = Path(tempfile.mkdtemp(dir=home))
        fs.copy_files(path, str(draft), source_filesystem=system)
        try:
            draft.rename(kept)
        except OSError:  # another worker was faster
            shutil.rmtree(draft)
    return kept


def store_folder(folder: Path, name: str, last: str | None = None) -> None:
    """Copy a local folder to storage, its file `last` after all others.

    An older file of that name is deleted first: it never stands beside half-new others.
    """
    system, path = filesystem(name)
    system.create_dir(path, recursive=True)
    if last and exists(join(name, last)):
        system.delete_file(f"{path}/{last}")
    for file in sorted(folder.iterdir(), key=lambda file: (file.name == last, file.name)):
        target = f"{path}/{file.name}"
        fs.copy_files(str(file), target, destination_filesystem=system)
