"""Name the classes of photos on a Ray cluster, by a table of any levels (kingdom … species, say).

    python -m pipelines.classify_photos --photos INPUT --model NAME --gazetteer TABLE.csv --out OUT

TABLE.csv has the format of `geoclip.places.level_table`, INPUT and OUT that of
`pipelines.locate_photos`; OUT is a folder of Parquet parts with the columns of
`guesses.class_guesses`, photo_id, location_id and message. The classes are embedded first, as
`pipelines.embed_places` does. Views that share a `location_id` get one answer. The same command
resumes a stopped run; `pipelines.evaluate_guesses` measures its output.
"""

from collections.abc import Iterator
from typing import Annotated

import pyarrow as pa
import typer

from geoclip.commands.options import ExcludeOption
from geoclip.encoders.registry import check_model_name
from geoclip.guesses.class_guesses import class_columns, class_guesses
from geoclip.photos.folder_rules import FolderRules
from geoclip.places.gazetteer import Gazetteer
from pipelines.cluster import check_lasting, ray_session
from pipelines.command_line import Actors, Gpus, Inputs, Model, OutFolder, Places, run
from pipelines.embed_places import embed_places
from pipelines.inference_runs import begun, complete
from pipelines.inputs import photo_parts
from pipelines.outputs import Output
from pipelines.photo_actors import Pool
from pipelines.photo_locator import LocatorSpec, PhotoLocator, views_of
from pipelines.photo_source import with_origins
from pipelines.storage import absolute, join, parent

EXTRA = dict.fromkeys(["photo_id", "location_id", "message"], "str")
"""Columns after those of the guesses."""
TYPES = {"str": pa.string(), "int64": pa.int64(), "float64": pa.float64()}


def class_schema(gazetteer: Gazetteer) -> pa.Schema:
    """The columns of the output for the levels of a table."""
    columns = {**class_columns(gazetteer.level_names), **EXTRA}
    return pa.schema([(name, TYPES[dtype]) for name, dtype in columns.items()])


class PhotoClassifier(PhotoLocator):
    """Names the classes of blocks of locations with their views."""

    def __init__(self, spec: LocatorSpec, confidence: float, pool: Pool) -> None:
        super().__init__(spec, pool)
        self.confidence = confidence
        self.schema = class_schema(self.locator.gazetteer)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Rows from `on_actors` → guesses and their origins, some locations at a time."""
        for rows, found in self.embedded(batch):
            views = views_of(rows)
            guesses = class_guesses(
                self.locator.ranker, found, self.top_k, self.confidence, views["row"].tolist()
            )
            named = guesses.drop(columns="path").assign(photo_id=guesses["path"])
            messages = named["photo_id"].map(found.messages).fillna("")
            table = named.assign(message=messages).merge(views, on="photo_id")
            made = pa.Table.from_pandas(table[self.schema.names], self.schema, preserve_index=False)
            yield with_origins(made, rows)


def main(
    *,
    photos: Inputs,
    model: Model,
    gazetteer: Places,
    out: OutFolder,
    actors: Actors = 2,
    gpus: Gpus = 0,
    index: Annotated[
        str | None,
        typer.Option(help="Folder or URI of the index of classes (default: places beside OUT)."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Guesses for each photo.")] = 5,
    confidence: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Answer at the deepest level whose class has at least this probability.",
        ),
    ] = 0.5,
    exclude: ExcludeOption = None,
) -> None:
    """Name classes from the command line."""
    check_model_name(model)
    check_lasting(out)
    table = Gazetteer.read(gazetteer)
    output = Output(absolute(out))
    rules = FolderRules(tuple(exclude or ()))
    parts = photo_parts(photos, actors, output.done(), output.ids_besides, rules)
    index = index or join(parent(absolute(out)), "places")
    with ray_session(decoding=gpus > 0):
        embed_places(model, index, gazetteer, actors=actors, gpus=gpus)
        spec = LocatorSpec.of(model, index, gazetteer, top_k=top_k)
        about = {"places": spec.index_key, "confidence": confidence, "top_k": top_k}
        pool = begun(output, spec.model, parts, Pool(actors, gpus), about)
        complete(output, parts, PhotoClassifier, (spec, confidence), class_schema(table), pool)
        print(output.summary())


if __name__ == "__main__":
    run(main)
