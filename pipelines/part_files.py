"""The Parquet files of an output, each with its spans in its footer."""

import hashlib
import json
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby, pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geoclip.errors import GeoclipError
from pipelines.spans import READ, Span, joined
from pipelines.storage import attempted, filesystem, is_draft, join, write_bytes
from pipelines.stored_folders import FILES_AT_ONCE, list_names

SPANS = b"geoclip.spans"
"""The key of a file's spans in its footer."""
MERGED = "part-"
"""First letters of merged files' names."""
ROWS = 100_000
"""Approximate rows of a final file."""
MOST_ROWS = ROWS * 3 // 2
"""Most rows of a file before the next shard goes to another."""
FAILURE = ["photo_id", "path", "status", "message"]


@dataclass(frozen=True)
class PartFile:
    """A file of an output folder, by its name in it, and its spans in the order of its rows."""

    name: str
    spans: Sequence[Span]

    @property
    def is_merged(self) -> bool:
        """Whether it was merged from pieces."""
        return self.name.startswith(MERGED)

    @property
    def pieces(self) -> "list[Piece]":
        """The same as rows of the file for each span."""
        stops = list(accumulate(span.rows for span in self.spans))
        return [
            Piece(self.name, range(stop - span.rows, stop), span)
            for stop, span in zip(stops, self.spans, strict=True)
        ]


@dataclass(frozen=True)
class Piece:
    """Rows of a file that hold one span."""

    file: str
    rows: range
    span: Span


def read_parts(folder: str) -> list[PartFile]:
    """The files of an output folder; no row is read.

    Raises GeoclipError for a foreign file, or one from an earlier version.
    """
    names = [name for name in list_names(folder) if not is_draft(name)]
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        return list(pool.map(partial(_read_part, folder), names))


def _read_part(folder: str, name: str) -> PartFile:
    system, path = filesystem(join(folder, name))
    try:
        footer = attempted(lambda: pq.read_metadata(path, filesystem=system))
        spans = json.loads(footer.metadata[SPANS])
    except (pa.ArrowInvalid, KeyError, TypeError):
        raise GeoclipError(
            f"{join(folder, name)} was not made by this version: name another --out, or move the "
            f"file away."
        ) from None
    return PartFile(name, [Span.of_values(values) for values in spans])


def write_part(folder: str, rows: pa.Table, spans: Sequence[Span]) -> None:
    """Write rows as they come, a row group per span, in a file named by its content.

    Writing the same photos again gives the same file.
    """
    ids = hashlib.sha256("\0".join(rows["photo_id"].to_pylist()).encode())
    stops = list(accumulate((span.rows for span in spans), initial=0))
    groups = [rows[start:stop] for start, stop in pairwise(stops)]
    write_bytes(join(folder, f"piece-{ids.hexdigest()[:20]}.parquet"), encoded(groups, spans))


def encoded(groups: Sequence[pa.Table], spans: Sequence[Span]) -> pa.Buffer:
    """A Parquet file of row groups that hold spans."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, groups[0].schema) as writer:
        for group in groups:
            writer.write_table(group)
        text = json.dumps([span.values() for span in spans], ensure_ascii=False)
        writer.add_key_value_metadata({SPANS: text})
    return sink.getvalue()


def cut(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces for one file each, of about `ROWS` rows: whole shards, if they are not larger."""
    order = sorted(pieces, key=lambda p: (p.span.shard.name, p.span.start, p.file, p.rows.start))
    waiting: list[Piece] = []
    rows = 0
    for _, grouped in groupby(order, lambda piece: piece.span.shard.name):
        shard = list(grouped)
        if waiting and rows + sum(len(piece.rows) for piece in shard) > MOST_ROWS:
            yield waiting
            waiting, rows = [], 0
        for piece in shard:
            waiting.append(piece)
            rows += len(piece.rows)
            if rows >= ROWS:
                yield waiting
                waiting, rows = [], 0
    if waiting:
        yield waiting


def merge(folder: str, pieces: Sequence[Piece], rows_to: str, failures_to: str) -> None:
    """Write the rows of pieces as one file to a folder, those of its failures to another."""
    table = pa.concat_tables(attempted(partial(_rows, folder, piece)) for piece in pieces)
    spans = joined(piece.span for piece in pieces)
    sources = "\0".join(f"{piece.file}\0{piece.rows}" for piece in pieces)
    name = f"{MERGED}{hashlib.sha256(sources.encode()).hexdigest()[:20]}.parquet"
    failed = table.filter(pc.not_equal(table["status"], READ)).select(FAILURE)
    failed = failed.group_by(FAILURE, use_threads=False).aggregate([])  # a photo has many ranks
    if len(failed):
        write_bytes(join(failures_to, name), encoded([failed.replace_schema_metadata()], []))
    write_bytes(join(rows_to, name), encoded([table], spans))


def _rows(folder: str, piece: Piece) -> pa.Table:
    """Read only the row groups with the rows."""
    system, path = filesystem(join(folder, piece.file))
    with system.open_input_file(path) as stream:
        file = pq.ParquetFile(stream, pre_buffer=True)
        counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        stops = list(accumulate(counts, initial=0))
        wanted = [
            i
            for i in range(len(counts))
            if stops[i] < piece.rows.stop and stops[i + 1] > piece.rows.start
        ]
        table = file.read_row_groups(wanted)
    metadata = {k: v for k, v in (table.schema.metadata or {}).items() if k != SPANS}
    table = table.replace_schema_metadata(metadata)
    return table.slice(piece.rows.start - stops[wanted[0]], len(piece.rows))


def photo_ids(
    folder: str, files: Sequence[PartFile], besides: Container[str] = ()
) -> Iterator[str]:
    """The ids of the photos in files, each once per file, except those of some shards."""

    def ids(file: PartFile) -> pa.Array:
        system, path = filesystem(join(folder, file.name))
        own = pq.read_table(path, columns=["photo_id"], filesystem=system)["photo_id"]
        wanted = [p for p in file.pieces if p.span.shard.name not in besides]
        chunks = [own.slice(p.rows.start, len(p.rows)).combine_chunks() for p in wanted]
        return pc.unique(pa.chunked_array(chunks, own.type))

    wanted = [file for file in files if any(s.shard.name not in besides for s in file.spans)]
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        for own in pool.map(ids, wanted):
            yield from own.to_pylist()
