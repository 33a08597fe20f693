"""From a table of geotagged photos to the set that is trained on."""

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.labels import place_rows
from geoclip.support.paths import decode_path
from geoclip.training.batches import PhotoSet
from geoclip.training.splits import TRAIN, with_splits


def label_photos(photos: pd.DataFrame, gazetteer: Gazetteer) -> pd.DataFrame:
    """Add each photo's place (`place_row`, `place_id`, `place_country`) and whether it is `there`.

    `photos` are rows of `read_photo_table`. Raises GeoclipError as `place_rows` does.
    """
    rows = place_rows(photos, gazetteer)
    return photos.assign(
        place_row=rows,
        place_id=gazetteer.ids[rows].astype(str),
        place_country=gazetteer.country_codes[rows].astype(str),
        there=[decode_path(path).is_file() for path in photos["path"]],
    )


def split_photos(
    labelled: pd.DataFrame, seed: int = 0, share: float = 0.15
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill the split of labelled photos (see `with_splits`) and part those that are missing.

    Returns the photos that are there and those that are not. Raises GeoclipError where none is.
    """
    table = with_splits(labelled, labelled["place_country"], seed, share)
    there = table["there"].to_numpy(bool)
    table = table.drop(columns=["there", "place_country"])
    missing = table[~there]
    if not there.any():
        raise GeoclipError(
            f"None of the {len(missing)} photos is where its table says, the first is "
            f"{missing['path'].iloc[0]}; paths are relative to the table."
        )
    return table[there].reset_index(drop=True), missing


def training_photos(table: pd.DataFrame, gazetteer: Gazetteer) -> PhotoSet:
    """Make the set of training photos of a table with photo_id, path, place_id and split.

    Without a `location_id` each photo is a location of its own.
    """
    train = table[table["split"] == TRAIN]
    rows = gazetteer.rows(train["place_id"])
    places = train["location_id"].tolist() if "location_id" in train else None
    return PhotoSet(train["photo_id"].tolist(), train["path"].tolist(), rows, locations=places)
