"""Conformal factors: how many true points the radii hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.evaluation.fitting.radius_fit import BIN_PHOTOS, MOST_BINS, fit_radii
from geoclip.places.sphere import FARTHEST_KM


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(BIN_PHOTOS, 700),
    share=st.sampled_from([0.5, 0.9]),
)
def test_every_bin_holds_the_share(seed, n, share):
    rng = np.random.default_rng(seed)
    credible, km = rng.lognormal(5, 1.5, n), rng.lognormal(5, 1.5, n).clip(max=FARTHEST_KM)
    radii = fit_radii(credible, km, np.full(n, 1 / n), share)
    base = np.fmax(credible, 5.0)
    assert 1 <= len(radii.factors) <= MOST_BINS
    which = [sum(bound < one for bound in radii.bounds_km) for one in base]
    for b, factor in enumerate(radii.factors):
        ratios = sorted(km[i] / base[i] for i in range(n) if which[i] == b)
        rank = math.ceil((len(ratios) + 1) * share - 1e-9)
        assert factor == pytest.approx(ratios[rank - 1], rel=1e-3)


def test_new_photos_of_the_same_kind_are_held():
    rng = np.random.default_rng(0)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        credible = rng.lognormal(6, 1, n)
        return credible, credible**0.7 * rng.exponential(20, n)

    credible, km = draw(2000)
    for share in (0.5, 0.9):
        radii = fit_radii(credible, km, np.full(2000, 1 / 2000), share)
        new, far = draw(20_000)
        held = far <= radii.of(new)
        assert held.mean() == pytest.approx(share, abs=0.02)
        order = np.argsort(new)
        for part in np.array_split(order, 4):  # for sure and unsure photos alike
            assert held[part].mean() == pytest.approx(share, abs=0.08)


def test_a_photo_weighs_by_its_weight():
    credible, km = np.full(100, 100.0), np.repeat([100.0, 300.0], 50)
    assert fit_radii(credible, km, np.full(100, 0.01), 0.4).factors == (1.0,)
    weights = np.repeat([0.1, 0.9], 50)
    assert fit_radii(credible, km, weights / weights.sum(), 0.4).factors == (3.0,)


def test_one_width_is_one_bin():
    radii = fit_radii(np.full(500, 80.0), np.arange(500.0), np.full(500, 1 / 500), 0.5)
    assert radii.bounds_km == ()
