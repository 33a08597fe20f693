"""The set of training photos, made from a table of geotagged photos."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.photos.trained_photos import Fingerprints, TrainedPhotos, fingerprints
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.labels import place_rows
from geoclip.places.place import COUNTRY
from geoclip.training.splits import TRAIN, hold_back, with_splits


@dataclass(frozen=True)
class PhotoSet:
    """Labelled training photos: ids (N,), paths (N,) and the gazetteer rows (N,) of their places.

    A photo with only a known country has the country's row. `weights` (N,) are optional relative
    chances of being drawn, above 0. Photos with the same entry of the optional `locations` (N,) are
    views of one location. The optional `fingerprints` (N,) are those of `photos.trained_photos`.
    The optional `shards` (N,) number the files that hold many photos, in the order of their names;
    -1 is a photo in none.
    """

    ids: Sequence[str]
    paths: Sequence[str]
    rows: np.ndarray
    weights: np.ndarray | None = None
    locations: Sequence[str] | None = None
    fingerprints: Fingerprints | None = None
    shards: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.ids):
            raise GeoclipError("There is no photo to train on; check the split column.")
        if self.weights is not None and not (
            self.weights.shape == (len(self.ids),)
            and np.isfinite(self.weights).all()
            and self.weights.min() > 0
        ):
            raise GeoclipError("Weights of photos must be finite numbers above 0, one each.")
        if self.locations is not None and len(self.locations) != len(self.ids):
            number = len(self.locations)
            raise GeoclipError(f"{len(self.ids)} photos need one location each, not {number}.")

    def __len__(self) -> int:
        return len(self.ids)

    def digest(self) -> str:
        """SHA-256 of ids, places, weights and shards, which determine the order of photos.

        Paths are excluded: photos may be moved.
        """
        found = hashlib.sha256("\n".join(self.ids).encode(errors="surrogateescape"))
        found.update(self.rows.astype("<i8").tobytes())
        if self.weights is not None:
            found.update(self.weights.astype("<f8").tobytes())
        if self.shards is not None:
            found.update(self.shards.astype("<i8").tobytes())
        return found.hexdigest()

    def trained(self, gazetteer: Gazetteer, start: TrainedPhotos | None = None) -> TrainedPhotos:
        """The training photos of a model that starts from one trained on `start`."""
        own = fingerprints(self.paths) if self.fingerprints is None else self.fingerprints
        return (start or TrainedPhotos()).joined(own, gazetteer.country_codes[self.rows].tolist())

    def countries(self, ancestors: np.ndarray) -> np.ndarray:
        """Gazetteer rows (N,) of the photos' countries."""
        countries: np.ndarray = ancestors[self.rows, COUNTRY]
        return countries


def label_photos(photos: pd.DataFrame, gazetteer: Gazetteer) -> pd.DataFrame:
    """Add each photo's place (`place_row`, `place_id`, `place_country`) and its `fingerprint`.

    For a place in no country (a class of a table without places), `place_country` is the place.

    The fingerprint (see `photos.trained_photos`) is 0 without a file; an existing one stays.
    `photos` are rows of `read_photo_table`. Raises GeoclipError as `place_rows` does.
    """
    rows = place_rows(photos, gazetteer)
    codes = gazetteer.country_codes[rows]
    known = photos["fingerprint"] if "fingerprint" in photos else fingerprints(photos["path"])
    return photos.assign(
        place_row=rows,
        place_id=gazetteer.ids[rows].astype(str),
        place_country=np.where(codes == "", gazetteer.ids[rows], codes).astype(str),
        fingerprint=known,
    )


def split_photos(
    labelled: pd.DataFrame, seed: int = 0, share: float = 0.15, held_back: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill the split of labelled photos (see `with_splits`) and separate missing files.

    A share `held_back` of the training countries is kept for fitting the ranking, see `hold_back`.
    Returns the photos with files, then the others. Raises GeoclipError if no file exists.
    """
    table = with_splits(labelled, labelled["place_country"], seed, share)
    table = hold_back(table, labelled["place_country"], seed, held_back)
    there = table["fingerprint"].to_numpy() != 0
    table = table.drop(columns="place_country")
    missing = table[~there]
    if not there.any():
        raise GeoclipError(
            f"None of the {len(missing)} photos is where its table says, the first is "
            f"{missing['path'].iloc[0]}; paths are relative to the table."
        )
    return table[there].reset_index(drop=True), missing


def training_photos(table: pd.DataFrame, gazetteer: Gazetteer) -> PhotoSet:
    """Make the set of training photos of a table with photo_id, path, place_id and split.

    Without a column `location_id` each photo is its own location, and without `fingerprint` the
    files are read for it.
    """
    train = table[table["split"] == TRAIN]
    rows = gazetteer.rows(train["place_id"])
    locations = train["location_id"].tolist() if "location_id" in train else None
    known = train["fingerprint"].to_numpy(np.uint64) if "fingerprint" in train else None
    return PhotoSet(
        train["photo_id"].tolist(),
        train["path"].tolist(),
        rows,
        locations=locations,
        fingerprints=known,
    )
