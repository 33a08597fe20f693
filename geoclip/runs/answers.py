"""Locating many photos, the short part: from the journal to guesses, a block at a time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geoclip.ranking.trip_smoothing import SmoothedTrip, smooth_trip, hours_of
from geoclip.guesses.rows import answer_rows, gps_rows, silent_rows
from geoclip.photos.metadata import NOTHING
from geoclip.guesses.gps_comparison import EXTRA_COLUMNS, FAR_KM, compared, stated_positions
from geoclip.runs.journal import Journal
from geoclip.guesses.failures import Failure
from geoclip.runs.records import PhotoRecord
from geoclip.runs.folder_run import FolderRun
from geoclip.guesses.schema import ALBUM, MODEL, guess_table
from geoclip.locator import BLOCK, group_mean
from geoclip.support.paths import encode_path
from geoclip.ranking.point_estimate import expected_score_city
from geoclip.ranking.ranking import Ranking

NO_EVIDENCE = "no evidence"
CANDIDATES = 50
"""Places of each photo that are weighed against its neighbours' or its stated position."""


@dataclass(frozen=True)
class Block:
    """Guesses for some photos, entries for those that could not be read, and counts.

    `kinds` counts what the photos without evidence look like.
    """

    table: pd.DataFrame
    unread: list[Failure]
    kinds: Counter[str]
    photos: int


@dataclass(frozen=True)
class SharedEvidence:
    """The album of a run, and what photos had alone: `points` and `radius`, (N,)."""

    album: SmoothedTrip
    points: np.ndarray
    radius: np.ndarray


@dataclass(frozen=True)
class Fates:
    """What becomes of the photos of a block, as positions in it.

    `unread` could not be read, `kept` have a stated position, `silent` carry no evidence (`kinds`
    says what they look like instead), `guessed` are left to the model.
    """

    unread: np.ndarray
    kept: np.ndarray
    silent: np.ndarray
    guessed: np.ndarray
    kinds: list[str]


class FolderAnswers:
    """Guesses for the photos of a run from a journal that holds all of them."""

    def __init__(self, run: FolderRun, journal: Journal) -> None:
        self.run = run
        self.journal = journal
        self.gazetteer = run.locator.gazetteer
        self.hierarchy = run.locator.ranker.hierarchy

    @property
    def extra_columns(self) -> dict[str, str]:
        """Columns of the tables behind the schema's, with their dtypes."""
        return EXTRA_COLUMNS if self.run.settings.gps == "compare" else {}

    def blocks(self) -> Iterator[Block]:
        """Guesses for all photos, in their order, some hundred at a time."""
        shared = None if self.run.settings.album is None else self.shared_evidence()
        for start, stop in self.run.slices(BLOCK):
            yield self._block(start, self._records(start, stop), shared)

    def shared_evidence(self) -> SharedEvidence:
        """The posteriors of all photos of the run, combined along time.

        Kept positions are anchors; photos without a time, evidence or pixels take no part. Unlike
        all else here this is in memory for all photos at once, about 1.5 kB for each.
        """
        settings, n = self.run.settings, len(self.run)
        width = min(max(settings.top_k, CANDIDATES), len(self.hierarchy.cities))
        cities = np.zeros((n, width), np.int64)
        probabilities = np.zeros((n, width))
        points, radius = np.zeros(n, np.int64), np.full(n, np.nan)
        anchors = np.full((n, 2), np.nan)
        metadata = []
        position = np.zeros(len(self.gazetteer), np.int64)
        position[self.hierarchy.cities] = np.arange(len(self.hierarchy.cities))
        for start, stop in self.run.slices(BLOCK):
            records = self._records(start, stop)
            fates = self._fates(records)
            if len(fates.guessed):
                ranking = self._rank(start, fates.guessed, records)
                rows = start + fates.guessed
                cities[rows] = ranking.cities[:, :width]
                probabilities[rows] = ranking.probabilities[:, :width]
                points[rows], radius[rows] = ranking.points, ranking.radius
            if len(fates.kept):
                lat, lon = _stated(records, fates.kept)
                anchors[start + fates.kept] = np.column_stack([lat, lon])
                nearest, _ = self.gazetteer.nearest_rows(lat, lon)
                cities[start + fates.kept] = position[nearest][:, None]
            silent = {*fates.unread, *fates.silent}
            metadata += [NOTHING if i in silent else r.metadata for i, r in enumerate(records)]
        hours = hours_of([c.taken for c in metadata], [c.utc_offset for c in metadata])
        h, prior = self.hierarchy, self.run.locator.ranker.log_prior
        allowed = None if prior is None else np.isfinite(prior[h.cities])
        album = smooth_trip(
            cities, probabilities, hours, h.lat, h.lon, anchors, settings.album, allowed
        )
        return SharedEvidence(album, points, radius)

    def _records(self, start: int, stop: int) -> list[PhotoRecord]:
        return self.journal.read(self.run.keys[start:stop])

    def _block(
        self, start: int, records: list[PhotoRecord], shared: SharedEvidence | None
    ) -> Block:
        paths = self.run.paths[start : start + len(records)]
        names = np.array([encode_path(path) for path in paths], dtype=object)
        fates = self._fates(records)
        status = [records[i].status for i in fates.unread] + [NO_EVIDENCE] * len(fates.silent)
        silent = np.r_[fates.unread, fates.silent]
        parts = [
            silent_rows(silent, names[silent], status),
            gps_rows(self.gazetteer, fates.kept, names[fates.kept], *_stated(records, fates.kept)),
        ]
        if len(fates.guessed):
            ranking, source = self._answers(start, fates.guessed, records, shared)
            named = (fates.guessed, names[fates.guessed])
            top_k = self.run.settings.top_k
            parts.append(
                answer_rows(self.gazetteer, self.hierarchy, *named, ranking, top_k, source)
            )
        table = pd.concat([part for part in parts if len(part)])
        table = table.sort_values(["order", "rank"], kind="stable", ignore_index=True)
        order, table = table["order"].to_numpy(), guess_table(table)
        if self.run.settings.gps == "compare":
            fixes = [record.metadata.gps for record in records]
            support = self._support(start, fates.guessed, records, *stated_positions(fixes))
            table = compared(table, order, fixes, support)
        unread = [
            Failure(names[i], records[i].status, records[i].message) for i in fates.unread
        ]
        return Block(table, unread, Counter(fates.kinds), len(records))

    def _fates(self, records: list[PhotoRecord]) -> Fates:
        check = self.run.check
        seen = [i for i, record in enumerate(records) if record.embedding is not None]
        by_prompts = dict(zip(seen, check.of_embeddings(_values(records, seen)), strict=True))
        places: dict[str, list[int]] = {"unread": [], "kept": [], "silent": [], "guessed": []}
        kinds = []
        for i, record in enumerate(records):
            if self.run.is_kept(record):  # also where a run that needed its pixels found none
                fate = "kept"
            elif record.status != "ok":
                fate = "unread"
            else:
                kind = check.reason(record.finding, by_prompts[i])
                kinds += [kind] if kind else []
                fate = "silent" if kind else "guessed"
            places[fate].append(i)
        return Fates(**{k: np.array(v, np.int64) for k, v in places.items()}, kinds=kinds)

    def _answers(
        self,
        start: int,
        guessed: np.ndarray,
        records: list[PhotoRecord],
        shared: SharedEvidence | None,
    ) -> tuple[Ranking, str | np.ndarray]:
        """Ranked places of the guessed photos and their source.

        No radius is stated for a posterior of the album: what is not listed has no place in it.
        """
        if shared is None:
            return self._rank(start, guessed, records), MODEL
        rows = start + guessed
        cities, probabilities = shared.album.cities[rows], shared.album.probabilities[rows]
        changed, points = shared.album.changed[rows], cities[:, 0]
        if self.run.locator.settings.point.rule != "city":
            points = expected_score_city(cities, probabilities, self.hierarchy)
        none = np.empty((len(rows), 0), np.int64)
        ranking = Ranking(
            cities,
            probabilities,
            countries=none,
            country_probabilities=none,
            regions=np.full(len(rows), -1),
            points=np.where(changed, points, shared.points[rows]),
            radius=np.where(changed, np.nan, shared.radius[rows]),
        )
        return ranking, np.where(changed, ALBUM, MODEL).astype(object)

    def _rank(self, start: int, guessed: np.ndarray, records: list[PhotoRecord]) -> Ranking:
        values = self._grouped(start, guessed, records)
        return self.run.locator.rank(values, max(self.run.settings.top_k, CANDIDATES))

    def _grouped(self, start: int, guessed: np.ndarray, records: list[PhotoRecord]) -> np.ndarray:
        """Embeddings (n, d) of some records, those of a group their mean."""
        values = _values(records, guessed)
        if self.run.groups is not None:
            values = group_mean(values, [self.run.groups[start + i] for i in guessed])
        return values

    def _support(
        self,
        start: int,
        guessed: np.ndarray,
        records: list[PhotoRecord],
        lat: np.ndarray,
        lon: np.ndarray,
    ) -> np.ndarray:
        """What each photo itself says for a position (n,); NaN without a guess."""
        support = np.full(len(records), np.nan)
        if len(guessed):
            values = self._grouped(start, guessed, records)
            stated = lat[guessed], lon[guessed]
            support[guessed] = self.run.locator.ranker.support_within(values, *stated, FAR_KM)
        return support


def _values(records: list[PhotoRecord], which: "np.ndarray | list[int]") -> np.ndarray:
    """Embeddings (n, d) of some records, of unit length again after their rounding."""
    values = [e for i in which if (e := records[i].embedding) is not None]
    if not values:
        return np.empty((0, 0), np.float32)
    stacked = np.stack(values).astype(np.float32)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)


def _stated(records: list[PhotoRecord], which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (n,) of the trustworthy positions of some records."""
    fixes = [gps for i in which if (gps := records[i].trusted_gps) is not None]
    return np.array([gps.lat for gps in fixes]), np.array([gps.lon for gps in fixes])
