"""Which photos are trained on: whole countries and 1° blocks are held out, never single photos."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.places.sphere import wrap_longitude
from geoclip.support.seeds import seeded_uniforms

TRAIN, SEEN, UNSEEN = "train", "seen", "unseen"


def with_splits(
    photos: pd.DataFrame, country_codes: Iterable[str], seed: int = 0, share: float = 0.15
) -> pd.DataFrame:
    """Return the photos with their `split` column, or with one drawn by seed where it is empty.

    About `share` of the countries are held out whole ("unseen"), and as much of the 1° blocks of
    the others ("seen"); what remains is "train". `country_codes` (N,) are the photos' countries.
    The views of a location (`location_id`, if there) share the split of one with coordinates. A
    photo without coordinates is trained on unless its country is held out. Raises GeoclipError if
    some photos have a split and others have none, and for a location in two held-out splits.
    """
    given = photos["split"] != ""
    if given.all():
        _refuse_parted_locations(photos)
        return photos
    if given.any():
        raise GeoclipError(
            f"{int((~given).sum())} of {len(photos)} photos have an empty split, the first is "
            f"{photos.loc[~given, 'photo_id'].iloc[0]}; fill the column or leave it out."
        )
    codes = np.asarray(list(country_codes), dtype=object)
    points = [photos["lat"].to_numpy(float), wrap_longitude(photos["lon"].to_numpy(float))]
    blocks = np.floor(np.stack(points, axis=1)) + 0.0  # no -0.0, whose block would be another
    drawn = [
        _draw(code, block, seed, share) for code, block in zip(codes, blocks.tolist(), strict=True)
    ]
    drawn_photos = photos.assign(split=drawn)
    if "location_id" in photos:
        views = drawn_photos.assign(unknown=photos["lat"].isna()).sort_values(
            ["unknown", "photo_id"]
        )
        of_location = views.drop_duplicates("location_id").set_index("location_id")["split"]
        drawn_photos["split"] = photos["location_id"].map(of_location)
    return drawn_photos


def _refuse_parted_locations(photos: pd.DataFrame) -> None:
    """Figures are per location: of one in two splits that are measured, one would be lost."""
    if "location_id" not in photos:
        return
    pairs = photos.loc[photos["split"] != TRAIN, ["location_id", "split"]].drop_duplicates()
    parted = pairs[pairs["location_id"].duplicated()]
    if len(parted):
        location = parted["location_id"].iloc[0]
        splits = pairs.loc[pairs["location_id"] == location, "split"]
        raise GeoclipError(
            f"The location {location!r} is in the splits {' and '.join(splits)}; give the views of "
            "a place one split, and different places ids of their own."
        )


def _draw(code: str, block: list[float], seed: int, share: float) -> str:
    if seeded_uniforms(1, "country", seed, code)[0] < share:
        return UNSEEN
    located = not np.isnan(block[0])
    if located and seeded_uniforms(1, "block", seed, *block)[0] < share:
        return SEEN
    return TRAIN
