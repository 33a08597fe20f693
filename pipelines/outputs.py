"""A run's output: Parquet files in a folder, and the failures beside it.

During a run `OUT` holds pieces, whose footers list the finished photos, and at the end files of
about 100,000 rows, shard by shard. `OUT-ledger` has a file for each of these with failures;
`OUT-checkpoint` notes how the rows were made. The order of rows is not fixed: sort by photo_id (and
rank).
"""

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.data import DataContext, Dataset, Datasink
from ray.data.block import Block

from geoclip.errors import GeoclipError
from pipelines.listed_paths import ListedPaths
from pipelines.part_files import PartFile, Piece, cut, merge, photo_ids, read_parts, write_part
from pipelines.photo_source import ListedPhotos, Part
from pipelines.spans import Done, Span, spans_of
from pipelines.storage import TRANSIENT, exists, is_draft, parent, read_bytes, write_bytes
from pipelines.stored_folders import delete_files, delete_folder, list_names, move_files

BLOCK_BYTES = 32 * 1024 * 1024
"""Bytes of a block between two steps: small, as a lost worker loses a block."""
IO_CPUS = 0.25
"""CPUs of a task that reads or writes: it mostly waits, and must find room beside actors.

Not less: Ray starts a process for each concurrent task, and a start takes seconds.
"""


@dataclass(frozen=True)
class Output:
    """The output folder `name` (a local path or a URI) of one run and its resumed runs."""

    name: str

    @property
    def failures(self) -> str:
        """The file of failures."""
        return f"{self.name}-ledger"

    @property
    def checkpoint(self) -> str:
        """The file of notes: how the rows were made, and pending replacements of files."""
        return f"{self.name}-checkpoint"

    @property
    def _merged(self) -> tuple[str, str, str]:
        """Folders of merged files and their failures, and the names of the files to replace."""
        folder = f"{self.checkpoint}/merged"
        return f"{folder}/rows", f"{folder}/failures", f"{folder}/replaced.json"

    def noted(self) -> dict[str, Any]:
        """The notes of a begun run; empty if there is none."""
        note = f"{self.checkpoint}/run.json"
        found: dict[str, Any] = json.loads(read_bytes(note)) if exists(note) else {}
        return found

    def begin(self, about: dict[str, Any]) -> None:
        """Note how the rows are made (`about`), so that only an equal run resumes this one.

        Raises GeoclipError if the folder holds other content.
        """
        before = self.noted()
        if not before:
            if list_names(self.name):
                raise GeoclipError(
                    f"{self.name} holds files, but {self.checkpoint} does not say of which run: "
                    "name another --out."
                )
            note = f"{self.checkpoint}/run.json"
            write_bytes(note, json.dumps(about, indent=2).encode())
            return
        changed = [key for key in about if before.get(key) != json.loads(json.dumps(about[key]))]
        if changed:
            raise GeoclipError(
                f"{self.name} was begun with another {', '.join(changed)}: give the same again, "
                f"or name another --out."
            )

    def done(self) -> Done:
        """The finished parts; no row is read. Raises GeoclipError for foreign files."""
        return Done(span for file in read_parts(self.name) for span in file.spans)

    def ids_besides(self, shards: Container[str]) -> Iterator[str]:
        """The ids of finished photos, except those of some shards."""
        yield from photo_ids(self.name, read_parts(self.name), shards)

    def complete(
        self,
        parts: Sequence[Part],
        work: Callable[[Sequence[Part]], Dataset],
        schema: pa.Schema,
        piece_rows: int,
    ) -> None:
        """Write the rows that `work` makes from unfinished parts, and merge all files.

        `work` returns the columns of `schema`, with `photo_id` and `status` among them, and
        `origin` (as `photo_source.ORIGIN`). Rows wait until there are `piece_rows`; a killed run
        redoes waiting rows and the actors' current work.
        """
        self._replace()
        left = self._left(parts, self._up_to_date(parts))
        if left:
            with data_context():
                rows, sink = work(left), PieceSink(self.name, schema, piece_rows)
                rows.write_datasink(sink, ray_remote_args={"num_cpus": IO_CPUS})
        self._merge([file for file in read_parts(self.name) if not file.is_merged])
        delete_files(self.name, filter(is_draft, list_names(self.name)))

    def _left(self, parts: Sequence[Part], files: Sequence[PartFile]) -> list[Part]:
        """The rest of the parts, beyond the existing files."""
        done = Done(span for file in files for span in file.spans)
        listed = any(isinstance(part, ListedPhotos | ListedPaths) for part in parts)
        with_listed = [file for file in files if any(not span.shard.name for span in file.spans)]
        ids = set(photo_ids(self.name, with_listed)) if listed else set()
        rest = (
            part.without(ids) if isinstance(part, ListedPhotos | ListedPaths) else done.rest(part)
            for part in parts
        )
        return [part for part in rest if part is not None]

    def _up_to_date(self, parts: Sequence[Part]) -> list[PartFile]:
        """The existing files, after removing outdated rows of shards.

        Changed shards lose all rows, unreachable ones only the note of it.
        """
        files = read_parts(self.name)
        done = Done(span for file in files for span in file.spans)
        shards = {part.shard for part in parts if part.shard is not None}
        gone = {shard.name for shard in shards if done.is_outdated(shard)}
        tried = {shard.name for shard in shards}

        def is_old(span: Span) -> bool:
            return span.shard.name in gone or (span.is_open and span.shard.name in tried)

        old = [file for file in files if any(map(is_old, file.spans))]
        self._merge(old, lambda piece: not is_old(piece.span))
        return read_parts(self.name) if old else files

    def _merge(
        self, files: Sequence[PartFile], keep: Callable[[Piece], bool] = lambda piece: True
    ) -> None:
        """Merge files, and pieces to `keep`, into fewer and larger files."""
        if not files:
            return
        rows, failures, note = self._merged
        delete_folder(parent(note))
        pieces = [piece for file in files for piece in file.pieces if keep(piece)]
        ray.get([_merge.remote(self.name, some, rows, failures) for some in cut(pieces)])
        write_bytes(note, json.dumps([file.name for file in files]).encode())
        self._replace()

    def _replace(self) -> None:
        """Put merged files, if they are complete, in place of the old ones.

        Old files go first, so that a killed run never leaves a row twice; the next run resumes
        this.
        """
        rows, failures, note = self._merged
        if not exists(note):
            return
        replaced = json.loads(read_bytes(note))
        for folder in (self.name, self.failures):
            delete_files(folder, replaced)
        move_files(failures, self.failures)
        move_files(rows, self.name)
        delete_folder(parent(note))

    def summary(self) -> str:
        """The number of photos, and of unreadable ones."""
        done = self.done()
        where = f" ({self.failures})" if done.failed else ""
        return f"{done.photos:,} photos in {self.name}; {done.failed:,} could not be read{where}."


@ray.remote(num_cpus=1)  # for the memory of one file each
def _merge(folder: str, pieces: Sequence[Piece], rows_to: str, failures_to: str) -> None:
    merge(folder, pieces, rows_to, failures_to)


class PieceSink(Datasink[None]):
    """Writes incoming rows as a piece with its spans, once there are enough."""

    def __init__(self, folder: str, schema: pa.Schema, rows: int) -> None:
        self.folder = folder
        self.schema = schema
        self.rows = rows

    @property
    def min_rows_per_write(self) -> int:
        """The number of rows before a write."""
        return self.rows

    def write(self, blocks: Iterable[Block], ctx: Any) -> None:
        """Write blocks, in order, as one file."""
        tables = [table for table in blocks if table.num_rows]
        if tables:
            table = pa.concat_tables(tables)
            rows = table.select(self.schema.names).cast(self.schema)
            write_part(self.folder, rows, spans_of(table))


@contextmanager
def data_context() -> Iterator[None]:
    """Ray Data's settings for datasets made within this context."""
    context = DataContext.get_current().copy()
    context.target_max_block_size = BLOCK_BYTES
    context.use_datasource_v2 = False  # v2 starts 32 actors for every Parquet folder
    context.retried_io_errors = [*context.retried_io_errors, *TRANSIENT]
    with DataContext.current(context):
        yield
