"""What photos to train on may be given as: tables, folders, tar shards and Parquet files.

Each input is a local path or a URI. CSV tables are those of `photos.photo_table`, their paths may
be URIs. Photos in folders have the position that they state, if that can be relied upon. In tar
shards (WebDataset) a `.json` beside the picture has `lat` and `lon`; in Parquet files columns have.
Both may have `country_code`, `location_id`, `split` and `source` too. Locations are named alike in
all inputs. A photo without a source has its folder's name as one.
"""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from geoclip.photos.photo_table import read_photo_table
from pipelines.inputs import (
    FOOTERS_AT_ONCE,
    add_files,
    fetch_table,
    no_photo_in,
    refuse_repeats,
    resolved,
)
from pipelines.labelled_photos import READERS, LabelledPart, StatedPhotos, table_parts
from pipelines.labelled_shards import LabelledRows, LabelledTar
from pipelines.listed_paths import PathPacker
from pipelines.parquet_photos import PARQUET, parquet_parts
from pipelines.photo_source import Shard
from pipelines.storage import is_uri, parent


def labelled_parts(inputs: Sequence[str | Path]) -> list[LabelledPart]:
    """The photos of all inputs; what stands in folders and shards is read where a part is.

    Raises GeoclipError as `read_photo_table` and for an input that names no photo.
    """
    paths, shards, tables = PathPacker(), list[Shard](), list[str]()
    for name in map(str, inputs):
        if name.lower().endswith(".csv"):
            tables.append(name)
        elif not add_files(name, paths, shards):
            raise no_photo_in(name)
    refuse_repeats([shard.name for shard in shards])
    is_parquet = [shard.name.lower().endswith(PARQUET) for shard in shards]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        files = pool.map(
            parquet_parts, (s for s, own in zip(shards, is_parquet, strict=True) if own)
        )
        rows = [LabelledRows(part) for parts in files for part in parts]
    tars = [LabelledTar(s.name) for s, own in zip(shards, is_parquet, strict=True) if not own]
    photos = table_parts(_read_tables(tables)) if tables else []
    parts = [*photos, *map(StatedPhotos, paths.parts(READERS)), *rows, *tars]
    if not parts:  # Parquet files without rows
        raise no_photo_in(", ".join(map(str, inputs)))
    return parts


def _read_tables(names: Sequence[str]) -> pd.DataFrame:
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
