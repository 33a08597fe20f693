"""Guesses of the classes of a table of levels, against the posterior that they come from."""

from pathlib import Path

import numpy as np
import pytest
from random_trees import random_tree

from geoclip.errors import GeoclipError
from geoclip.guesses.assembly import Assembler
from geoclip.guesses.class_guesses import class_columns, class_guesses
from geoclip.guesses.settings import LocateSettings
from geoclip.photos.abstention import AbstentionCheck
from geoclip.photos.embedding import Embeddings
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.ranker import PlaceRanker

N, WIDTH = 150, 8  # more photos than are ranked at a time


def ranker_of(seed: int, folder: Path) -> PlaceRanker:
    tree = random_tree(seed, folder)
    index = np.random.default_rng(seed).normal(size=(len(tree), WIDTH)).astype(np.float32)
    return PlaceRanker(PlaceIndex(index, "key"), tree, 1.5)


def embedded(seed: int, n: int = N) -> Embeddings:
    values = np.random.default_rng(100 + seed).normal(size=(n, WIDTH)).astype(np.float32)
    return Embeddings([f"{i}.jpg" for i in range(n)], values, ["ok"] * n, {})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("confidence", [0.0, 0.6, 1.0])
def test_rows_are_those_of_the_posterior(seed: int, confidence: float, tmp_path: Path) -> None:
    ranker, found = ranker_of(seed, tmp_path), embedded(seed)
    tree, levels = ranker.gazetteer, ranker.gazetteer.level_names
    table = class_guesses(ranker, found, top_k=3, confidence=confidence)
    assert list(table) == list(class_columns(levels))
    posterior = ranker.posterior(found.values)
    chances = [posterior.of_level(number) for number in range(len(levels))]
    for i, (path, rows) in enumerate(table.groupby("path", sort=False)):
        assert path == f"{i}.jpg"
        best = [p[i].max() for p in chances]
        vouched = [number for number, p in enumerate(best) if p >= confidence]
        at = max(vouched, default=0)
        own = rows.iloc[0]
        assert set(rows["level"]) == {levels[at] if vouched else "none"}
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        expected = np.sort(chances[at][i])[::-1][:3]
        assert rows["probability"].to_numpy() == pytest.approx(expected, rel=1e-5)
        for number, level in enumerate(levels):
            classes = ranker.hierarchy.levels[number]
            assert own[f"{level}_id"] == tree.ids[classes[chances[number][i].argmax()]]
            assert own[f"{level}_probability"] == pytest.approx(best[number], rel=1e-5)
        if vouched:
            assert own["place_id"] == own[f"{levels[at]}_id"]
            chain = [
                tree[own["place_id"]],
                *(tree[one] for one in tree.parents_of(own["place_id"])),
            ]
            named = {place.level: place.name for place in chain}
            assert {level: own[level] for level in levels if own[level]} == named
        else:
            assert set(rows["place_id"]) == {""}


def test_unread_photos_and_views(tmp_path: Path) -> None:
    ranker, found = ranker_of(0, tmp_path), embedded(0, 4)
    found.values[1] = np.nan
    found = Embeddings(found.paths, found.values, ["ok", "unreadable", "ok", "ok"], {})
    table = class_guesses(ranker, found, top_k=1, keys=["a", "a", "b", "b"])
    assert table["status"].tolist() == ["ok", "unreadable", "ok", "ok"]
    assert table.loc[1, ["level", "place_id", "level0_id"]].tolist() == ["", "", ""]
    assert np.isnan(table.loc[1, "probability"])
    views = table.loc[2:].drop(columns="path")
    assert views.iloc[0].to_dict() == views.iloc[1].to_dict()
    apart = class_guesses(ranker, found, top_k=1)
    assert not apart.loc[2:, "level0_probability"].equals(table.loc[2:, "level0_probability"])


def test_no_photo_at_all(tmp_path: Path) -> None:
    assert len(class_guesses(ranker_of(0, tmp_path), embedded(0, 0))) == 0


def test_classes_are_not_put_on_a_map(tmp_path: Path) -> None:
    settings = LocateSettings.model_alone(5)
    with pytest.raises(GeoclipError, match="has no coordinates"):
        Assembler(ranker_of(0, tmp_path), AbstentionCheck(settings.abstention), settings)
