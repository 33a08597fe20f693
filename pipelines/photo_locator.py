"""Photos → rows of guesses, in an actor."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pandas as pd
import pyarrow as pa

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.guesses.rows import CLASS_COLUMNS
from geoclip.guesses.writer import arrow_guesses
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.gallery_ranking import gallery_settings
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.settings import RankingSettings
from pipelines.cluster import absolute_model
from pipelines.gallery_shards import GalleryShards
from pipelines.photo_actors import LOCATIONS, Pool, embedded_photos, model_settings
from pipelines.photo_source import with_origins
from pipelines.storage import absolute, local_copy

OF_PHOTOS = ("photo_id", "location_id", "message")
EXTRA = dict.fromkeys([*CLASS_COLUMNS, *OF_PHOTOS], "str")
"""Columns after those of the guesses, with their dtypes."""


@dataclass(frozen=True)
class LocatorSpec:
    """The arguments of every PhotoLocator of a job; paths are absolute.

    A `gallery` takes part in the guesses.
    """

    model: str
    index: str
    index_key: str
    gazetteer: Path | None
    settings: RankingSettings
    top_k: int
    gallery: GalleryShards | None = None

    @classmethod
    def of(
        cls,
        model: str,
        index: Path | str,
        gazetteer: Path | None = None,
        settings: RankingSettings | None = None,
        top_k: int = 5,
        galleries: Sequence[str] = (),
    ) -> "LocatorSpec":
        """The spec of a model, ranked by its own settings by default, and a place index in storage.

        `galleries` are those of `GalleryShards.of`. Raises GeoclipError if the index or a gallery
        is unreadable.
        """
        model, index = absolute_model(model), absolute(index)
        key = PlaceIndex.read(local_copy(index)).key
        if settings is None:
            stored = model_settings(model)
            own = gazetteer is not None  # the packaged places need not be read to know that
            settings = stored.ranking_of(Gazetteer.read(gazetteer)) if own else stored.ranking
        gallery = GalleryShards.of(galleries) if galleries else None
        return cls(model, index, key, gazetteer and gazetteer.absolute(), settings, top_k, gallery)

    def reranked(self, method: str | None = None, point: str | None = None) -> "LocatorSpec":
        """The same with another method or point; see `RankingSettings.overridden`."""
        return replace(self, settings=self.settings.overridden(method, point))

    def about(self) -> dict[str, Any]:
        """All that determines the rows besides the model; GeoclipError if it excludes a gallery."""
        own = {"places": self.index_key, "ranking": asdict(self.settings), "top_k": self.top_k}
        if self.gallery is None:
            return own
        gallery_settings(self.settings)  # refuses a ranking without gallery weights
        return own | {"gallery": self.gallery.sizes}

    def check_encoder(self, key: str) -> None:
        """Raise GeoclipError unless the gallery has the encoder of this key."""
        if self.gallery is not None:
            self.gallery.check_encoder(key)


def views_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The photos of rows of locations, each with its `row`, the first photo of its location."""
    return pd.DataFrame(
        [
            (view["photo_id"], view["path"], row["location_id"], row["photo_id"])
            for row in rows
            for view in row["views"]
        ],
        columns=["photo_id", "path", "location_id", "row"],
    )


class PhotoLocator:
    """Locates blocks of locations with their views; raises GeoclipError for another index."""

    at_once: ClassVar = LOCATIONS
    """Locations ranked at a time."""
    extra: ClassVar = EXTRA
    """Columns after those of the guesses."""

    def __init__(self, spec: LocatorSpec, pool: Pool) -> None:
        self.embedded = embedded_photos(spec.model, pool, self.at_once)
        places, index = Gazetteer.read(spec.gazetteer), PlaceIndex.read(local_copy(spec.index))
        if index.key != spec.index_key:
            raise GeoclipError(
                f"{spec.index} holds another place index than when this job began; jobs of "
                f"different models or gazetteers need their own --index."
            )
        encoder = cast(Encoder, self.embedded.encoder)  # ranking needs its logit scale
        self.locator = Locator(encoder, index, places, spec.settings)
        self.top_k = spec.top_k

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Rows from `on_actors` → guesses and their origins, some locations at a time."""
        for rows, found in self.embedded(batch):
            views = views_of(rows)
            # A row is a location; an equal location_id in another row is another file's.
            guesses = self.guesses(found, views["path"].tolist(), views["row"].tolist())
            yield with_origins(_of_views(guesses, found, views, self.extra), rows)

    def guesses(
        self, found: Embeddings, paths: Sequence[str], locations: Sequence[Any]
    ) -> pd.DataFrame:
        """The table of guesses for photos; photos of one location get the same guess."""
        return self.locator.guesses(found, self.top_k, locations, classes=True)


def answers(
    locator: Locator,
    found: Embeddings,
    views: pd.DataFrame,
    keys: Sequence[str] | None = None,
    top_k: int = 5,
) -> pa.Table:
    """Guesses for photos (photo_id, path, location_id); embeddings are named by photo id.

    Photos of one key, by default of one location_id, get one guess. The rows are in order.
    """
    ids = views["location_id"].tolist() if keys is None else keys
    guesses = locator.guesses(found, top_k, ids, classes=True)
    return _of_views(guesses, found, views, EXTRA)


def _of_views(
    guesses: pd.DataFrame, found: Embeddings, views: pd.DataFrame, extra: Mapping[str, str]
) -> pa.Table:
    """Guesses, whose paths are photo ids, with the photos' facts."""
    messages = views["photo_id"].map(lambda photo: found.messages.get(photo, ""))
    of_views = views[["photo_id", "path", "location_id"]].assign(message=messages)
    table = guesses.rename(columns={"path": "photo_id"})
    return arrow_guesses(table.merge(of_views, on="photo_id"), extra)
