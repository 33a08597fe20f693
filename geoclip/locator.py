"""Encoder and place index together: photos in, ranked places out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from geoclip.encoders import Encoder, load_encoder
from geoclip.errors import GeoclipError, PhotoError
from geoclip.gazetteer import Gazetteer
from geoclip.guesses import guess_table
from geoclip.hierarchy import Hierarchy
from geoclip.index import PlaceIndex
from geoclip.model_settings import ModelSettings
from geoclip.paths import decode_path, encode_path
from geoclip.photos import read_photo
from geoclip.place import CITY, COUNTRY, REGION
from geoclip.ranking import Ranking, RankingSettings, Scores, rank

CLASS_COLUMNS = ["country_id", "region_id", "city_id", "country_ranking", "continent_ranking"]
BATCH = 32
BLOCK = 256
"""Photos ranked at a time: bounds the (photos, places) arrays to some hundred MB."""


@dataclass(frozen=True)
class Embeddings:
    """Unit-length image embeddings (N, d) of N paths; a row of NaN where `status` is not "ok"."""

    paths: list[str]
    values: np.ndarray
    status: list[str]
    messages: dict[str, str]

    @property
    def ok(self) -> np.ndarray:
        """Which photos were read, (N,) bool."""
        return np.array([status == "ok" for status in self.status], dtype=bool)


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
        self.index = index
        self.gazetteer = gazetteer
        self.settings = settings or RankingSettings()
        self.hierarchy = Hierarchy.of(gazetteer)
        self.log_prior = log_prior

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
        encoder = load_encoder(name, device or default_device())
        gazetteer = gazetteer or Gazetteer.default()
        stored = ModelSettings.read(encoder.folder)
        index = PlaceIndex.cached(encoder, gazetteer, stored.captions)
        return cls(encoder, index, gazetteer, settings or stored.ranking)

    @property
    def notices(self) -> list[str]:
        """Sentences that a user should see once."""
        return self.encoder.notices

    def embed(
        self, paths: Sequence[str | Path], progress: Callable[[int], None] | None = None
    ) -> Embeddings:
        """Read and encode photos; reading one batch overlaps with encoding another.

        A photo that cannot be read takes a status and a row of NaN; `progress` is called with
        the number of photos done since its last call.
        """
        rows: list[np.ndarray] = []
        status: list[str] = []
        messages: dict[str, str] = {}
        width = self.index.embeddings.shape[1]
        for batch in read_batches(paths, self.encoder):
            good = [pixels for pixels in batch if isinstance(pixels, torch.Tensor)]
            features = iter(self._encode(good))
            for path, item in zip(paths[len(status) :], batch, strict=False):
                if isinstance(item, PhotoError):
                    rows.append(np.full(width, np.nan, np.float32))
                    status.append(item.status)
                    messages[encode_path(path)] = str(item)
                else:
                    rows.append(next(features))
                    status.append("ok")
            if progress:
                progress(len(batch))
        values = np.stack(rows) if rows else np.empty((0, width), np.float32)
        return Embeddings([encode_path(path) for path in paths], values, status, messages)

    def _encode(self, pixels: list[torch.Tensor]) -> np.ndarray:
        if not pixels:
            return np.empty((0, self.index.embeddings.shape[1]), np.float32)
        with torch.inference_mode():
            self.encoder.model.eval()
            features = self.encoder.image_features(torch.stack(pixels).to(self.encoder.device))
        return features.float().cpu().numpy()

    def rank(self, values: np.ndarray, top_k: int = 5) -> Ranking:
        """Rank the cities for embeddings (N, d), a block of photos at a time."""
        with torch.no_grad():
            scale = float(self.encoder.log_logit_scale.exp())
        prior = None if self.log_prior is None else self.log_prior[self.hierarchy.cities]
        blocks = []
        for start in range(0, max(len(values), 1), BLOCK):  # also without a photo: one, empty
            block = values[start : start + BLOCK]
            scores = Scores.of(block, self.index.embeddings, self.hierarchy, scale)
            blocks.append(rank(scores, self.hierarchy, self.settings, top_k, prior))
        names = [field.name for field in fields(Ranking)]
        return Ranking(*(np.concatenate([getattr(b, name) for b in blocks]) for name in names))

    def locate(
        self,
        paths: Sequence[str | Path],
        top_k: int = 5,
        group_by: Sequence[object] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> pd.DataFrame:
        """Locate photos; one row per photo and rank, in the columns of `geoclip.guesses`.

        With `group_by`, the readable photos of one group are views of one place: their mean
        embedding is ranked and each gets that answer; a missing group (None, NaN) is none. A photo
        that cannot be read has one row. Places that `log_prior` or a greedy choice excludes are
        not listed, even where fewer than `top_k` are left. Raises GeoclipError for `top_k` below
        1, and where `group_by` is not as long as `paths`.
        """
        embeddings = self.embed(paths, progress)
        return self.guesses(embeddings, top_k, group_by)

    def guesses(
        self,
        embeddings: Embeddings,
        top_k: int = 5,
        group_by: Sequence[object] | None = None,
        classes: bool = False,
    ) -> pd.DataFrame:
        """Turn embeddings into the table of guesses (see `locate`).

        With `classes` the columns `CLASS_COLUMNS` stand behind the schema's: for each photo the
        most probable place of each level and the ranked countries and continents.
        """
        if group_by is not None and len(group_by) != len(embeddings.paths):
            raise GeoclipError(
                f"group_by has {len(group_by)} groups for {len(embeddings.paths)} photos; give "
                "each photo one."
            )
        readable = np.flatnonzero(embeddings.ok)
        parts = [_unread_rows(embeddings)]
        if len(readable):
            values = embeddings.values[readable]
            if group_by is not None:
                values = group_mean(values, [group_by[int(i)] for i in readable])
            ranking = self.rank(values, top_k)
            paths = np.array(embeddings.paths, dtype=object)[readable]
            parts.append(self._answer_rows(readable, paths, ranking))
        frame = pd.concat(parts).sort_values(["order", "rank"], kind="stable", ignore_index=True)
        table = guess_table(frame)
        if classes:
            texts = frame.reindex(columns=CLASS_COLUMNS).astype(object).fillna("").astype(str)
            table = pd.concat([table, texts], axis=1)
        return table

    def _answer_rows(self, order: np.ndarray, paths: np.ndarray, ranking: Ranking) -> pd.DataFrame:
        g, cities = self.gazetteer, self.hierarchy.cities
        n, k = ranking.cities.shape
        rows = cities[ranking.cities.reshape(-1)]
        chains = g.ancestors[rows]
        first = np.tile(np.arange(k) == 0, n)
        point = np.where(first, np.repeat(cities[ranking.points], k), rows)
        frame = {
            "order": np.repeat(order, k),
            "path": np.repeat(paths, k),
            "rank": np.tile(np.arange(1, k + 1), n),
            "source": "model",
            "place_id": g.ids[rows],
            "city": g.names[chains[:, CITY]],
            "region": np.where(chains[:, REGION] >= 0, g.names[chains[:, REGION]], ""),
            "country": g.names[chains[:, COUNTRY]],
            "country_code": g.country_codes[rows],
            "lat": g.lat[point],
            "lon": g.lon[point],
            "place_lat": g.lat[rows],
            "place_lon": g.lon[rows],
            "probability": ranking.probabilities.reshape(-1),
            "radius_km": np.nan,
            "status": "ok",
        }
        classes = {name: np.repeat(values, k) for name, values in self._classes(ranking).items()}
        listed = ranking.probabilities.reshape(-1) > 0
        return pd.DataFrame({**frame, **classes})[listed]

    def _classes(self, ranking: Ranking) -> dict[str, np.ndarray]:
        """Class answers (N,) of `CLASS_COLUMNS`: marginals of the posterior at each level."""
        g, h = self.gazetteer, self.hierarchy
        countries = h.countries[ranking.countries]
        region_ids = np.append(g.ids[h.regions], "")  # position -1: no region
        regions = region_ids[ranking.regions]
        codes = [" ".join(g.ids[row]) for row in countries]
        continents = [" ".join(dict.fromkeys(g.continents[row])) for row in countries]
        values = (g.ids[countries[:, 0]], regions, g.ids[h.cities[ranking.cities[:, 0]]])
        columns = (*values, np.array(codes, object), np.array(continents, object))
        return dict(zip(CLASS_COLUMNS, columns, strict=True))


def default_device() -> str:
    """Return "cuda" where PyTorch sees a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def read_batches(
    paths: Iterable[str | Path], encoder: Encoder, batch: int = BATCH, threads: int = 2
) -> Iterator[list[torch.Tensor | PhotoError]]:
    """Yield batches of pixels (3, S, S), or the error of a photo that cannot be read.

    The next batch is decoded by `threads` threads while the caller works on the last one.
    """

    def load(path: str | Path) -> torch.Tensor | PhotoError:
        try:
            # A text may come from a table, where a name that is not UTF-8 stands encoded.
            file = decode_path(path) if isinstance(path, str) else path
            return encoder.preprocess(read_photo(file, short_side=encoder.image_size))
        except PhotoError as error:
            return error

    remaining = iter(paths)
    with ThreadPoolExecutor(threads) as pool:
        ahead = [pool.submit(load, path) for path in islice(remaining, batch)]
        while ahead:
            following = [pool.submit(load, path) for path in islice(remaining, batch)]
            yield [future.result() for future in ahead]
            ahead = following


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


def _unread_rows(embeddings: Embeddings) -> pd.DataFrame:
    unread = np.flatnonzero(~embeddings.ok)
    return pd.DataFrame(
        {
            "order": unread,
            "path": [embeddings.paths[i] for i in unread],
            "rank": 1,
            "source": "",
            "status": [embeddings.status[i] for i in unread],
        }
    )
