"""Joint posteriors of hierarchies of two to five levels against a loop from the definition."""

from pathlib import Path

import numpy as np
import pytest
from random_trees import random_tree
from small_world import CITIES, COUNTRIES, REGIONS, place_table

from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.logits import Logits
from geoclip.ranking.posterior import joint_posterior

Chain = tuple[int, ...]


def softmax_of(row: int, siblings: set[int], logits: np.ndarray) -> float:
    weights = {one: np.exp(logits[one]) for one in siblings}
    return float(weights[row] / sum(weights.values()))


def slow_posterior(tree: Gazetteer, logits: np.ndarray) -> dict[int, float]:
    """p(leaf) by its row: the product over all steps down, among the possible ones.

    Where some children of a place have a class at the next level and others have none, those
    without count as one more class, and the classes share the rest by their logits.
    """
    chains: dict[int, Chain] = {int(leaf): tuple(tree.ancestors[leaf]) for leaf in tree.leaf_rows}
    found = {}
    for leaf, chain in chains.items():
        p = 1.0
        for level in range(len(chain)):
            siblings = {c[level] for c in chains.values() if c[:level] == chain[:level]}
            real = siblings - {-1}
            if chain[level] >= 0:
                p *= softmax_of(chain[level], real, logits)
            if -1 in siblings and real:
                p *= (len(real) if chain[level] >= 0 else 1) / (len(real) + 1)
        found[leaf] = p
    return found


def by_level(tree: Gazetteer, logits: np.ndarray) -> Logits:
    return Logits(*(logits[None, rows] for rows in Hierarchy.of(tree).levels))


@pytest.mark.parametrize("seed", range(40))
def test_joint_posterior_equals_the_loop(seed: int, tmp_path: Path) -> None:
    tree = random_tree(seed, tmp_path)
    h, logits = Hierarchy.of(tree), np.random.default_rng(seed).normal(scale=2, size=len(tree))
    posterior = joint_posterior(by_level(tree, logits), h)
    expected = slow_posterior(tree, logits)
    leaves = dict(zip(h.cities.tolist(), np.exp(posterior.log_cities[0]), strict=True))
    assert leaves == pytest.approx(expected)
    assert sum(leaves.values()) == pytest.approx(1)
    for number, rows in enumerate(h.levels):
        inside = {
            int(row): sum(p for leaf, p in expected.items() if tree.ancestors[leaf, number] == row)
            for row in rows
        }
        found = dict(zip(rows.tolist(), posterior.of_level(number)[0], strict=True))
        assert found == pytest.approx(inside)


def test_a_small_world_is_one_of_them() -> None:
    world = Gazetteer(place_table(COUNTRIES, REGIONS, CITIES))
    logits = np.random.default_rng(0).normal(size=len(world))
    h = Hierarchy.of(world)
    found = np.exp(joint_posterior(by_level(world, logits), h).log_cities[0])
    assert dict(zip(h.cities.tolist(), found, strict=True)) == pytest.approx(
        slow_posterior(world, logits)
    )
