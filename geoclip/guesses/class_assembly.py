"""Records of photos → the table of guesses of classes, for a table of levels that lie nowhere."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.guesses.believed import Records
from geoclip.guesses.blocks import Block
from geoclip.guesses.class_guesses import AUTO, class_columns, class_guesses
from geoclip.guesses.failures import told_of
from geoclip.guesses.fates import Fates, embeddings_of
from geoclip.guesses.settings import LocateSettings
from geoclip.photos.abstention import AbstentionCheck, AbstentionSettings
from geoclip.photos.embedding import Embeddings
from geoclip.photos.records import PhotoRecord
from geoclip.photos.views import slices
from geoclip.places.place import level_number
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import BLOCK

NOTHING_ABSTAINED = AbstentionSettings("off")
"""What shows no place may well show a class."""


def class_settings(settings: LocateSettings, ranker: PlaceRanker) -> LocateSettings:
    """Settings as they hold for classes: whatever a photo states of its position plays no part.

    Raises GeoclipError for one that is about positions, and for a level of another table.
    """
    default = LocateSettings()
    if settings.level != AUTO:
        level_number(settings.level, ranker.gazetteer.level_names)
    asked = {
        "stated positions (gps)": settings.gps not in (default.gps, "ignore"),
        "tracks (gpx)": bool(settings.gpx),
        "a gallery": settings.gallery is not None,
        "trip smoothing (album)": settings.trip is not None,
        "a point estimate": settings.point != default.point,
        "a greedy ranking, by population,": ranker.settings.method != "joint",
        "a part of the world": ranker.log_prior is not None,
    }
    for what in (what for what, is_asked in asked.items() if is_asked):
        raise GeoclipError(
            f"{what} goes with places, and the classes of {ranker.gazetteer!r} lie nowhere; leave "
            "it out."
        )
    return replace(settings, gps="ignore", abstention=NOTHING_ABSTAINED)


class ClassAssembler:
    """Assembles rows of guesses of classes from records, as `Assembler` does those of places."""

    def __init__(self, ranker: PlaceRanker, settings: LocateSettings) -> None:
        self.ranker = ranker
        self.settings = class_settings(settings, ranker)

    @property
    def extra_columns(self) -> dict[str, str]:
        """The columns of the tables, with their dtypes."""
        return class_columns(self.ranker.gazetteer.level_names)

    def blocks(
        self, names: Sequence[str], records: Records, keys: Sequence[Hashable] | None = None
    ) -> Iterator[Block]:
        """Guesses for N photos, in their order, some hundred at a time; `keys` as `Assembler`'s."""
        for part in slices(range(len(names)) if keys is None else keys, BLOCK):
            yield self.block(names[part], records[part], None if keys is None else keys[part])

    def block(
        self,
        names: Sequence[str],
        records: Sequence[PhotoRecord],
        keys: Sequence[Hashable] | None = None,
    ) -> Block:
        """Guesses for N photos at once."""
        fates = Fates.of(records, AbstentionCheck(self.settings.abstention), keep_gps=False)
        values = np.full((len(records), self.ranker.index.embeddings.shape[1]), np.nan, np.float32)
        if len(fates.guessed):
            values[fates.guessed] = embeddings_of(records, fates.guessed)
        found = Embeddings(list(names), values, [record.status for record in records], {})
        given = self.settings.top_k, self.settings.confidence, keys, self.settings.level
        table = class_guesses(self.ranker, found, *given)
        return Block(table, *told_of(names, records, fates), Counter(), len(records))
