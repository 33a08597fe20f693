"""Captions for geotagged photos: photo table and gazetteer in, Parquet out.

    python -m pipelines.write_captions --photos photos.csv --out captions.parquet

Each row of the output has the photo table's columns, `place_row` and `place_id` (the nearest
gazetteer city in the photo's country, or the country where no more is known), one `caption` and the
photo's `fingerprint` (see `geoclip.photos.trained_photos`).
Training draws a photo's caption anew in every epoch; the stored one is for reading and for other
programs. Photos that are not there are listed in `OUT-missing.csv` and left out. OUT is a path or a
URI of storage; the photos are on this machine.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import ray
import typer

from geoclip.errors import GeoclipError
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.training.photo_set import label_photos, split_photos
from pipelines.cluster import check_lasting, ray_session
from pipelines.command_line import Places, on_this_machine, run
from pipelines.storage import absolute, join, parent, read_parquet, write_bytes

BATCH = 4096


class Captioner:
    """Names the place of each photo of a batch and draws its caption."""

    def __init__(self, gazetteer: Path | None, settings: CaptionSettings, seed: int) -> None:
        self.book = CaptionBook(Gazetteer.read(gazetteer), settings)
        self.seed = seed

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Add place_row, place_id, caption and fingerprint to a batch of photos."""
        labelled = label_photos(batch, self.book.gazetteer)
        pairs = zip(labelled["place_row"].tolist(), labelled["photo_id"], strict=True)
        captions = [self.book.draw(row, self.seed, 0, photo).text for row, photo in pairs]
        return labelled.assign(caption=captions)


def read_captions(name: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table of `write_captions`, or some of its columns; `name` is a path or URI.

    Raises GeoclipError where it cannot be read.
    """
    return read_parquet(name, columns, "captions", "pipelines.write_captions")


def write_captions(
    photos: pd.DataFrame,
    out: Path | str,
    gazetteer: Path | None = None,
    settings: CaptionSettings | None = None,
    seed: int = 0,
    held_back: float = 0.0,
) -> pd.DataFrame:
    """Write the captions of the photos of `read_photo_table` to Parquet and return their table.

    `out` is a path or URI; `held_back` is the share of `splits.hold_back`. Raises GeoclipError
    where it cannot be written.
    """
    gazetteer = gazetteer and gazetteer.absolute()
    captioned = (
        ray.data.from_pandas(photos)
        .map_batches(
            Captioner,
            fn_constructor_args=(gazetteer, settings or CaptionSettings(), seed),
            compute=ray.data.ActorPoolStrategy(size=1),
            batch_size=BATCH,
            batch_format="pandas",
            num_cpus=0.5,
        )
        .to_pandas()
    )
    table, missing = split_photos(captioned, seed, held_back=held_back)
    name = absolute(out)
    files = {name: table.to_parquet(index=False)}
    if len(missing):
        listed = missing[["photo_id", "path"]].to_csv(index=False)
        files[join(parent(name), f"{Path(name).stem}-missing.csv")] = listed.encode()
    try:
        for file, content in files.items():
            write_bytes(file, content)
    except OSError as problem:
        raise GeoclipError(f"{out} cannot be written ({problem}); name another --out.") from None
    print(f"{len(table):,} captions in {out}; {len(missing)} photos are missing.")
    return table


def main(
    *,
    photos: Annotated[list[Path], on_this_machine("Photo table; may be repeated.")],
    out: Annotated[str, typer.Option(help="A path or URI.")],
    gazetteer: Places = None,
    seed: Annotated[int, typer.Option(help="Of captions and splits.")] = 0,
) -> None:
    """Write captions from the command line."""
    listed = read_photo_table(photos)
    Gazetteer.read(gazetteer)
    check_lasting(out)
    with ray_session():
        write_captions(listed, out, gazetteer, seed=seed)


if __name__ == "__main__":
    run(main)
