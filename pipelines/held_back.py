"""The ranking of a tuned encoder, fitted on the photos that were held back from its training."""

import pandas as pd

from geoclip.evaluation.fitting.calibration import FEWEST_PLACES, Fitted
from geoclip.evaluation.fitting.known_photos import KnownPhotos
from geoclip.evaluation.fitting.stacking import calibrate_stacked
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.training.splits import HELD_BACK, TRAIN
from pipelines.evaluate_guesses import measured


def held_back(captions: pd.DataFrame) -> pd.DataFrame:
    """The photos of a table of captions that a ranking is fitted on; see `splits.hold_back`."""
    return captions[captions["split"].isin(HELD_BACK)]


def fit_held_back(locator: Locator, captions: pd.DataFrame, found: Embeddings) -> Fitted | None:
    """The ranking that fits the photos held back, of which `found` are the embeddings, in order.

    Of all other photos it knows the countries of those trained on, and whether the measured ones
    have several views of a location.
    None where fewer than `FEWEST_PLACES` places were held back.
    """
    photos, codes = held_back(captions)[found.ok], locator.gazetteer.country_codes
    count = photos["location_id"].nunique()
    if count < FEWEST_PLACES:
        print(
            f"The ranking stays as it is: {count} places are held back, a calibration needs "
            f"{FEWEST_PLACES}."
        )
        return None
    # Photos are fitted as others are met: by one view, or by the mean of a location's views.
    views = "location_id" if measured(captions)["location_id"].duplicated().any() else "photo_id"
    known = KnownPhotos(
        found.values[found.ok],
        photos["lat"].to_numpy(float),
        photos["lon"].to_numpy(float),
        codes[photos["place_row"].to_numpy()],
        photos["source"].to_numpy(object),
        photos[views].to_numpy(object),
    )
    trained = codes[captions.loc[captions["split"] == TRAIN, "place_row"].to_numpy()]
    return calibrate_stacked(locator.ranker, known, sorted(set(trained.tolist())))
