"""Encoder and place index together: photos in, ranked places out."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from geoclip.encoders import Encoder, load_encoder
from geoclip.errors import GeoclipError
from geoclip.guesses.rows import CLASS_COLUMNS, answer_rows, class_rows, silent_rows
from geoclip.guesses.schema import Guess, guess_table, to_geodataframe, to_guesses
from geoclip.photos.reader import (
    BATCH,
    DecodedPhoto,
    Embeddings,
    PhotoReader,
    embed_batches,
    encode_decoded,
    in_batches,
    read_batches,
)
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import BLOCK, Ranking
from geoclip.ranking.settings import RankingSettings
from geoclip.support.paths import AnyPath, encode_path, path_list

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["BATCH", "BLOCK", "CLASS_COLUMNS", "Embeddings", "Locator", "default_device"]


class Locator:
    """Names the places of photos.

    `log_prior` (P,), if given, is added to each place's log posterior by gazetteer row.
    """

    def __init__(
        self,
        encoder: Encoder,
        index: PlaceIndex,
        gazetteer: Gazetteer,
        settings: RankingSettings | None = None,
        log_prior: np.ndarray | None = None,
    ) -> None:
        self.encoder = encoder
        with torch.no_grad():
            logit_scale = float(encoder.log_logit_scale.exp())
        self.ranker = PlaceRanker(index, gazetteer, logit_scale, settings, log_prior)

    @property
    def index(self) -> PlaceIndex:
        """The embeddings of the places."""
        return self.ranker.index

    @property
    def gazetteer(self) -> Gazetteer:
        """The places."""
        return self.ranker.gazetteer

    @property
    def settings(self) -> RankingSettings:
        """How places are ranked."""
        return self.ranker.settings

    def __repr__(self) -> str:
        return f"Locator({self.encoder!r}, {self.gazetteer!r}, {self.settings!r})"

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        gazetteer: Gazetteer | None = None,
        device: str | None = None,
        settings: RankingSettings | None = None,
    ) -> "Locator":
        """Load an encoder by name or folder and index the gazetteer with it.

        The index is kept in the user's cache folder and used again while encoder, gazetteer and
        prompts are the same. A folder's own `geoclip.json` gives the ranking settings it was
        calibrated with; `settings` overrides them. Raises GeoclipError as `load_encoder` does.
        """
        encoder = load_encoder(name, device or default_device()).for_photos()
        gazetteer = Gazetteer.default() if gazetteer is None else gazetteer
        stored = ModelSettings.read(encoder.folder)
        index = PlaceIndex.cached(encoder, gazetteer, stored.captions)
        return cls(encoder, index, gazetteer, settings or stored.ranking)

    def narrowed(
        self,
        countries: Sequence[str] | None = None,
        bbox: tuple[float, float, float, float] | None = None,
        near: tuple[float, float, float] | None = None,
    ) -> "Locator":
        """The same locator for a part of the world; arguments and errors as `narrowing.prior`."""
        ranker = self.ranker.narrowed(countries, bbox, near)
        return type(self)(
            self.encoder, ranker.index, ranker.gazetteer, ranker.settings, ranker.log_prior
        )

    @property
    def warnings(self) -> list[str]:
        """Sentences that a user should see once."""
        return self.encoder.warnings

    def embed(
        self, paths: AnyPath | Iterable[AnyPath], progress: Callable[[int], None] | None = None
    ) -> Embeddings:
        """Read and encode photos and videos; reading one batch overlaps with encoding another.

        A photo that cannot be read takes a status and a row of NaN; `progress` is called with
        the number of photos done since its last call.
        """
        paths = path_list(paths)
        batches = read_batches(in_batches(paths, BATCH), PhotoReader(self.encoder))
        width = self.index.embeddings.shape[1]
        names = [encode_path(path) for path in paths]
        return embed_batches(self.encoder, names, batches, width, progress)

    def encode(self, readings: Sequence[DecodedPhoto]) -> list[np.ndarray | None]:
        """Embeddings (d,) of what was read, a video's the mean of its frames; None without one."""
        return encode_decoded(self.encoder, readings)

    def rank(self, values: np.ndarray, top_k: int = 5) -> Ranking:
        """Rank the cities for embeddings (N, d)."""
        return self.ranker.rank(values, top_k)

    def locate(
        self,
        paths: AnyPath | Iterable[AnyPath],
        top_k: int = 5,
        group_by: Iterable[object] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> "gpd.GeoDataFrame":
        """Locate photos and videos; one row per photo and rank, with the points as geometry.

        The columns are those of `guesses.schema`. With `group_by`, the readable photos of one
        group are views of one place: their mean embedding is ranked and each gets that answer; a
        missing group (None, NaN) is none. A photo that cannot be read has one row. Places that
        `log_prior` or a greedy choice excludes are not listed, even where fewer than `top_k` are
        left. Positions stated in the files are not looked at. Raises GeoclipError for `top_k`
        below 1, and where `group_by` is not as long as `paths`.
        """
        return to_geodataframe(self.guesses(self.embed(paths, progress), top_k, group_by))

    def locate_one(self, path: str | Path, top_k: int = 5) -> list[Guess]:
        """The guesses for one photo, best first; one whose status says why if it is unreadable."""
        return to_guesses(self.guesses(self.embed([path]), top_k))

    def guesses(
        self,
        embeddings: Embeddings,
        top_k: int = 5,
        group_by: Iterable[object] | None = None,
        classes: bool = False,
    ) -> pd.DataFrame:
        """Turn embeddings into the table of guesses (see `locate`).

        With `classes` the columns `CLASS_COLUMNS` stand behind the schema's: for each photo the
        place of each level and the ranked countries and continents (see `answers.class_rows`).
        """
        group_by = None if group_by is None else list(group_by)
        if group_by is not None and len(group_by) != len(embeddings.paths):
            raise GeoclipError(
                f"group_by has {len(group_by)} groups for {len(embeddings.paths)} photos; give "
                "each photo one."
            )
        paths = np.array(embeddings.paths, dtype=object)
        readable, unread = np.flatnonzero(embeddings.ok), np.flatnonzero(~embeddings.ok)
        parts = [silent_rows(unread, paths[unread], [embeddings.status[i] for i in unread])]
        if len(readable):
            values = embeddings.values[readable]
            if group_by is not None:
                values = group_mean(values, [group_by[int(i)] for i in readable])
            ranking = self.rank(values, top_k)
            named = (readable, paths[readable])
            rows = answer_rows(self.gazetteer, self.ranker.hierarchy, *named, ranking, top_k)
            if classes:
                answers = class_rows(self.gazetteer, self.ranker.hierarchy, ranking)
                rows = rows.join(answers.set_index(readable), on="order")
            parts.append(rows)
        frame = pd.concat(parts).sort_values(["order", "rank"], kind="stable", ignore_index=True)
        table = guess_table(frame)
        if classes:
            texts = frame.reindex(columns=CLASS_COLUMNS).astype(object).fillna("").astype(str)
            table = pd.concat([table, texts], axis=1)
        return table


def default_device() -> str:
    """Return "cuda" where PyTorch sees a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def group_mean(values: np.ndarray, groups: Sequence[object]) -> np.ndarray:
    """Replace each embedding (N, d) by the normalised mean of its group.

    A photo whose group is missing (None, NaN) stays as it is.
    """
    number: dict[object, int] = {}
    keys = [("alone", i) if pd.isna(group) else group for i, group in enumerate(groups)]
    codes = np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)
    sums = np.zeros((len(number), values.shape[1]), values.dtype)
    np.add.at(sums, codes, values)
    means = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return means[codes]
