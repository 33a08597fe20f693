"""Choose training photos: whole countries and 1° blocks are held out, never single photos."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.photos.photo_table import HELD_BACK, PSEUDO_SEEN, PSEUDO_UNSEEN, TRAIN
from geoclip.places.sphere import degree_blocks
from geoclip.support.seeds import seeded_uniforms

SEEN, UNSEEN = "seen", "unseen"
__all__ = ["HELD_BACK", "SEEN", "TRAIN", "UNSEEN", "hold_back", "with_splits"]
FEWEST_COUNTRIES = 3
FEWEST_LOCATIONS = 3
LARGEST_SHARE = 0.25
Block = Sequence[float | str]
"""The south-western corner of a 1° block, or another unit held out as one."""


def with_splits(
    photos: pd.DataFrame, country_codes: Iterable[str], seed: int = 0, share: float = 0.15
) -> pd.DataFrame:
    """Return the photos with their `split` column, drawn by seed if it is empty.

    About `share` of the countries are held out whole ("unseen"), and the same share of the other
    countries' 1° blocks ("seen"); the rest is "train". `country_codes` (N,) are the photos'
    countries. The views of a location (`location_id`, if there) share the split of one with
    coordinates. A photo without coordinates is trained on unless its country is held out; one
    without a country either, whose table states its place, has its location as its block. Raises
    GeoclipError if some photos have a split and others have none, and for a location in two
    held-out splits.
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
    drawn = [
        _draw(code, block, seed, share) for code, block in zip(codes, _blocks(photos), strict=True)
    ]
    return _alike_in_locations(photos.assign(split=drawn))


def hold_back(
    photos: pd.DataFrame, country_codes: Iterable[str], seed: int = 0, share: float = 0.1
) -> pd.DataFrame:
    """Hold some "train" photos of `with_splits` back, drawn by seed, as if from new places.

    About `share` of the countries are held back whole ("pseudo-unseen"), with at most this share of
    the photos, and half that share of the other countries' 1° blocks ("pseudo-seen"). A country has
    at least `FEWEST_LOCATIONS` locations, if there are enough such countries, and at most
    `LARGEST_SHARE` of the photos that may be held back. Nothing is held back from too few countries
    (`FEWEST_COUNTRIES`). `country_codes` (N,) are the photos' countries.
    """
    is_train = (photos["split"] == TRAIN).to_numpy(bool)
    train, codes = photos[is_train], np.asarray(list(country_codes), dtype=object)[is_train]
    countries = _countries_to_hold_back(train, codes, seed, share)
    if len(countries) < FEWEST_COUNTRIES:
        return photos
    in_block = [_holds_block(b, share / 2, "pseudo-seen", seed) for b in _blocks(train)]
    drawn = np.where(in_block, PSEUDO_SEEN, TRAIN).astype(object)
    drawn[np.isin(codes, countries)] = PSEUDO_UNSEEN
    split = photos["split"].to_numpy(dtype=object, copy=True)
    split[is_train] = _alike_in_locations(train.assign(split=drawn))["split"]
    return photos.assign(split=split)


def _countries_to_hold_back(
    photos: pd.DataFrame, codes: np.ndarray, seed: int, share: float
) -> list[str]:
    locations = photos.get("location_id", photos["photo_id"]).groupby(codes)
    sizes, places = locations.size(), locations.nunique()
    fitting = places[places >= FEWEST_LOCATIONS].index
    if round(share * len(fitting)) < FEWEST_COUNTRIES:
        fitting = places.index
    room = share * len(photos)
    sizes = sizes[fitting][sizes[fitting] <= LARGEST_SHARE * room]
    drawn: list[str] = []
    for code in sorted(sizes.index, key=lambda c: seeded_uniforms(1, "pseudo-unseen", seed, c)[0]):
        if len(drawn) < round(share * len(fitting)) and sizes[code] <= room:
            drawn.append(code)
            room -= sizes[code]
    return drawn


def _blocks(photos: pd.DataFrame) -> list[Block]:
    blocks: list[Block] = [*degree_blocks(photos["lat"], photos["lon"])]
    if "country_code" in photos:
        stated = (photos["lat"].isna() & (photos["country_code"] == "")).to_numpy()
        names = photos.get("location_id", photos["photo_id"]).tolist()
        for row in np.flatnonzero(stated).tolist():
            blocks[row] = [names[row]]
    return blocks


def _alike_in_locations(photos: pd.DataFrame) -> pd.DataFrame:
    """The same with one split for all views of a location: that of a view with coordinates."""
    if "location_id" not in photos:
        return photos
    views = photos.assign(unknown=photos["lat"].isna()).sort_values(["unknown", "photo_id"])
    of_location = views.drop_duplicates("location_id").set_index("location_id")["split"]
    return photos.assign(split=photos["location_id"].map(of_location))


def _refuse_parted_locations(photos: pd.DataFrame) -> None:
    """Figures are per location: of one in two measured splits, one figure would be lost."""
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


def _draw(code: str, block: Block, seed: int, share: float) -> str:
    if seeded_uniforms(1, "country", seed, code)[0] < share:
        return UNSEEN
    return SEEN if _holds_block(block, share, "block", seed) else TRAIN


def _holds_block(block: Block, share: float, *key: object) -> bool:
    """Whether a 1° block is drawn; a photo without coordinates has none."""
    is_known = block[0] == block[0]  # NaN is not equal to itself
    return is_known and bool(seeded_uniforms(1, *key, *block)[0] < share)
