"""Locate photos on a Ray cluster: one actor pool that loads the model once.

    python -m pipelines.locate_photos --photos INPUT --model NAME --out OUT

INPUT is a folder, a CSV table, a Parquet file or a tar shard, as a path or URI, and may be repeated
(see `pipelines.inputs`). OUT is a folder of Parquet parts, beside it a ledger of the photos that
could not be read; the same command goes on where a run was stopped. With an OUT that ends in
.parquet, .csv, .geojson or .gpkg the answer is one file, made in one go: for small jobs.

Views that share a `location_id` are answered together. The output has the columns of
`guesses.schema`, those of `rows.CLASS_COLUMNS`, photo_id, location_id and message; a
photo that cannot be read has one row with its status.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, cast

import pandas as pd
import pyarrow as pa
import ray
import typer

from geoclip.commands.options import (
    CompileOption,
    MethodOption,
    PointOption,
    Precision,
    PrecisionOption,
)
from geoclip.encoders import Encoder
from geoclip.encoders.registry import check_model_name
from geoclip.errors import GeoclipError
from geoclip.guesses.failures import Failure, failures_path, write_failures
from geoclip.guesses.guess_files import ENDINGS
from geoclip.guesses.rows import CLASS_COLUMNS
from geoclip.guesses.writer import GuessWriter, arrow_guesses, arrow_schema
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.settings import RankingSettings
from pipelines.cluster import absolute_model, check_lasting, ray_session
from pipelines.command_line import Actors, Gpus, Inputs, Model, Places, run
from pipelines.embed_places import embed_places
from pipelines.inference_runs import begun, complete, settled
from pipelines.inputs import photo_parts
from pipelines.outputs import Output, data_context
from pipelines.photo_actors import Pool, embedded_photos, model_settings
from pipelines.photo_source import Part, with_origins
from pipelines.photo_stages import on_actors
from pipelines.storage import absolute, is_uri, join, local_copy, parent

EXTRA = dict.fromkeys([*CLASS_COLUMNS, "photo_id", "location_id", "message"], "str")
"""Columns behind those of the guesses, with their dtypes."""


@dataclass(frozen=True)
class LocatorSpec:
    """What every PhotoLocator of a job is made with; paths are absolute."""

    model: str
    index: str
    index_key: str
    gazetteer: Path | None
    settings: RankingSettings
    top_k: int

    @classmethod
    def of(
        cls,
        model: str,
        index: Path | str,
        gazetteer: Path | None = None,
        settings: RankingSettings | None = None,
        top_k: int = 5,
    ) -> "LocatorSpec":
        """That of a model, ranked as it says unless told otherwise, and a place index on storage.

        Raises GeoclipError where the index cannot be read.
        """
        model, index = absolute_model(model), absolute(index)
        key = PlaceIndex.read(local_copy(index)).key
        settings = settings or model_settings(model).ranking
        return cls(model, index, key, gazetteer and gazetteer.absolute(), settings, top_k)

    def reranked(self, method: str | None = None, point: str | None = None) -> "LocatorSpec":
        """The same with another method or point; see `RankingSettings.overridden`."""
        return replace(self, settings=self.settings.overridden(method, point))


class PhotoLocator:
    """Locates blocks of locations, each with its views; raises GeoclipError for another index."""

    def __init__(self, spec: LocatorSpec, pool: Pool) -> None:
        self.embedded = embedded_photos(spec.model, pool)
        places, index = Gazetteer.read(spec.gazetteer), PlaceIndex.read(local_copy(spec.index))
        if index.key != spec.index_key:
            raise GeoclipError(
                f"{spec.index} holds another place index than when this job began; jobs of "
                "different models or gazetteers need an --index of their own."
            )
        encoder = cast(Encoder, self.embedded.encoder)  # of which ranking takes the logit scale
        self.locator = Locator(encoder, index, places, spec.settings)
        self.top_k = spec.top_k

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Rows as of `on_actors` → guesses and their origins, some locations at a time."""
        for rows, found in self.embedded(batch):
            views = pd.DataFrame(
                [
                    (v["photo_id"], v["path"], row["location_id"], row["photo_id"])
                    for row in rows
                    for v in row["views"]
                ],
                columns=["photo_id", "path", "location_id", "row"],
            )
            # A row is a location; the same location_id in another row is another file's.
            ids = views["row"].tolist()
            yield with_origins(answers(self.locator, found, views, ids, self.top_k), rows)


def answers(
    locator: Locator,
    found: Embeddings,
    views: pd.DataFrame,
    keys: Sequence[str] | None = None,
    top_k: int = 5,
) -> pa.Table:
    """Guesses for photos (photo_id, path, location_id) whose embeddings have their ids as names.

    Photos of one key, by default of one location_id, get one guess. The rows are in order.
    """
    ids = views["location_id"].tolist() if keys is None else keys
    guesses = locator.guesses(found, top_k, ids, classes=True)
    messages = views["photo_id"].map(lambda photo: found.messages.get(photo, ""))
    of_views = views[["photo_id", "path", "location_id"]].assign(message=messages)
    table = guesses.rename(columns={"path": "photo_id"})
    return arrow_guesses(table.merge(of_views, on="photo_id"), EXTRA)


def locate_into(out: str, parts: Sequence[Part], spec: LocatorSpec, pool: Pool) -> Output:
    """Locate into a folder, going on where a run was stopped."""
    output = Output(absolute(out))
    about = {"places": spec.index_key, "ranking": asdict(spec.settings), "top_k": spec.top_k}
    pool = begun(output, spec.model, parts, pool, about)
    complete(output, parts, PhotoLocator, (spec,), arrow_schema(EXTRA), pool)
    return output


def locate_to_file(out: Path, parts: Sequence[Part], spec: LocatorSpec, pool: Pool) -> str:
    """Locate into one file by its ending, with a ledger beside it; says what was done."""
    located = in_memory(parts, spec, pool).sort_values(["photo_id", "rank"])
    with GuessWriter(out, out.with_name(f".{out.name}-draft"), EXTRA) as writer:
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


def in_memory(parts: Sequence[Part], spec: LocatorSpec, pool: Pool) -> pd.DataFrame:
    """The answers of all parts as one table, in no order."""
    pool, _ = settled(spec.model, parts, pool)
    with data_context():
        blocks = on_actors(parts, PhotoLocator, (spec,), pool).to_arrow_refs()
    none = arrow_schema(EXTRA).empty_table().drop("geometry")
    tables = [none, *(table for table in ray.get(blocks) if table.num_rows)]
    return pa.concat_tables(table.select(none.column_names) for table in tables).to_pandas()


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
    top_k: Annotated[int, typer.Option(min=1, help="Guesses for each photo.")] = 5,
    method: MethodOption = None,
    point: PointOption = None,
    precision: PrecisionOption = Precision.auto,
    compile: CompileOption = False,
) -> None:
    """Locate photos from the command line."""
    check_model_name(model)
    check_lasting(out)
    Gazetteer.read(gazetteer).check_has_positions()
    one_file = not is_uri(out) and out.lower().endswith(ENDINGS)
    output = Output(absolute(out))
    parts = photo_parts(photos, actors, None if one_file else output.done())
    index = index or join(parent(absolute(out)), "places")
    with ray_session(decoding=gpus > 0):
        pool = Pool(actors, gpus, precision=precision.value, compile=compile)
        embed_places(model, index, gazetteer, actors=actors, gpus=gpus, precision=pool.precision)
        spec = LocatorSpec.of(model, index, gazetteer, top_k=top_k).reranked(method, point)
        if one_file:
            print(locate_to_file(Path(out), parts, spec, pool))
        else:
            print(locate_into(out, parts, spec, pool).summary())


if __name__ == "__main__":
    run(main)
