"""Rows of guesses that use a gallery, and the gallery of a folder's own photos."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from geoclip.guesses.rows import ranked_rows
from geoclip.guesses.schema import GALLERY, MODEL
from geoclip.guesses.settings import LocateSettings
from geoclip.photos.records import PhotoRecord
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.confidence import Level
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.photo_gallery import Gallery
from geoclip.ranking.gallery_ranking import GalleryAnswers, GalleryRanker
from geoclip.ranking.ranker import PlaceRanker

NamedRecords = tuple[Sequence[str], Sequence[PhotoRecord]]
SEPARATOR = "|"
"""Separates the photos of `evidence_photos`."""
SAME_SCENE_NOTE = "same scene"
ALBUM_AGREES_KM = 25.0


class GalleryGuesses:
    """Makes guesses by a ranker and a gallery; raises GeoclipError as `GalleryRanker` does.

    The photos' own ids (n, V), of all views in an embedding's mean, are excluded.
    """

    def __init__(
        self, ranker: PlaceRanker, lookup: GalleryLookup, settings: LocateSettings
    ) -> None:
        self.ranker = ranker
        self.by_gallery = GalleryRanker(ranker, lookup)
        self.settings = settings

    def rows(
        self, order: np.ndarray, paths: np.ndarray, values: np.ndarray, ids: np.ndarray
    ) -> pd.DataFrame:
        """Rows as in `ranked_rows` for embeddings (n, d), with `GALLERY_COLUMNS`.

        A photo whose point gallery photos decided has the source "gallery"; its first row names
        them by path, or by id if the gallery keeps no path.
        """
        settings = self.settings
        answers = self.by_gallery.rank_at_level(values, ids, settings.rule, settings.top_k)
        rows = ranked_rows(self.ranker, order, paths, answers.ranking, settings.top_k)
        return _with_gallery(rows, order, answers, self.by_gallery.gallery)

    def top_cities(
        self, values: np.ndarray, ids: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k most probable cities (n, k) of embeddings (n, d), and their probabilities."""
        return self.by_gallery.top_cities(values, ids, k)

    def stand(self, values: np.ndarray, ids: np.ndarray, cities: np.ndarray) -> np.ndarray:
        """Which photos (n,) have a spot that agrees with an album's likeliest cities (n,).

        Their own answers stay: an album knows only cities.
        """
        answers = self.by_gallery.rank_at_level(values, ids, self.settings.rule, 1)
        h = self.ranker.hierarchy
        km = great_circle_km(answers.lat, answers.lon, h.lat[cities], h.lon[cities])
        return np.asarray((answers.ranking.level == Level.spot) & (km <= ALBUM_AGREES_KM))


def _with_gallery(
    rows: pd.DataFrame, order: np.ndarray, answers: GalleryAnswers, gallery: Gallery
) -> pd.DataFrame:
    """Rows of the photos `order` (n,) with the points, the source and `GALLERY_COLUMNS`."""
    photo = np.searchsorted(order, rows["order"].to_numpy())
    rank = rows["rank"].to_numpy()
    first = rank == 1
    for axis in ("lat", "lon"):
        spot = getattr(answers, f"spot_{axis}")[photo, rank - 1]
        for column in (axis, f"place_{axis}"):
            rows[column] = np.where(np.isfinite(spot), spot, rows[column])
        rows[axis] = np.where(first, getattr(answers, axis)[photo], rows[axis])
    told = _told(gallery, answers.decided)
    notes = np.where(answers.same_scene, SAME_SCENE_NOTE, "")
    return rows.assign(
        source=np.where(answers.by_gallery[photo], GALLERY, MODEL),
        evidence_photos=np.where(first, told[photo], ""),
        gallery_note=np.where(first, notes[photo], ""),
    )


def _told(gallery: Gallery, rows: np.ndarray) -> np.ndarray:
    """The names (N,) of gallery photos by rows (N, k), -1 for none."""
    photos = gallery.photos.take(pa.array(np.maximum(rows, 0).ravel()))
    named = zip(photos["path"].to_pylist(), photos["photo_id"].to_pylist(), strict=True)
    names = np.array([path or own for path, own in named], dtype=object).reshape(rows.shape)
    told = [SEPARATOR.join(n[r >= 0]) for n, r in zip(names, rows, strict=True)]
    return np.array(told, dtype=object)


def own_gallery(photos: Iterable[NamedRecords]) -> Gallery | None:
    """A gallery in memory of the photos with a trustworthy position; None without one.

    `photos` are names and records, some at a time. A photo's id is its name.
    """
    names: list[str] = []
    values, lat, lon = [], [], []
    for some, records in photos:
        for name, record in zip(some, records, strict=True):
            if record.trusted_gps is not None and record.embedding is not None:
                names.append(name)
                values.append(record.embedding)
                lat.append(record.trusted_gps.lat)
                lon.append(record.trusted_gps.lon)
    if not names:
        return None
    rows = pd.DataFrame({"photo_id": names, "path": names, "lat": lat, "lon": lon})
    return Gallery.in_memory(np.stack(values), rows)


def ids_of_views(photo_ids: Sequence[str], keys: Sequence[Hashable] | None) -> np.ndarray:
    """The ids (N, V) of all views of each photo's location, its own among them, "" for none."""
    if keys is None:
        return np.array(photo_ids, dtype=object).reshape(-1, 1)
    views: dict[Hashable, list[str]] = {}
    for photo_id, key in zip(photo_ids, keys, strict=True):
        views.setdefault(key, []).append(photo_id)
    most = max(map(len, views.values()), default=1)
    rows = [views[key] + [""] * (most - len(views[key])) for key in keys]
    return np.array(rows, dtype=object).reshape(len(keys), most)
