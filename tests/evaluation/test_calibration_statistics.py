import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.evaluation.calibration_statistics import (
    calibration_figures,
    coverage,
    coverage_by,
    expected_calibration_error,
    reliability_table,
)


@pytest.mark.parametrize("bins", [1, 4, 10, 15])
def test_calibration_error_photo_by_photo(bins):
    """Slow and independent: bins by a loop over photos, as Guo et al. 2017 write it."""
    random = np.random.default_rng(bins)
    p = random.beta(0.6, 0.8, 300)
    p[:3] = [0, 1, 0.5]
    right = random.random(300) < p**1.7
    boxes: list[list[int]] = [[] for _ in range(bins)]
    for i in range(300):
        boxes[min(int(p[i] * bins), bins - 1)].append(i)
    error = 0.0
    for box in filter(None, boxes):
        error += len(box) / 300 * abs(sum(right[box]) / len(box) - sum(p[box]) / len(box))
    assert expected_calibration_error(p, right, bins) == pytest.approx(error)
    assert [row["n"] for row in reliability_table(p, right, bins)] == [
        len(box) for box in boxes if box
    ]


def test_known_errors():
    assert expected_calibration_error(np.full(10, 0.9), [True] * 9 + [False]) == pytest.approx(0)
    assert expected_calibration_error(np.full(10, 0.9), [False] * 10) == pytest.approx(0.9)
    assert expected_calibration_error([], []) is None


def test_figures_are_in_percent_but_the_error():
    figures = calibration_figures([0.95, 0.85], [True, False])
    assert (figures["n"], figures["stated"], figures["right"]) == (2, pytest.approx(90), 50)
    assert figures["ece"] == pytest.approx((0.05 + 0.85) / 2)
    assert [row["from"] for row in figures["bins"]] == [80, 90]


def test_coverage_counts_stated_radii_and_misses():
    km = [10, 30, np.inf, 5, 5]
    radius = [10, 20, 100, np.nan, 6]
    assert coverage(km, radius) == {"n": 4, "holds": 50}
    assert coverage(km, np.full(5, np.nan)) is None
    by = coverage_by(km, radius, ["b", "a", "b", "c", ""])
    assert by == {"a": {"n": 1, "holds": 0}, "b": {"n": 2, "holds": 50}}


ROW = st.tuples(
    st.sampled_from([0.0, 1.0, 5.0, np.inf]),
    st.sampled_from([1.0, 3.0, np.nan]),
    st.sampled_from("ab"),
)


@given(st.lists(ROW, max_size=20))
def test_coverage_photo_by_photo(rows):
    """Slow and independent: photos are (distance, radius, group)."""

    def expected(group: str) -> dict[str, object] | None:
        own = [(km, radius) for km, radius, name in rows if name in group and radius > 0]
        held = sum(km <= radius for km, radius in own)
        return {"n": len(own), "holds": pytest.approx(100 * held / len(own))} if own else None

    km, radius, names = ([row[i] for row in rows] for i in range(3))
    assert coverage(km, radius) == expected("ab")
    parts = {name: expected(name) for name in "ab" if expected(name)}
    assert coverage_by(km, radius, np.array(names, dtype=object)) == parts


@pytest.mark.parametrize("p", [[1.2], [-0.1], [np.nan], [0.5, 0.5]])
def test_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="probabilities"):
        reliability_table(p, [True])
