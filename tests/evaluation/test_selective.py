import numpy as np
import pytest

from geoclip.evaluation.selective import area_under_risk, risk_figures, risks


def test_risk_of_the_surest_answers_one_by_one():
    """Slow and independent: ties are broken at random, many times, and averaged."""
    random = np.random.default_rng(2)
    n = 40
    confidence = random.integers(0, 8, n) / 8
    wrong = random.random(n) < 0.4
    total = np.zeros(n)
    for _ in range(4000):
        order = sorted(range(n), key=lambda i: (-confidence[i], random.random()))
        errors = 0
        for k, i in enumerate(order, start=1):
            errors += bool(wrong[i])
            total[k - 1] += errors / k
    np.testing.assert_allclose(risks(confidence, wrong), total / 4000, atol=0.015)


def test_area_of_known_curves():
    assert area_under_risk([0.9, 0.8, 0.7, 0.6], [True, False, False, False]) == pytest.approx(
        (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    )
    assert area_under_risk([0.9, 0.8, 0.7, 0.6], [False, False, False, True]) == pytest.approx(
        1 / 16
    )
    # Uninformative confidence gives the share of errors at every coverage.
    assert risks(np.ones(5), [True, False, False, False, True]).tolist() == pytest.approx([0.4] * 5)


def test_figures_know_the_best_order():
    """r + (1 − r) ln(1 − r) is the best area for a share r of errors (Geifman et al. 2019)."""
    n, wrong = 10_000, np.arange(10_000) < 3000
    figures = risk_figures(-np.arange(n, dtype=float), ~wrong)
    assert figures["best_area"] == pytest.approx(0.7 + 0.3 * np.log(0.3), abs=1e-3)
    assert figures["error"] == 70
    assert figures["curve"][-1] == [100, 70]
    assert risk_figures([0.9, 0.8], [False, True])["area"] == 0.25
