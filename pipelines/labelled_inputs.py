"""Inputs of training photos: tables, folders, tar shards and Parquet files.

Each input is a local path or a URI. CSV tables are those of `photos.photo_table`; their paths may
be URIs. Photos in folders have their stated position, if it is trustworthy. In tar shards
(WebDataset) a `.json` beside the picture has `lat` and `lon`; in Parquet files columns have them.
Both may have `country_code`, `location_id`, `split` and `source` too. Equal location ids mean one
location in all inputs. The source of a photo without one is its folder's name.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from geoclip.photos.photo_table import COLUMNS, read_photo_table
from pipelines.inputs import (
    add_files,
    fetch_table,
    no_photo_in,
    refuse_repeats,
    resolved,
    shard_parts,
)
from pipelines.labelled_photos import READERS, LabelledPart, StatedPhotos, table_parts
from pipelines.labelled_shards import LabelledRows, LabelledTar, lacking_labels
from pipelines.listed_paths import PathPacker
from pipelines.photo_source import Part, Shard
from pipelines.storage import is_uri, parent
from pipelines.tar_photos import TarShard
from pipelines.unread_files import refuse_odd_alone


def labelled_parts(inputs: Sequence[str | Path]) -> list[LabelledPart]:
    """The photos of all inputs; folders and shards are read with their parts.

    Raises GeoclipError as `read_photo_table` does, and for an input without photos.
    """
    paths, shards, tables = PathPacker(), list[Shard](), list[str]()
    for name in map(str, inputs):
        if name.lower().endswith(".csv"):
            tables.append(name)
        elif not add_files(name, paths, shards):
            raise no_photo_in(name)
    refuse_repeats([shard.name for shard in shards])
    table, stated = _read_tables(tables), paths.parts(READERS)

    def other_ids() -> Iterator[list[str]]:
        yield table["photo_id"].tolist()
        yield from (part.ids for part in stated)

    rows = shard_parts(shards, shards, other_ids, lacking=lacking_labels)
    if not len(table) and not stated:
        refuse_odd_alone(rows)
    photos = table_parts(table)
    return [*photos, *map(StatedPhotos, stated), *map(_labelled_shard, rows)]


def _labelled_shard(part: Part) -> LabelledPart:
    return LabelledTar(part.shard.name) if isinstance(part, TarShard) else LabelledRows(part)


def _read_tables(names: Sequence[str]) -> pd.DataFrame:
    """The photos of tables; an empty table if there are none."""
    if not names:
        return pd.DataFrame(columns=list(COLUMNS))
    with tempfile.TemporaryDirectory() as folder:
        homes: dict[Path, str] = {}
        files = []
        for number, name in enumerate(names):
            if is_uri(name):
                home = Path(folder) / str(number)
                home.mkdir()
                homes[home] = parent(name)
                files.append(fetch_table(name, home))
            else:
                files.append(Path(name))

        def resolve(text: str, home: Path) -> str:
            return resolved(text, homes.get(home, os.fspath(home.absolute())))

        return read_photo_table(files, resolve=resolve)
