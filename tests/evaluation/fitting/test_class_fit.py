"""Calibration of a table of levels, against the settings that made the data and slow searches."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from geoclip.errors import GeoclipError
from geoclip.evaluation.fitting.class_fit import KnownClasses, calibrate_classes
from geoclip.evaluation.fitting.stacking import STACKING_FACTORS, largest_factor
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import Prior, RankingSettings, Temperatures

MADE = Temperatures(country=2.0, region=0.5, city=3.0)
PLAIN = RankingSettings()
SIZES = (range(4), range(3), range(4), range(3))
N = 4000


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> PlaceRanker:
    """Four sectors, each with three branches, each with four lines, each with three products."""
    path = tmp_path_factory.mktemp("tree") / "tree.csv"
    rows = [",".join(f"{'abcd'[n]}{one}" for n, one in enumerate(row)) for row in product(*SIZES)]
    path.write_text("\n".join(["sector,branch,line,product", *rows]) + "\n")
    tree = Gazetteer.read(path)
    index = np.random.default_rng(0).normal(size=(len(tree), 12))
    return PlaceRanker(PlaceIndex(index.astype(np.float32), "key"), tree, 1.2, PLAIN)


@pytest.fixture(scope="module")
def known(ranker: PlaceRanker) -> KnownClasses:
    """Photos whose class is drawn from the posterior with the temperatures `MADE`."""
    rng = np.random.default_rng(1)
    values = unit(rng.normal(size=(N, 12)))
    made = ranker.with_settings(RankingSettings(temperatures=MADE))
    p = np.exp(made.posterior(values.astype(np.float32)).log_cities.astype(float))
    drawn = (p.cumsum(axis=1) < rng.random((N, 1)) * p.sum(axis=1, keepdims=True)).sum(axis=1)
    rows = ranker.hierarchy.cities[drawn.clip(max=p.shape[1] - 1)]
    return KnownClasses(values.astype(np.float32), rows, np.arange(N).astype(str))


def test_the_temperatures_that_made_the_data_are_found(
    ranker: PlaceRanker, known: KnownClasses
) -> None:
    fitted = calibrate_classes(ranker, known)
    found = fitted.settings.temperatures
    assert (found.country, found.region, found.city) == pytest.approx((2, 0.5, 3), rel=0.15)
    assert fitted.settings.calibrated
    assert fitted.settings.prior == Prior()
    figures = fitted.figures["class"]
    assert list(figures["after"]) == ["sector", "branch", "line", "product", "gzsl"]
    for level in ranker.gazetteer.level_names:
        assert figures["after"][level]["ece"] < figures["before"][level]["ece"] < 1
        assert figures["after"][level]["ece"] < 0.03


def test_the_factor_is_that_of_a_slow_search(ranker: PlaceRanker, known: KnownClasses) -> None:
    """Photos of unseen products lean to the seen ones, as training would have it."""
    ids = ranker.gazetteer.ids[ranker.hierarchy.cities]
    seen = sorted(ids[::2].tolist())
    few = known.take(slice(0, 800))
    padded = np.pad(few.embeddings, ((0, 0), (0, 1)), constant_values=0.6)
    few = replace(few, embeddings=unit(padded))
    index = np.pad(ranker.index.embeddings, ((0, 0), (0, 1)))
    index[ranker.gazetteer.rows(seen), -1] = 4
    biased = PlaceRanker(PlaceIndex(index, "key"), ranker.gazetteer, 1.2, PLAIN)
    settings = calibrate_classes(biased, few, [*seen, "a0"]).settings
    assert list(settings.prior.seen_countries) == seen  # of the deepest level alone
    plain = biased.with_settings(replace(settings, prior=Prior()))
    log_p = plain.posterior(few.embeddings).log_cities
    is_seen, true = np.isin(ids, seen), ranker.gazetteer.ids[few.rows]
    means = []
    for factor in STACKING_FACTORS:
        right = ids[(log_p - factor * is_seen).argmax(axis=1)] == true
        by_class = {one: right[true == one].mean() for one in sorted(set(true))}
        s, u = (np.mean([v for k, v in by_class.items() if (k in seen) == of]) for of in (1, 0))
        means.append(2 * s * u / (s + u))
    assert settings.prior.stacking_factor == largest_factor(means) > 0
    stacked = biased.with_settings(settings).posterior(few.embeddings).log_cities
    factor = settings.prior.stacking_factor
    assert (stacked.argmax(axis=1) == (log_p - factor * is_seen).argmax(axis=1)).all()


def test_what_is_left_out_has_no_say(ranker: PlaceRanker, known: KnownClasses) -> None:
    """Photos of one class alone are no fold: nothing shows how the settings hold elsewhere."""
    one = known.take(known.rows == known.rows[0])
    many = KnownClasses(*(np.concatenate([a] * 9) for a in (one.embeddings, one.rows)), None)
    many = replace(many, location_ids=np.arange(len(many)).astype(str))
    assert calibrate_classes(ranker, many).figures["class"] is None
    with pytest.raises(GeoclipError, match="at least 50 locations, here are 20"):
        calibrate_classes(ranker, known.take(slice(0, 20)))


def test_views_make_one_location_and_coarse_labels_say_what_they_can(
    ranker: PlaceRanker, known: KnownClasses
) -> None:
    coarse = known.rows.copy()
    coarse[::2] = ranker.gazetteer.ancestors[coarse[::2], 0]
    some = replace(known, rows=coarse, location_ids=(np.arange(N) // 2).astype(str))
    fitted = calibrate_classes(ranker, some)
    assert (fitted.figures["photos"], fitted.figures["places"]) == (N, N // 2)
    assert list(fitted.figures["class"]["before"]) == ["sector", "gzsl"]
    assert fitted.settings.temperatures.city == 1  # no photo tells


@pytest.mark.parametrize("depth", [2, 3])
def test_tables_of_two_and_three_levels(depth: int, tmp_path: Path) -> None:
    names = [f"a{i}" for i in range(3)], [f"b{i}" for i in range(3)], [f"c{i}" for i in range(2)]
    rows = [",".join(row) for row in product(*names[:depth])]
    (tmp_path / "tree.csv").write_text("\n".join([",".join("xyz"[:depth]), *rows]) + "\n")
    tree, rng = Gazetteer.read(tmp_path / "tree.csv"), np.random.default_rng(0)
    index = PlaceIndex(rng.normal(size=(len(tree), 6)).astype(np.float32), "key")
    photos = KnownClasses(
        unit(rng.normal(size=(80, 6))).astype(np.float32),
        rng.choice(tree.leaf_rows, 80),
        np.arange(80).astype(str),
    )
    fitted = calibrate_classes(PlaceRanker(index, tree, 1.0), photos, tree.ids[tree.leaf_rows[:2]])
    assert fitted.settings.temperatures.country > 1  # uninformative logits are less sure
