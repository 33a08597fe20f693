"""Evaluation during training on a table of levels: accuracy at every level, and the best of it."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from random_trees import random_tree
from small_world import WIDTH, FakeEncoder

from geoclip.errors import GeoclipError
from geoclip.photos.embedding import embed_named
from geoclip.places.captions import CaptionBook
from geoclip.ranking.place_index import PlaceIndex, embed_rows
from geoclip.ranking.ranker import PlaceRanker
from geoclip.training.held_out import HeldOut, draw_held_out, settled
from geoclip.training.settings import EvaluationSettings
from geoclip.training.workers import Workers


def test_figures_are_the_accuracy_of_each_level(tmp_path: Path, fake_encoder: FakeEncoder) -> None:
    """Against the posterior's best classes, counted class by class."""
    tree = random_tree(3, tmp_path)
    rng, rows = np.random.default_rng(0), []
    for number in range(24):
        path = str(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
        rows.append((path, path, rng.choice(tree.ids[tree.leaf_rows]), "ab"[number % 2]))
    table = pd.DataFrame(rows, columns=["photo_id", "path", "place_id", "split"])
    table = table.assign(location_id=table["photo_id"], lat=np.nan, lon=np.nan)
    settings = settled(EvaluationSettings(evaluate_every=1), tree)
    assert settings.best_by == f"mean/{tree.level_names[-1]}_top1"
    drawn = draw_held_out(table, settings, gazetteer=tree)
    assert len(drawn) == 24
    figures = HeldOut(drawn, CaptionBook(tree), Workers()).figures(fake_encoder)

    # Half precision, as an index is stored in, would decide between classes that are even.
    index = PlaceIndex(embed_rows(fake_encoder, CaptionBook(tree), range(len(tree))), "key")
    ranker = PlaceRanker(index, tree, 10.0)
    photos = embed_named(fake_encoder, [(path, None) for path in drawn["path"]], WIDTH)
    posterior = ranker.posterior(photos.values)
    for number, level in enumerate(tree.level_names):
        best = ranker.hierarchy.levels[number][posterior.of_level(number).argmax(axis=1)]
        means = []
        for split in "ab":
            hits = defaultdict(list)
            for i, photo in enumerate(drawn.itertuples()):
                chain = [photo.place_id, *tree.parents_of(photo.place_id)]
                true = [one for one in chain if tree[one].level == level]
                if photo.split == split and true:
                    hits[true[0]].append(true[0] == tree.ids[best[i]])
            means.append(100 * float(np.mean([np.mean(own) for own in hits.values()])))
            assert figures[f"{split}/{level}_top1"] == pytest.approx(means[-1])
        assert figures[f"mean/{level}_top1"] == pytest.approx(np.mean(means))


def test_what_the_best_is_chosen_by_must_be_a_figure_of_the_table(tmp_path: Path) -> None:
    tree = random_tree(3, tmp_path)
    photos = {"photo_id": ["x"], "location_id": ["x"], "lat": [np.nan], "split": ["test"]}
    with pytest.raises(GeoclipError, match="use one of mean/level0_top1"):
        draw_held_out(pd.DataFrame(photos), EvaluationSettings(1), gazetteer=tree)
    assert settled(EvaluationSettings(best_by="a/b"), tree).best_by == "a/b"
