"""Captions for geotagged photos: photo table and gazetteer in, Parquet out.

    python -m pipelines.write_captions --photos photos.csv --out captions.parquet

Each row of the output has the photo table's columns, `place_row` and `place_id` (the nearest
gazetteer city in the photo's country, or the country where no more is known) and one `caption`.
Training draws a photo's caption anew in every epoch; the stored one is for reading and for other
programs. Photos that are not there are listed in `OUT-missing.csv` and left out.
"""

import argparse
from pathlib import Path

import pandas as pd
import ray

from geoclip.captions import CaptionBook, CaptionSettings
from geoclip.gazetteer import Gazetteer
from geoclip.photo_table import read_photo_table
from geoclip.training.labelled import label_photos, split_photos
from pipelines.cluster import check_lasting, ray_session
from pipelines.command_line import run
from pipelines.storage import read_parquet

BATCH = 4096


class Captioner:
    """Names the place of each photo of a batch and draws its caption."""

    def __init__(self, gazetteer: Path | None, settings: CaptionSettings, seed: int) -> None:
        self.book = CaptionBook(read_gazetteer(gazetteer), settings)
        self.seed = seed

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Add place_row, place_id, caption and `there` to a batch of photos."""
        labelled = label_photos(batch, self.book.gazetteer)
        pairs = zip(labelled["place_row"].tolist(), labelled["photo_id"], strict=True)
        captions = [self.book.draw(row, self.seed, 0, photo).text for row, photo in pairs]
        return labelled.assign(caption=captions)


def read_gazetteer(path: Path | None) -> Gazetteer:
    """Read the gazetteer at `path`, the packaged one without it."""
    return Gazetteer.default() if path is None else Gazetteer.read(path)


def read_captions(name: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table of `write_captions`, or some of its columns; `name` is a path or URI.

    Raises GeoclipError where it cannot be read.
    """
    return read_parquet(name, columns, "captions", "pipelines.write_captions")


def write_captions(
    photos: pd.DataFrame,
    out: Path,
    gazetteer: Path | None = None,
    settings: CaptionSettings | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Write the captions of the photos of `read_photo_table` to Parquet and return their table."""
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
    table, missing = split_photos(captioned, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    if len(missing):
        missing[["photo_id", "path"]].to_csv(out.with_name(f"{out.stem}-missing.csv"), index=False)
    table.to_parquet(out, index=False)
    print(f"{len(table):,} captions in {out}; {len(missing)} photos are missing.")
    return table


def main() -> None:
    """Write captions from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--gazetteer", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    photos = read_photo_table(arguments.photos)
    read_gazetteer(arguments.gazetteer)
    check_lasting(arguments.out)
    with ray_session():
        write_captions(photos, arguments.out, arguments.gazetteer, seed=arguments.seed)


if __name__ == "__main__":
    run(main)
