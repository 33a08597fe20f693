import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.evaluation.bootstrap import bootstrap
from geoclip.evaluation.comparison import Comparison, compare, sign_test
from geoclip.evaluation.matching import evaluate_tables


def world(seed: int, n: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    lat, lon = random.uniform(42, 52, n), random.uniform(0, 14, n)
    return pd.DataFrame({"path": [f"p{i}" for i in range(n)], "lat": lat, "lon": lon})


def moved(truth: pd.DataFrame, degrees: float, seed: int, code: str = "FR") -> pd.DataFrame:
    shift = np.random.default_rng(seed).normal(scale=degrees, size=(len(truth), 2))
    table = truth[["path", "lat", "lon"]].copy()
    table[["lat", "lon"]] += shift
    return table.assign(country_code=code)


@pytest.fixture(scope="module")
def compared() -> Comparison:
    truth = world(1).assign(author=[f"a{i % 13}" for i in range(40)])
    tables = moved(truth, 6, 2), moved(truth, 2, 3).iloc[:-2]
    return Comparison(*(evaluate_tables(table, truth) for table in tables))


def test_differences_are_those_of_the_two_reports(compared: Comparison):
    report = compared.report(draws=50)
    first, second = compared.first.report(50), compared.second.report(50)
    for name in ("within_km", "within_km_by_country"):
        for t, value in report["difference"][name].items():
            assert value == pytest.approx(second[name][t] - first[name][t])
    for name in ("geoscore", "geoscore_by_country", "median_km", "country_right"):
        assert report["first"][name] == pytest.approx(first[name])
        assert report["second"][name] == pytest.approx(second[name])
    json.dumps(report, allow_nan=False)


def test_intervals_are_paired(compared: Comparison):
    """Slow and independent: the difference photo by photo, written out for each draw."""
    hits = 100.0 * (compared.second.km <= 200) - 100.0 * (compared.first.km <= 200)
    drawn = []

    def keep(weights: np.ndarray) -> np.ndarray:
        for row in weights[:, compared.first.clusters.codes]:
            photos = [i for i in range(len(hits)) for _ in range(int(row[i]))]
            drawn.append(np.mean(hits[photos]))
        return weights[:, 0]

    bootstrap(compared.first.clusters, {"d": keep}, 400)
    ends = compared.intervals(400)["within_km"]["200"]
    assert ends == pytest.approx(np.quantile(drawn, [0.025, 0.975], method="inverted_cdf"))
    same = Comparison(compared.first, compared.first).intervals(100)
    assert same["within_km"]["200"] == [0, 0]
    assert same["n_clusters"] == 13


@pytest.mark.parametrize(("wins", "losses"), [(0, 5), (6, 1), (9, 9), (3, 12), (1, 0)])
def test_sign_test_by_counting_all_splits(wins, losses):
    """Slow and independent: binomial coefficients of all splits at least as unlikely."""
    n = wins + losses
    chances = [math.comb(n, k) / 2**n for k in range(n + 1)]
    expected = sum(p for p in chances if p <= chances[wins] * (1 + 1e-9))
    found = sign_test([1] * wins + [-1] * losses + [0] * 4)
    assert found == {"first": losses, "second": wins, "ties": 4, "p": pytest.approx(expected)}
    assert sign_test([0, 0])["p"] == 1


def test_no_answer_is_farthest(compared: Comparison):
    assert compared.outcome[-2:].tolist() == ["first", "first"]
    none = evaluate_tables(moved(world(1), 1, 1).iloc[:1], world(1))
    assert Comparison(none, none).outcome[-1] == "ties"


def test_clusters_vote_once(compared: Comparison):
    tests = compared.sign_tests()
    votes = [0] * 13
    for i, side in enumerate(compared.outcome):
        votes[i % 13] += {"first": -1, "second": 1, "ties": 0}[side]
    by_cluster = tests["nearer_by_cluster"]
    assert by_cluster["second"] == sum(vote > 0 for vote in votes)
    assert by_cluster["first"] == sum(vote < 0 for vote in votes)
    assert tests["nearer"]["second"] == int((compared.outcome == "second").sum())
    right = [e.right("country") for e in (compared.first, compared.second)]
    assert tests["country_right"]["first"] == int((right[0] & ~right[1]).sum())


def test_the_largest_differences_stand_first(compared: Comparison):
    photos = compared.photos(most=5)
    assert [abs(row["gain"]) for row in photos] == sorted(np.abs(compared.gain), reverse=True)[:5]
    countries = compared.countries(most=99)
    sums = [abs(row["gain"] * row["n"]) for row in countries]
    assert sums == sorted(sums, reverse=True)
    assert sum(row["n"] for row in countries) == 40
    for row in countries:
        own = (compared.first.true["country"] == row["country"]).to_numpy()
        assert row["gain"] == pytest.approx(compared.gain[own].mean())
        assert row["first"] == int((compared.outcome[own] == "first").sum())


def test_other_photos_are_refused(compared: Comparison):
    other = evaluate_tables(moved(world(1, 30), 1, 1), world(1, 30))
    with pytest.raises(GeoclipError, match="not of the same photos"):
        Comparison(compared.first, other)


def test_photos_with_gps_in_either_are_left_out_of_both():
    truth = world(1)
    first, second = moved(truth, 6, 2), moved(truth, 2, 3)
    own = [(i % 5 == 0, i % 7 == 0) for i in range(len(truth))]
    rest = truth[[not any(gps) for gps in own]]
    for table, gps in zip((first, second), zip(*own, strict=True), strict=True):
        table["source"] = np.where(gps, "gps", "model")
    found = compare(first, second, truth, skip_gps=True)
    ours = [table[table["path"].isin(rest["path"])] for table in (first, second)]
    assert found.report() == compare(*ours, rest).report()
    with pytest.raises(GeoclipError, match="All photos answer with their own GPS"):
        compare(first.assign(source="gps"), second, truth, skip_gps=True)


def test_the_command_and_its_page(tmp_path: Path):
    truth = world(4, 12)
    truth.loc[0, "path"] = "<b>x</b>"
    truth.to_csv(tmp_path / "t.csv", index=False)
    moved(truth, 3, 1).to_csv(tmp_path / "<i>a.csv", index=False)
    moved(truth, 1, 2).to_csv(tmp_path / "b.csv", index=False)
    command = ["compare", tmp_path / "<i>a.csv", tmp_path / "b.csv", "--truth", tmp_path / "t.csv"]
    words = [str(word) for word in [*command, "--report", tmp_path / "wins.html"]]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    for part in ("within_km 25", "geoscore_by_country", "exact sign test p", "block of 1°"):
        assert part in told.stdout, part
    page = (tmp_path / "wins.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "<i>" not in page
    assert "&lt;i&gt;a.csv" in page
    assert "second is nearer: " in page
    assert not re.search(r"<(script|img|link|iframe)|https?://|\sstyle=", page)
    figures = json.loads((tmp_path / "wins.json").read_text(encoding="utf-8"))
    assert figures == json.loads(CliRunner().invoke(app, [*words[:5], "--json"]).stdout)


def test_the_command_refuses_what_evaluate_refuses(tmp_path: Path):
    world(4, 3).to_csv(tmp_path / "t.csv", index=False)
    command = ["compare", str(tmp_path / "t.csv"), "absent.csv", "--truth", str(tmp_path / "t.csv")]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 2
    assert "absent.csv does not exist" in told.stderr
