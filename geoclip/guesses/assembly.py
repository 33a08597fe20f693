"""Records of photos → the table of guesses: the one place that assembles it."""

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from geoclip.guesses.believed import Records, believed
from geoclip.guesses.blocks import Block
from geoclip.guesses.failures import told_of
from geoclip.guesses.fates import Fates, embeddings_of, stated_of
from geoclip.guesses.gps_comparison import (
    EXTRA_COLUMNS,
    FAR_KM,
    NOTE_COLUMNS,
    compared,
    noted,
    stated_positions,
)
from geoclip.guesses.rows import (
    CLASS_COLUMNS,
    class_rows,
    gps_rows,
    ranked_rows,
    rows_without_place,
)
from geoclip.guesses.schema import ALBUM, GALLERY_COLUMNS, guess_table
from geoclip.guesses.settings import LocateSettings
from geoclip.photos.abstention import AbstentionCheck
from geoclip.photos.embedding import mean_of_views
from geoclip.photos.metadata import NOTHING
from geoclip.photos.records import PhotoRecord
from geoclip.photos.refusals import PARTIAL
from geoclip.photos.tracks import Tracks
from geoclip.photos.views import slices
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import BLOCK
from geoclip.ranking.trip_smoothing import SmoothedTrip, hours_of, smooth_trip

if TYPE_CHECKING:
    from geoclip.guesses.gallery_guesses import GalleryGuesses
    from geoclip.ranking.gallery.lookup import GalleryLookup

log = logging.getLogger(__name__)
NO_EVIDENCE = "no evidence"
CANDIDATES = 50
"""Places of each photo that are combined with its neighbours' or its stated position."""


class Assembler:
    """Assembles rows of guesses from records, by a ranker and settings.

    `check` decides on abstention. A `gallery` takes part; `blocks` makes one from the photos
    themselves (`LocateSettings.own_gallery`). At least `candidates` places are ranked. With
    `classes`, for the point "estimate", the columns `CLASS_COLUMNS` follow those of the schema.
    """

    def __init__(
        self,
        ranker: PlaceRanker,
        check: AbstentionCheck,
        settings: LocateSettings,
        candidates: int | None = None,
        classes: bool = False,
        gallery: "GalleryLookup | None" = None,
    ) -> None:
        ranker.gazetteer.check_has_positions()
        self.ranker = ranker
        self.check = check
        self.settings = settings
        self.ranked = max(settings.top_k, CANDIDATES if candidates is None else candidates)
        self.classes = classes
        self.tracks = Tracks.read(settings.gpx) if settings.gpx else None
        self.gallery = None if gallery is None else self._guesses_by(gallery)

    def _guesses_by(self, gallery: "GalleryLookup") -> "GalleryGuesses":
        from geoclip.guesses.gallery_guesses import GalleryGuesses  # noqa: PLC0415  (few use it)

        return GalleryGuesses(self.ranker, gallery, self.settings)

    @property
    def extra_columns(self) -> dict[str, str]:
        """Columns of the tables after the schema's, with their dtypes."""
        stated = NOTE_COLUMNS if self.settings.reports_gps else {}
        stated = EXTRA_COLUMNS if self.settings.gps == "compare" else stated
        gallery = GALLERY_COLUMNS if self.settings.gallery is not None else {}
        return {**stated, **gallery, **dict.fromkeys(CLASS_COLUMNS if self.classes else (), "str")}

    def blocks(
        self, names: Sequence[str], records: Records, keys: Sequence[Hashable] | None = None
    ) -> Iterator[Block]:
        """Guesses for N photos, in their order, some hundred at a time.

        `keys` (N,) are those of `location_keys`; the views of a location are adjacent.
        """
        parts = list(slices(range(len(names)) if keys is None else keys, BLOCK))
        records = believed(records, parts, self.settings, self.tracks)
        if self.settings.own_gallery:
            self._ask_own_photos((names[part], records[part]) for part in parts)
        trip = (
            None if self.settings.trip is None else self._smoothed_trip(parts, names, records, keys)
        )
        for part in parts:
            own = None if keys is None else keys[part]
            yield self.block(names[part], records[part], own, trip and trip.part(part))

    def _ask_own_photos(
        self, photos: Iterable[tuple[Sequence[str], Sequence[PhotoRecord]]]
    ) -> None:
        from geoclip.guesses.gallery_guesses import own_gallery  # noqa: PLC0415
        from geoclip.ranking.gallery.lookup import GalleryLookup  # noqa: PLC0415

        found = own_gallery(photos)
        if found is None:
            log.warning("None of the photos states a position: there is no gallery of them.")
        self.gallery = None if found is None else self._guesses_by(GalleryLookup(found))

    def block(
        self,
        names: Sequence[str],
        records: Sequence[PhotoRecord],
        keys: Sequence[Hashable] | None = None,
        trip: SmoothedTrip | None = None,
    ) -> Block:
        """Guesses for N photos at once; a smoothed trip's posteriors replace their own."""
        photos, fates = np.array(names, dtype=object), self._fates(records)
        status = [records[i].status for i in fates.unread] + [NO_EVIDENCE] * len(fates.abstained)
        silent = np.r_[fates.unread, fates.abstained]
        values = self._values(records, fates.guessed, keys)
        own_ids = self._own_ids(names, records, fates.guessed, keys)
        parts = [
            rows_without_place(silent, photos[silent], status),
            self._guessed_rows(photos, fates.guessed, values, own_ids, trip),
        ]
        if len(fates.kept):  # else it would import the nearest-place search for nothing
            stated = stated_of(records, fates.kept)
            known = gps_rows(self.ranker.gazetteer, fates.kept, photos[fates.kept], *stated)
            parts.insert(1, known)
        frame = pd.concat([part for part in parts if len(part)] or parts[:1])
        frame = frame.sort_values(["order", "rank"], kind="stable", ignore_index=True)
        partial = [i for i in fates.guessed if records[i].status == PARTIAL]
        frame.loc[frame["order"].isin(partial), "status"] = PARTIAL
        table = guess_table(frame)
        texts = [*(GALLERY_COLUMNS if self.settings.gallery is not None else ())]
        texts += CLASS_COLUMNS if self.classes else []
        if texts:
            texts_of = frame.reindex(columns=texts).astype(object).fillna("").astype(str)
            table = pd.concat([table, texts_of], axis=1)
        fixes = [record.metadata.gps for record in records]
        if self.settings.reports_gps:
            table = noted(table, frame["order"].to_numpy(), fixes)
        if self.settings.gps == "compare":
            support = np.full(len(records), np.nan)
            if len(fates.guessed):
                lat, lon = (degrees[fates.guessed] for degrees in stated_positions(fixes))
                support[fates.guessed] = self.ranker.support_within(values, lat, lon, FAR_KM)
            table = compared(table, frame["order"].to_numpy(), fixes, support)
        return Block(table, *told_of(names, records, fates), Counter(fates.kinds), len(records))

    def _fates(self, records: Sequence[PhotoRecord]) -> Fates:
        return Fates.of(records, self.check, self.settings.reports_gps)

    def _values(
        self,
        records: Sequence[PhotoRecord],
        guessed: np.ndarray,
        keys: Sequence[Hashable] | None,
    ) -> np.ndarray:
        """Embeddings (n, d) of the guessed photos, those of views the mean of their location."""
        values = embeddings_of(records, guessed)
        if keys is None or not len(values):
            return values
        return mean_of_views(values, [keys[i] for i in guessed])

    def _own_ids(
        self,
        names: Sequence[str],
        records: Sequence[PhotoRecord],
        guessed: np.ndarray,
        keys: Sequence[Hashable] | None,
    ) -> np.ndarray:
        """The gallery ids of the guessed photos and their views, (n, V)."""
        if self.gallery is None:
            return np.empty((len(guessed), 0), dtype=object)
        from geoclip.guesses.gallery_guesses import ids_of_views  # noqa: PLC0415

        own = self.settings.own_gallery
        ids = [names[i] if own else records[i].key.hex() for i in guessed]
        return ids_of_views(ids, None if keys is None else [keys[i] for i in guessed])

    def _guessed_rows(
        self,
        photos: np.ndarray,
        guessed: np.ndarray,
        values: np.ndarray,
        own_ids: np.ndarray,
        trip: SmoothedTrip | None,
    ) -> pd.DataFrame:
        if not len(guessed):
            return pd.DataFrame()
        changed = np.zeros(len(guessed), bool) if trip is None else trip.changed[guessed]
        if trip is not None and self.gallery is not None and changed.any():
            cities = trip.cities[guessed][changed, 0]
            stands = self.gallery.stand(values[changed], own_ids[changed], cities)
            changed[changed] = ~stands
        own = photos, guessed[~changed], values[~changed], own_ids[~changed]
        frames = [self._own_rows(*own)]
        if trip is not None and changed.any():
            some, top_k = guessed[changed], self.settings.top_k
            listed = trip.cities[some], trip.probabilities[some]
            ranking = self.ranker.rank_cities_at_level(*listed, self.settings.rule, top_k)
            frames.append(ranked_rows(self.ranker, some, photos[some], ranking, top_k, ALBUM))
        return pd.concat([frame for frame in frames if len(frame)])

    def _own_rows(
        self, photos: np.ndarray, which: np.ndarray, values: np.ndarray, own_ids: np.ndarray
    ) -> pd.DataFrame:
        """Rows of some photos, each by itself."""
        if not len(which):
            return pd.DataFrame()
        if self.gallery is not None:
            return self.gallery.rows(which, photos[which], values, own_ids)
        settings, ranker = self.settings, self.ranker
        if settings.point == "place":
            at_level = ranker.rank_at_level(values, settings.rule, settings.top_k)
            return ranked_rows(ranker, which, photos[which], at_level, settings.top_k)
        ranking = ranker.rank(values, self.ranked)
        at_level = ranking.at_city_level(ranker.hierarchy)
        rows = ranked_rows(ranker, which, photos[which], at_level, settings.top_k)
        if self.classes:
            classes = class_rows(ranker.gazetteer, ranker.hierarchy, ranking)
            rows = rows.join(classes.set_index(which), on="order")
        return rows

    def _likeliest(
        self, values: np.ndarray, own_ids: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Likely cities (n, width) of some photos and their probabilities."""
        if self.gallery is not None:
            return self.gallery.top_cities(values, own_ids, width)
        ranking = self.ranker.rank(values, self.ranked)
        return ranking.cities[:, :width], ranking.probabilities[:, :width]

    def _smoothed_trip(
        self,
        parts: Sequence[slice],
        names: Sequence[str],
        records: Records,
        keys: Sequence[Hashable] | None,
    ) -> SmoothedTrip:
        """The posteriors of all photos, combined along time.

        Kept positions are anchors; photos without a time, evidence or pixels take no part. Only
        this step holds all photos in memory at once, about 1.5 kB each.
        """
        hierarchy, n = self.ranker.hierarchy, parts[-1].stop if parts else 0
        width = min(self.ranked, len(hierarchy.cities))
        cities, probabilities = np.zeros((n, width), np.int64), np.zeros((n, width))
        anchors, metadata = np.full((n, 2), np.nan), []
        position = np.zeros(len(self.ranker.gazetteer), np.int64)
        position[hierarchy.cities] = np.arange(len(hierarchy.cities))
        for part in parts:
            some = records[part]
            fates = self._fates(some)
            if len(fates.guessed):
                own = None if keys is None else keys[part]
                values = self._values(some, fates.guessed, own)
                ids = self._own_ids(names[part], some, fates.guessed, own)
                rows = part.start + fates.guessed
                cities[rows], probabilities[rows] = self._likeliest(values, ids, width)
            if len(fates.kept):
                rows = part.start + fates.kept
                lat, lon = stated_of(some, fates.kept)
                anchors[rows] = np.column_stack([lat, lon])
                nearest, _ = self.ranker.gazetteer.nearest_rows(lat, lon)
                cities[rows] = position[nearest][:, None]
            silent = {*fates.unread, *fates.abstained}
            metadata += [NOTHING if i in silent else r.metadata for i, r in enumerate(some)]
        hours = hours_of([m.taken for m in metadata], [m.utc_offset for m in metadata])
        prior = self.ranker.log_prior
        allowed = None if prior is None else np.isfinite(prior[hierarchy.cities])
        world = hierarchy.lat, hierarchy.lon
        return smooth_trip(
            cities, probabilities, hours, *world, anchors, self.settings.trip, allowed
        )
