"""Guesses of the classes of a table of any levels, which lie nowhere: kingdom … species, say."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from geoclip.photos.embedding import Embeddings, mean_of_views
from geoclip.photos.refusals import PARTIAL
from geoclip.places.place import level_number
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import CACHE_ROWS
from geoclip.ranking.segments import top_columns

AUTO = "auto"
NONE = "none"
"""The level of a photo of which not even a class of the first level is probable enough."""


def class_columns(levels: Sequence[str]) -> dict[str, str]:
    """The columns of `class_guesses` for levels, with their dtypes."""
    own = {"path": "str", "rank": "int64", "status": "str", "level": "str", "place_id": "str"}
    return {
        **own,
        "probability": "float64",
        **dict.fromkeys(levels, "str"),
        **dict.fromkeys((f"{level}_id" for level in levels), "str"),
        **dict.fromkeys((f"{level}_probability" for level in levels), "float64"),
    }


def class_guesses(
    ranker: PlaceRanker,
    found: Embeddings,
    top_k: int = 5,
    confidence: float = 0.5,
    keys: Sequence[Hashable] | None = None,
    level: str = AUTO,
) -> pd.DataFrame:
    """Up to `top_k` rows for each of N photos, in order, with the columns of `class_columns`.

    All rows of a photo are of one level: `level`, or with "auto" the deepest whose most probable
    class has at least the probability `confidence`. Where no level has, it is "none": the classes
    are those of the first level, and none is named by `place_id`. A row names the class and its
    ancestors, "" below. LEVEL_id and LEVEL_probability are the photo's most probable class of every
    level, whatever the answer. Photos of one key (N,) are views of one thing: the mean of their
    embeddings is ranked. A photo that was not read has one row with its status. Raises GeoclipError
    for an unknown level.
    """
    rule = confidence, _asked(level, ranker)
    columns = class_columns(ranker.gazetteer.level_names)
    read = np.flatnonzero(found.ok)
    values = found.values[read]
    if keys is not None and len(read):
        values = mean_of_views(values, [keys[i] for i in read.tolist()])
    unread = np.flatnonzero(~found.ok)
    status = [found.status[i] for i in unread]
    parts = [pd.DataFrame({"photo": unread, "rank": 1, "status": status})]
    for start in range(0, len(read), CACHE_ROWS):
        part = slice(start, start + CACHE_ROWS)
        parts.append(_ranked(ranker, read[part], values[part], top_k, *rule))
    table = pd.concat([part for part in parts if len(part)] or parts)
    table = table.sort_values(["photo", "rank"], ignore_index=True)
    partial = [i for i in read.tolist() if found.status[i] == PARTIAL]
    table.loc[table["photo"].isin(partial), "status"] = PARTIAL
    table["path"] = np.array(found.paths, dtype=object)[table["photo"].to_numpy(dtype=int)]
    table = table.reindex(columns=list(columns))
    texts = [name for name, dtype in columns.items() if dtype == "str"]
    return table.fillna(dict.fromkeys(texts, "")).astype(columns)


def _asked(level: str, ranker: PlaceRanker) -> int | None:
    """The number of the level that is asked for, None for the deepest that is probable enough."""
    return None if level == AUTO else level_number(level, ranker.gazetteer.level_names)


def _ranked(
    ranker: PlaceRanker,
    photos: np.ndarray,
    values: np.ndarray,
    top_k: int,
    confidence: float,
    asked: int | None,
) -> pd.DataFrame:
    """Rows of photos (n,) by their embeddings (n, d)."""
    levels = ranker.gazetteer.level_names
    posterior = ranker.posterior(values)
    by_level = [posterior.of_level(number) for number in range(len(levels))]
    most = np.stack([p.max(axis=1) for p in by_level], axis=1)  # (n, L)
    best = {}
    for level, rows, p in zip(levels, ranker.hierarchy.levels, by_level, strict=True):
        best[f"{level}_id"] = ranker.gazetteer.ids[rows[p.argmax(axis=1)]]
        best[f"{level}_probability"] = p.max(axis=1).clip(0, 1)
    of_photos = pd.DataFrame({"photo": photos, **best})
    depth = np.where(most >= confidence, np.arange(len(levels)), -1).max(axis=1)
    if asked is not None:
        depth = np.full_like(depth, asked)
    parts = [
        _listed(ranker, photos[depth == at], by_level[max(at, 0)][depth == at], at, top_k)
        for at in np.unique(depth).tolist()
    ]
    return pd.concat(parts).merge(of_photos, on="photo")


def _listed(
    ranker: PlaceRanker, photos: np.ndarray, p: np.ndarray, at: int, top_k: int
) -> pd.DataFrame:
    """The most probable classes of photos (n,) by probabilities (n, m) of a level; -1 for none."""
    g, number = ranker.gazetteer, max(at, 0)
    positions = top_columns(p, top_k)
    k = positions.shape[1]
    rows = ranker.hierarchy.levels[number][positions.reshape(-1)]
    chains, names = g.ancestors[rows], np.append(g.names, "")
    return pd.DataFrame(
        {
            "photo": np.repeat(photos, k),
            "rank": np.tile(np.arange(1, k + 1), len(photos)),
            "status": "ok",
            "level": NONE if at < 0 else g.level_names[at],
            "place_id": "" if at < 0 else g.ids[rows],
            "probability": np.take_along_axis(p, positions, axis=1).reshape(-1).clip(0, 1),
            **{level: names[above] for level, above in zip(g.level_names, chains.T, strict=True)},
        }
    )
