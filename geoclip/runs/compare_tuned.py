"""The effect of fine-tuning: guesses for held-out photos before and after."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from geoclip.evaluation.comparison import Comparison
from geoclip.evaluation.matching import evaluate_tables
from geoclip.guesses.maps import write_map
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import Watch
from geoclip.support.seeds import seeded_uniforms

MOST_PHOTOS = 500
"""From more held-out photos this many are drawn: it saves time, and the intervals hardly grow."""
SETTINGS = LocateSettings(gps="ignore", abstention=AbstentionSettings(level="off"))


@dataclass(frozen=True)
class TunedAnswers:
    """Guesses of the encoder before and after for held-out photos, and their true places."""

    truth: pd.DataFrame
    before: pd.DataFrame
    after: pd.DataFrame
    gazetteer: Gazetteer

    def comparison(self) -> Comparison:
        """After minus before, photo by photo."""
        both = (self.before, self.after)
        return Comparison(*(evaluate_tables(g, self.truth, gazetteer=self.gazetteer) for g in both))

    def write_map(self, file: Path) -> None:
        """Write a map of the guesses after, with the true places."""
        write_map(self.after, file, self.truth, title="Held-out photos after fine-tuning")


def locate_held_out(
    start: str,
    tuned: Path,
    held_out: pd.DataFrame,
    gazetteer: Gazetteer,
    device: str | None = None,
    watch: Watch | None = None,
) -> TunedAnswers | None:
    """Locate held-out photos with the model called `start` and with the folder `tuned`.

    `held_out` has path, lat, lon, photo_id and location_id; photos of unknown position are left
    out, and from more than `MOST_PHOTOS` some are drawn by their ids. Views of a location get one
    answer. None where no photo is left. The index of `tuned` is kept for `geoclip locate`. Raises
    GeoclipError for a model that cannot be loaded.
    """
    known = held_out[held_out[["lat", "lon"]].notna().all(axis=1)]
    if known.empty:
        return None
    chance = [seeded_uniforms(1, "compare", name)[0] for name in known["photo_id"]]
    known = known.iloc[np.sort(np.argsort(chance)[:MOST_PHOTOS])]
    paths, places = known["path"].tolist(), known["location_id"]
    tables = []
    for model, when in ((start, "before"), (tuned, "after")):
        locator = Locator.from_pretrained(model, gazetteer, device, watch=watch)
        what = f"locating held-out photos as {when}"
        with watch(what, len(known)) if watch else nullcontext() as progress:
            found = locator.locate(paths, SETTINGS, location_ids=places, progress=progress)
        tables.append(found)
    truth = known[["path", "lat", "lon", "country_code", "location_id"]]
    before, after = tables
    return TunedAnswers(truth, before, after, gazetteer)
