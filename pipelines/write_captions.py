"""Captions for geotagged photos: photos and gazetteer in, Parquet out.

    python -m pipelines.write_captions --photos INPUT --out captions.parquet

INPUT is a CSV table, a folder, a Parquet file or a tar shard, as a path or URI, and may be repeated
(see `pipelines.labelled_inputs`). Each row of the output has a photo table's columns, `place_row`
and `place_id` (the nearest gazetteer city in the photo's country, or the country if only that is
known), one `caption` and the photo's `fingerprint` (see `geoclip.photos.trained_photos`); its
`path` is the address of the photo's bytes (see `pipelines.addresses`). Training draws a photo's
caption anew in every epoch; the stored one is for reading and for other programs. Absent photos,
and those of unknown place, are listed in `OUT-missing.csv` and left out. OUT is a path or a URI of
storage.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import ray
import typer

from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.tables import refuse_duplicates
from geoclip.training.photo_set import label_photos, split_photos
from pipelines.cluster import check_lasting, ray_session
from pipelines.command_line import Inputs, Places, run
from pipelines.labelled_inputs import labelled_parts
from pipelines.labelled_photos import LabelledPart, table_parts
from pipelines.storage import absolute, join, parent, read_parquet, write_bytes

PARTS_AN_ACTOR = 8


class Captioner:
    """Reads parts of photos, finds the place of each photo and draws its caption."""

    def __init__(self, gazetteer: Path | None, settings: CaptionSettings, seed: int) -> None:
        self.book = CaptionBook(Gazetteer.read(gazetteer), settings)
        self.seed = seed

    def __call__(self, batch: dict[str, Any]) -> Iterator[pd.DataFrame]:
        """The photos of parts with place_row, place_id, place_country, caption and fingerprint.

        Photos with a `problem` have none of these.
        """
        for number, part in zip(batch["number"], batch["part"], strict=True):
            photos = part.table()
            of_place = photos["problem"] == ""
            rest = photos[~of_place].assign(place_row=-1, place_id="", place_country="", caption="")
            yield pd.concat([self._captioned(photos[of_place]), rest]).assign(part=number)

    def _captioned(self, photos: pd.DataFrame) -> pd.DataFrame:
        labelled = label_photos(photos, self.book.gazetteer)
        pairs = zip(labelled["place_row"].tolist(), labelled["photo_id"], strict=True)
        captions = [self.book.draw(row, self.seed, 0, photo).text for row, photo in pairs]
        return labelled.assign(caption=captions)


def read_captions(name: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table of `write_captions`, or some of its columns; `name` is a path or URI.

    Raises GeoclipError if it is unreadable.
    """
    return read_parquet(name, columns, "captions", "pipelines.write_captions")


def write_captions(
    photos: pd.DataFrame | Sequence[LabelledPart],
    out: Path | str,
    gazetteer: Path | None = None,
    settings: CaptionSettings | None = None,
    seed: int = 0,
    held_back: float = 0.0,
) -> pd.DataFrame:
    """Write the captions of photos to Parquet and return their table.

    The photos are those of `read_photo_table` or of `labelled_parts`. `out` is a path or URI;
    `held_back` is the share of `splits.hold_back`. Raises GeoclipError if it cannot be written, for
    a repeated photo, and if no photo is left.
    """
    parts = table_parts(photos) if isinstance(photos, pd.DataFrame) else photos
    gazetteer = gazetteer and gazetteer.absolute()
    found = _captioned(parts, (gazetteer, settings or CaptionSettings(), seed))
    of_place = (found["problem"] == "").to_numpy()
    if not of_place.any():
        raise GeoclipError(
            f"The place of none of the {len(found):,} photos is known; the first one's problem "
            f"is: {''.join(found['problem'][:1])}."
        )
    table, missing = split_photos(found[of_place], seed, held_back=held_back)
    table = table.drop(columns="problem")
    left_out = pd.concat([missing.assign(problem="not there"), found[~of_place]])
    name = absolute(out)
    files = {name: table.to_parquet(index=False)}
    if len(left_out):
        listed = left_out[["photo_id", "path", "problem"]].to_csv(index=False)
        files[join(parent(name), f"{Path(name).stem}-missing.csv")] = listed.encode()
    try:
        for file, content in files.items():
            write_bytes(file, content)
    except OSError as problem:
        raise GeoclipError(f"{out} cannot be written ({problem}); name another --out.") from None
    print(f"{len(table):,} captions in {out}; {len(missing)} photos are missing.")
    if unknown := len(left_out) - len(missing):
        print(f"{unknown:,} more are of unknown place or cannot be read, see {list(files)[1]}.")
    return table


def _captioned(parts: Sequence[LabelledPart], captioner: tuple[Any, ...]) -> pd.DataFrame:
    """The results of `Captioner` for all parts, in their order."""
    items = [{"number": number, "part": part} for number, part in enumerate(parts)]
    actors = 1 + len(parts) // PARTS_AN_ACTOR
    found = (
        ray.data.from_items(items, override_num_blocks=len(items))
        .map_batches(
            Captioner,
            fn_constructor_args=captioner,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
            batch_size=1,
            num_cpus=0.5,
        )
        .to_pandas()
    )
    found = found.sort_values("part", kind="stable", ignore_index=True).drop(columns="part")
    refuse_duplicates("The photos", found["photo_id"], "photo")
    return found


def main(
    *,
    photos: Inputs,
    out: Annotated[str, typer.Option(help="A path or URI.")],
    gazetteer: Places = None,
    seed: Annotated[int, typer.Option(help="Seed of captions and splits.")] = 0,
    held_back: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.5,
            help="Share of the countries, or classes, to train on that are kept to fit a ranking.",
        ),
    ] = 0,
) -> None:
    """Write captions from the command line."""
    parts = labelled_parts(photos)
    Gazetteer.read(gazetteer)
    check_lasting(out)
    with ray_session():
        write_captions(parts, out, gazetteer, seed=seed, held_back=held_back)


if __name__ == "__main__":
    run(main)
