"""Which photos are trained on: whole countries and 1° blocks are held out, never single photos."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from geoclip.captions import seeded_uniforms
from geoclip.errors import GeoclipError
from geoclip.sphere import wrap_longitude

TRAIN, SEEN, UNSEEN = "train", "seen", "unseen"


def with_splits(
    photos: pd.DataFrame, country_codes: Iterable[str], seed: int = 0, share: float = 0.15
) -> pd.DataFrame:
    """Return the photos with their `split` column, or with one drawn by seed where it is empty.

    About `share` of the countries are held out whole ("unseen"), and as much of the 1° blocks of
    the others ("seen"); what remains is "train". `country_codes` (N,) are the photos' countries.
    A photo without coordinates is trained on unless its country is held out. Raises GeoclipError
    if some photos have a split and others have none.
    """
    given = photos["split"] != ""
    if given.all():
        return photos
    if given.any():
        raise GeoclipError(
            f"{int((~given).sum())} of {len(photos)} photos have an empty split, the first is "
            f"{photos.loc[~given, 'photo_id'].iloc[0]}; fill the column or leave it out."
        )
    codes = np.asarray(list(country_codes), dtype=object)
    points = [photos["lat"].to_numpy(float), wrap_longitude(photos["lon"].to_numpy(float))]
    blocks = np.floor(np.stack(points, axis=1)) + 0.0  # no -0.0, whose block would be another
    split = [
        _draw(code, block, seed, share) for code, block in zip(codes, blocks.tolist(), strict=True)
    ]
    return photos.assign(split=split)


def _draw(code: str, block: list[float], seed: int, share: float) -> str:
    if seeded_uniforms(1, "country", seed, code)[0] < share:
        return UNSEEN
    located = not np.isnan(block[0])
    if located and seeded_uniforms(1, "block", seed, *block)[0] < share:
        return SEEN
    return TRAIN
