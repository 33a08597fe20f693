"""Calibrate a model on photos of known place: choose photos, embed them, fit, keep the settings."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.evaluation.fitting.calibration import FEWEST_PLACES, Given, calibrate
from geoclip.evaluation.fitting.class_fit import KnownClasses, calibrate_classes
from geoclip.evaluation.fitting.gallery_fit import calibrate_gallery
from geoclip.evaluation.fitting.known_photos import KnownPhotos
from geoclip.guesses.settings import SELF
from geoclip.locator import Locator
from geoclip.photos.embedding import embed_named
from geoclip.photos.opening import Fetch
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import Watch
from geoclip.support.files import write_whole
from geoclip.support.seeds import seeded_uniforms

MOST_PLACES = 4000
"""From more places this many are drawn: a few numbers are fitted, and time grows with places."""
CALIBRATION_FILE = "calibration.json"
"""The figures behind the settings, beside them."""


@dataclass(frozen=True)
class FreshPhotos:
    """Photos for the calibration of a model.

    `table` has the columns of `label_photos`. `left_out` counts the other photos by reason:
    "trained_on", "missing", "not_drawn" and, after embedding, "unreadable". `seen` are the ids of
    the classes of a table of levels that photos were trained on.
    """

    table: pd.DataFrame
    left_out: dict[str, int]
    seen: tuple[str, ...] = ()

    @classmethod
    def of(cls, photos: pd.DataFrame, trained: TrainedPhotos) -> "FreshPhotos":
        """Leave out the photos that a model was trained on and all views of their locations.

        Of the rest, at most `MOST_PLACES` places are drawn at random; the draw depends only on
        their ids. `photos` are those of `label_photos`. Raises GeoclipError for too few places.
        """
        known = photos["fingerprint"].to_numpy()
        seen = set(photos.loc[trained.holds(known), "location_id"])
        fresh = photos[~photos["location_id"].isin(seen)]
        there = fresh[fresh["fingerprint"] != 0]
        places = there["location_id"].drop_duplicates()
        chance = [seeded_uniforms(1, "calibration", name)[0] for name in places]
        drawn = there[there["location_id"].isin(places.iloc[np.argsort(chance)[:MOST_PLACES]])]
        left_out = {
            "trained_on": len(photos) - len(fresh),
            "missing": len(fresh) - len(there),
            "not_drawn": len(there) - len(drawn),
        }
        return cls(drawn.reset_index(drop=True), left_out)._enough()

    def embedded(
        self,
        locator: Locator,
        progress: Callable[[int], None] | None = None,
        fetch: Fetch | None = None,
    ) -> tuple["FreshPhotos", KnownPhotos]:
        """The readable ones, and their embeddings; see `Locator.embed`.

        Raises GeoclipError where too few places are left.
        """
        given = [(path, None) for path in self.table["path"]]
        width = locator.index.embeddings.shape[1]
        found = embed_named(locator.encoder, given, width, progress, fetch)
        read = self.table[found.ok].reset_index(drop=True)
        unreadable = len(self.table) - len(read)
        left_out = self.left_out | {"unreadable": unreadable}
        photos = replace(self, table=read, left_out=left_out)._enough()
        names = ("lat", "lon", "country_code", "source", "location_id")
        columns = [read[name].to_numpy() for name in names]
        return photos, KnownPhotos(found.values[found.ok], *columns)

    def told(self) -> str:
        """The photos left out in words, "" if there are none."""
        words = {
            "trained_on": "that the model was trained on",
            "missing": "that are not where their table says",
            "not_drawn": f"beyond the {MOST_PLACES:,} places that are enough",
            "unreadable": "that cannot be read",
        }
        counted = [f"{n:,} {words[reason]}" for reason, n in self.left_out.items() if n]
        return f"Left out are photos: {', '.join(counted)}." if counted else ""

    def _enough(self) -> "FreshPhotos":
        places = self.table["location_id"].nunique()
        if places < FEWEST_PLACES:
            raise GeoclipError(
                f"A calibration needs photos of at least {FEWEST_PLACES} places, here are {places};"
                f" give more. {self.told()}".rstrip()
            )
        return self


def ids_trained_on(photos: pd.DataFrame, trained: TrainedPhotos) -> tuple[str, ...]:
    """The place ids of those of `label_photos` that a model was trained on, each once."""
    return tuple(photos.loc[trained.holds(photos["fingerprint"].to_numpy()), "place_id"].unique())


@dataclass(frozen=True)
class ModelCalibration:
    """Calibrated settings of a model, their figures, and the photos used."""

    settings: ModelSettings
    figures: dict[str, Any]
    photos: FreshPhotos

    def write(self, folder: Path) -> None:
        """Write the settings and, beside them, the figures in `CALIBRATION_FILE`."""
        folder.mkdir(parents=True, exist_ok=True)
        write_calibration(folder, self.settings, {"left_out": self.photos.left_out, **self.figures})


def write_calibration(folder: Path, settings: ModelSettings, figures: dict[str, Any]) -> None:
    """Write calibrated settings to a folder, and their figures to `CALIBRATION_FILE`."""
    text = json.dumps(figures, indent=2, allow_nan=False) + "\n"
    write_whole(folder / CALIBRATION_FILE, lambda file: file.write(text.encode()))
    settings.write(folder)


def calibrate_model(
    name: str | Path,
    photos: FreshPhotos,
    trained: TrainedPhotos,
    gazetteer: Gazetteer,
    device: str | None = None,
    watch: Watch | None = None,
    keep_posterior: bool = False,
    gallery: str | Path | None = None,
    fetch: Fetch | None = None,
) -> ModelCalibration:
    """Calibrate the model called `name`; nothing is written.

    With `keep_posterior` only the radii are fitted, see `calibration.Given`. With `gallery`, a
    folder or "self" for these photos, the weights of a gallery are fitted too. `watch` receives the
    progress of the place index and of the embeddings. `fetch` gives the bytes of photos outside
    this machine. Of a table of levels, temperatures and a stacking factor are fitted; radii and
    galleries need coordinates. Raises GeoclipError for a model that cannot be loaded, for a gallery
    that is none of it, and where too few places are left.
    """
    if keep_posterior or gallery is not None:
        gazetteer.check_has_positions()
    locator = Locator.from_pretrained(name, gazetteer, device, watch=watch)
    stored = ModelSettings.of_model(name)
    opened = None if gallery in (None, SELF) else locator.gallery(gallery).gallery
    with watch("embedding photos", len(photos.table)) if watch else nullcontext() as progress:
        photos, known = photos.embedded(locator, progress, fetch)
    if not gazetteer.has_positions:
        rows, places = (photos.table[name].to_numpy() for name in ("place_row", "location_id"))
        classes = KnownClasses(known.embeddings, rows, places)
        of_classes = calibrate_classes(locator.ranker, classes, photos.seen)
        settings = stored.with_ranking(gazetteer, of_classes.settings)
        return ModelCalibration(settings, of_classes.figures, photos)
    seen = trained.countries or stored.ranking.prior.seen_countries
    fitted = calibrate(locator.ranker, known, Given(seen, keep_posterior=keep_posterior))
    ranking, figures = fitted.settings, fitted.figures
    if gallery is not None:
        asked = locator.ranker.with_settings(ranking)
        weighed = calibrate_gallery(asked, known.by_location(), opened)
        ranking, figures = replace(ranking, gallery=weighed), figures | {"gallery": asdict(weighed)}
    elif keep_posterior:
        ranking = replace(ranking, gallery=stored.ranking.gallery)
    return ModelCalibration(replace(stored, ranking=ranking), figures, photos)
