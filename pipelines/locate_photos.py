"""Locate photos on a Ray cluster: one actor pool that loads the model once.

    python -m pipelines.locate_photos --photos INPUT --model NAME --out OUT

INPUT is a folder, a CSV table, a Parquet file or a tar shard, as a path or URI, and may be repeated
(see `pipelines.inputs`). OUT is a folder of Parquet parts, with a ledger of the unreadable photos
beside it; the same command resumes a stopped run. If OUT ends in .parquet, .csv, .geojson or .gpkg
the output is one file, made in one go: for small jobs.

Views that share a `location_id` get one answer. The output has the columns of `guesses.schema`,
those of `rows.CLASS_COLUMNS`, photo_id, location_id and message; an unreadable photo has one row
with its status.

With `--gallery DIR`, a gallery or a folder of them (shards), the rows are those of `geoclip locate
--gallery DIR --gps ignore --evidence off`: actors hold the shards and search them for all photos.
The columns of `schema.GALLERY_COLUMNS` then replace those of `rows.CLASS_COLUMNS`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa
import ray
import typer

from geoclip.commands.options import (
    CompileOption,
    ExcludeOption,
    MethodOption,
    PointOption,
    Precision,
    PrecisionOption,
)
from geoclip.encoders.registry import check_model_name
from geoclip.guesses.failures import Failure, failures_path, write_failures
from geoclip.guesses.guess_files import ENDINGS
from geoclip.guesses.writer import GuessWriter, arrow_schema
from geoclip.photos.folder_rules import FolderRules
from geoclip.places.gazetteer import Gazetteer
from pipelines.cluster import check_lasting, ray_session
from pipelines.command_line import Actors, Gpus, Inputs, Model, Places, run
from pipelines.embed_places import embed_places
from pipelines.gallery_locator import answering
from pipelines.inference_runs import begun, complete, settled
from pipelines.inputs import photo_parts
from pipelines.outputs import Output, data_context
from pipelines.photo_actors import Pool
from pipelines.photo_locator import LocatorSpec
from pipelines.photo_source import Part
from pipelines.photo_stages import on_actors
from pipelines.storage import absolute, is_uri, join, parent


def locate_into(out: str, parts: Sequence[Part], spec: LocatorSpec, pool: Pool) -> Output:
    """Locate into a folder, resuming a stopped run."""
    output = Output(absolute(out))
    pool = begun(output, spec.model, parts, pool, spec.about(), spec.check_encoder)
    with answering(spec, pool) as (kind, arguments, left):
        complete(output, parts, kind, arguments, arrow_schema(kind.extra), left)
    return output


def locate_to_file(out: Path, parts: Sequence[Part], spec: LocatorSpec, pool: Pool) -> str:
    """Locate into one file by its ending, with a ledger beside it; prints a summary."""
    located, extra = in_memory(parts, spec, pool)
    located = located.sort_values(["photo_id", "rank"])
    with GuessWriter(out, out.with_name(f".{out.name}-draft"), extra) as writer:
        writer.write(located)
    unread = located[(located["status"] != "ok") & (located["rank"] == 1)]
    columns = (unread[name] for name in ("path", "status", "message"))
    entries = [Failure(*row) for row in zip(*columns, strict=True)]
    ledger = failures_path(out)
    if entries or ledger.exists():
        write_failures(entries, ledger)
    where = f" ({ledger})" if entries else ""
    count = located["photo_id"].nunique()
    return f"{count:,} photos in {out}; {len(entries):,} could not be read{where}."


def in_memory(
    parts: Sequence[Part], spec: LocatorSpec, pool: Pool
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The guesses for all parts as one unsorted table, and its columns after the schema's."""
    spec.about()  # refuses incompatible settings
    pool, key = settled(spec.model, parts, pool)
    spec.check_encoder(key)
    with answering(spec, pool) as (kind, arguments, left), data_context():
        blocks = on_actors(parts, kind, arguments, left).to_arrow_refs()
        none = arrow_schema(kind.extra).empty_table().drop("geometry")
        tables = [none, *(table for table in ray.get(blocks) if table.num_rows)]
    table = pa.concat_tables(table.select(none.column_names) for table in tables)
    return table.to_pandas(), kind.extra


def main(
    *,
    photos: Inputs,
    model: Model,
    out: Annotated[str, typer.Option(help="A folder or URI, or one file by its ending.")],
    actors: Actors = 2,
    gpus: Gpus = 0,
    gazetteer: Places = None,
    index: Annotated[
        str | None,
        typer.Option(help="Folder or URI of the place index (default: places beside OUT)."),
    ] = None,
    gallery: Annotated[
        list[str] | None,
        typer.Option(help="A gallery to use, or a folder of them; may be repeated."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Guesses for each photo.")] = 5,
    method: MethodOption = None,
    point: PointOption = None,
    precision: PrecisionOption = Precision.auto,
    compile: CompileOption = False,
    exclude: ExcludeOption = None,
) -> None:
    """Locate photos from the command line."""
    check_model_name(model)
    check_lasting(out)
    Gazetteer.read(gazetteer).check_has_positions()
    one_file = not is_uri(out) and out.lower().endswith(ENDINGS)
    output = Output(absolute(out))
    listed = partial(photo_parts, photos, actors, rules=FolderRules(tuple(exclude or ())))
    parts = listed() if one_file else listed(output.done(), output.ids_besides)
    index = index or join(parent(absolute(out)), "places")
    with ray_session(decoding=gpus > 0):
        pool = Pool(actors, gpus, precision=precision.value, compile=compile)
        embed_places(model, index, gazetteer, actors=actors, gpus=gpus, precision=pool.precision)
        spec = LocatorSpec.of(model, index, gazetteer, top_k=top_k, galleries=gallery or ())
        spec = spec.reranked(method, point)
        if one_file:
            print(locate_to_file(Path(out), parts, spec, pool))
        else:
            print(locate_into(out, parts, spec, pool).summary())


if __name__ == "__main__":
    run(main)
