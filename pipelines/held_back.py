"""The ranking of a tuned encoder, fitted on photos held back from its training."""

import pandas as pd

from geoclip.evaluation.fitting.calibration import FEWEST_PLACES, Fitted
from geoclip.evaluation.fitting.known_photos import KnownPhotos
from geoclip.evaluation.fitting.stacking import calibrate_stacked
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.training.splits import HELD_BACK, TRAIN
from pipelines.evaluate_guesses import measured


def held_back(captions: pd.DataFrame) -> pd.DataFrame:
    """The photos of a captions table for fitting a ranking; see `splits.hold_back`."""
    return captions[captions["split"].isin(HELD_BACK)]


def fit_held_back(locator: Locator, captions: pd.DataFrame, found: Embeddings) -> Fitted | None:
    """The ranking fitted to the photos held back; `found` are their embeddings, in order.

    Of all other photos it uses the countries of training photos, and whether the measured ones have
    several views of a location. None if fewer than `FEWEST_PLACES` places were held back.
    """
    photos, codes = held_back(captions)[found.ok], locator.gazetteer.country_codes
    count = photos["location_id"].nunique()
    if count < FEWEST_PLACES:
        print(
            f"The ranking stays unchanged: {count} places are held back, a calibration needs "
            f"{FEWEST_PLACES}."
        )
        return None
    # The fit uses photos as the measurement does: one view, or the mean of a location's views.
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
