import numpy as np
import pytest

from geoclip.evaluation.recall_area import (
    EARTH_KM2,
    cap_km2,
    recall_area_figures,
    searched_km2,
)


def test_caps():
    assert cap_km2(0) == 0
    assert cap_km2(np.pi * 6371) == pytest.approx(EARTH_KM2)
    assert cap_km2(np.pi * 6371 / 2) == pytest.approx(EARTH_KM2 / 2)
    assert cap_km2(10) == pytest.approx(np.pi * 100, rel=1e-5)


def test_a_search_step_by_step():
    """Slow and independent: the search grows in small steps until a disc holds the true point."""
    random = np.random.default_rng(1)
    for _ in range(20):
        k = random.integers(1, 6)
        km, p = random.uniform(5, 5000, k), random.dirichlet(np.ones(k))
        area = 1.0
        while not any(
            6371 * np.arccos(max(-1, 1 - 2 * area * p[i] / EARTH_KM2)) >= km[i] for i in range(k)
        ):
            area *= 1.001
            if area > EARTH_KM2:
                break
        found = searched_km2(np.zeros(k, int), km, p, photos=1)[0]
        assert found == pytest.approx(min(area, EARTH_KM2), rel=2e-3)


def test_photos_are_apart_and_the_unanswered_are_never_found():
    searched = searched_km2([0, 0, 2], [100, 10, 50], [0.9, 0.1, 0.02], photos=3)
    assert searched[0] == pytest.approx(cap_km2(10) / 0.1)
    assert searched[1] == np.inf
    assert searched[2] == pytest.approx(cap_km2(50))  # one guess: probabilities are shares


def test_unknown_probabilities_share_equally():
    for p in ([np.nan, np.nan], [0.0, 0.0], [0.9, np.nan]):
        assert searched_km2([0, 0], [300, 20], p, 1)[0] == pytest.approx(2 * cap_km2(20))
    assert searched_km2([0, 0], [300, 0], [1.0, 0.0], 1)[0] == 0


def test_figures():
    figures = recall_area_figures([0.5, 50.0, EARTH_KM2, np.inf])
    assert figures["recall"]["1"] == 25
    assert figures["recall"]["100"] == 50
    assert figures["recall"]["100000000"] == 50
    assert figures["km2_for_recall"] == {
        "25": 0.5, "50": 50, "75": pytest.approx(EARTH_KM2), "90": None,
    }  # fmt: skip
    expected = (1 + (1 - np.log10(50) / np.log10(EARTH_KM2)) + 0 + 0) / 4
    assert figures["area_under"] == pytest.approx(expected)
