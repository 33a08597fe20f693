"""The figures of a report against figures worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from geoclip.evaluation.bootstrap import Clusters, bootstrap
from geoclip.evaluation.split_figures import (
    RANKED,
    baseline_figures,
    gzsl_figures,
    gzsl_intervals,
    locations,
    split_figures,
    split_intervals,
    true_places,
)
from geoclip.places.geoscore import geoscore
from geoclip.places.sphere import great_circle_km


def truth_of(gazetteer, *ids: str) -> pd.DataFrame:
    """Locations "0", "1", … exactly at places."""
    rows = gazetteer.rows(ids)
    frame = pd.DataFrame(
        {"lat": gazetteer.lat[rows], "lon": gazetteer.lon[rows], "place_row": rows},
        index=pd.Index([str(i) for i in range(len(ids))], name="location_id"),
    )
    return frame


def answers_of(gazetteer, *ids: str, ranked: tuple[str, ...] = ()) -> pd.DataFrame:
    """Predictions at places, with their classes."""
    table = truth_of(gazetteer, *ids)
    chains = gazetteer.ancestors[table["place_row"].to_numpy()]
    for level, name in enumerate(("country", "region", "city")):
        table[f"{name}_id"] = [gazetteer.ids[row] if row >= 0 else "" for row in chains[:, level]]
    codes = gazetteer.country_codes[table["place_row"]]
    continents = gazetteer.continents[table["place_row"]]
    rankings = ranked or tuple(f"{code} CN FR HK NL" for code in codes)
    return table.assign(**{RANKED: rankings, "continent_ranking": continents})


def test_locations_are_counted_once_and_need_coordinates():
    photos = pd.DataFrame(
        {"location_id": ["a", "a", "b", "c"], "lat": [1.0, 1.1, float("nan"), 3.0], "lon": 0.0}
    )
    table = locations(photos)
    assert table.index.tolist() == ["a", "c"]
    assert table["lat"].tolist() == [1.0, 3.0]


def test_photos_of_unknown_position_are_clusters_of_their_own():
    lat = [1.2, 1.3, float("nan"), float("nan"), 2.5]
    clusters = Clusters.of(pd.DataFrame({"lat": lat, "lon": lat}))
    assert len(clusters) == 4
    assert clusters.codes[0] == clusters.codes[1]


def test_split_figures_by_hand(small_gazetteer):
    g = small_gazetteer
    truth = truth_of(g, "paris", "lyon", "beijing", "amsterdam")
    # Exact; the neighbouring town; the wrong country; no answer at all.
    predictions = answers_of(g, "paris", "denis2", "kowloon").iloc[::-1]
    figures = split_figures(predictions, truth, g)
    rows = g.rows(["lyon", "denis2", "beijing", "kowloon"])
    near, far = (
        float(great_circle_km(g.lat[a], g.lon[a], g.lat[b], g.lon[b]))
        for a, b in (rows[:2], rows[2:])
    )
    assert 25 < near < 200
    assert 750 < far < 2500
    assert figures["n"] == 4
    assert figures["within_km"] == {"1": 25, "25": 25, "200": 50, "750": 50, "2500": 75}
    assert figures["within_km_by_country"] == pytest.approx(
        {"1": 50 / 3, "25": 50 / 3, "200": 100 / 3, "750": 100 / 3, "2500": 200 / 3}
    )
    assert figures["median_km"] == pytest.approx((near + far) / 2)
    assert figures["mean_km"] == pytest.approx((near + far) / 3)
    assert figures["geoscore"] == pytest.approx(
        (5000 + float(geoscore(near)) + float(geoscore(far))) / 4
    )
    assert figures["country_top1"] == pytest.approx(100 / 3)  # FR yes, CN no, NL no
    assert figures["country_top5"] == pytest.approx(200 / 3)  # CN stands second
    assert figures["continent_top1"] == pytest.approx(100 * (2 / 3 + 1) / 2)  # EU 2 of 3, AS


def test_top5_counts_five_and_short_rankings_are_no_fault(small_gazetteer):
    truth = truth_of(small_gazetteer, "paris", "beijing", "amsterdam")
    ranked = ("HK RE BV NL CN FR", "CN", "")
    predictions = answers_of(small_gazetteer, "paris", "beijing", "amsterdam", ranked=ranked)
    figures = split_figures(predictions, truth, small_gazetteer)
    assert figures["country_top1"] == figures["country_top5"] == pytest.approx(100 / 3)


def test_no_prediction_at_all(small_gazetteer):
    truth = truth_of(small_gazetteer, "paris", "lyon")
    figures = split_figures(answers_of(small_gazetteer), truth, small_gazetteer)
    assert figures["within_km"]["2500"] == figures["geoscore"] == figures["country_top5"] == 0
    assert figures["median_km"] is None


def test_true_places(small_gazetteer):
    true = true_places(truth_of(small_gazetteer, "denis3", "kowloon"), small_gazetteer)
    assert list(true.country) == ["RE", "HK"]
    assert list(true.continent) == ["AF", "AS"]
    assert list(true.lat) == [-20.88, 22.32]


def test_baselines_by_hand(small_gazetteer):
    g = small_gazetteer
    train = truth_of(g, "paris", "denis1", "lyon", "beijing")
    truth = truth_of(g, "paris", "amsterdam")
    figures = baseline_figures(train, truth, g)
    assert set(figures) == {"constant", "chance"}
    constant = figures["constant"]
    assert constant["n"] == 2
    # Paris and Saint-Denis lie within 25 km of each other, so one of them is the constant answer.
    assert constant["within_km"]["25"] == 50
    assert constant["country_top1"] == 50  # always FR
    assert constant["continent_top1"] == 100
    rows, cities = g.rows(["paris", "amsterdam"]), g.level_rows("city")
    km = great_circle_km(
        g.lat[rows][:, None], g.lon[rows][:, None], g.lat[cities][None], g.lon[cities][None]
    )
    assert figures["chance"]["within_km"]["200"] == pytest.approx(100 * (km <= 200).mean())
    assert figures["chance"]["within_km"]["750"] == pytest.approx(100 * (km <= 750).mean())


def test_gzsl_figures_by_hand(small_gazetteer):
    g = small_gazetteer
    train_rows = g.rows(["paris", "lyon", "FR", "kowloon"])
    truth = truth_of(g, "paris", "paris", "denis1", "kowloon", "shenzhen", "amsterdam")
    predictions = answers_of(g, "paris", "lyon", "denis1", "central", "beijing")  # none for "5"
    figures = gzsl_figures(predictions, truth, train_rows, g)

    country = figures["country"]  # seen FR 3 of 3, HK 1 of 1; unseen CN 1 of 1, NL 0 of 1
    assert (country["S"], country["U"]) == (100, 50)
    assert country["H"] == pytest.approx(2 * 100 * 50 / 150)
    assert (country["n_seen"], country["n_unseen"]) == (4, 2)

    region = figures["region"]  # seen FR.11 2 of 3; unseen NL.07 0 of 1; the others have none
    assert (region["S"], region["U"], region["H"]) == (pytest.approx(200 / 3), 0, 0)
    assert (region["n_seen"], region["n_unseen"]) == (3, 1)

    city = figures["city"]  # seen paris 1 of 2, kowloon 0; unseen denis1 1, shenzhen 0, amsterdam 0
    assert (city["S"], city["U"]) == (25, pytest.approx(100 / 3))
    assert (city["classes_seen"], city["classes_unseen"]) == (2, 3)


def test_gzsl_figures_are_null_where_nothing_qualifies(small_gazetteer):
    truth = truth_of(small_gazetteer, "paris")
    seen = small_gazetteer.rows(["paris"])
    figures = gzsl_figures(answers_of(small_gazetteer, "paris"), truth, seen, small_gazetteer)
    for level in ("country", "region", "city"):
        assert (figures[level]["S"], figures[level]["U"], figures[level]["H"]) == (100, None, None)


def test_a_label_that_is_a_country_belongs_to_no_city_class(small_gazetteer):
    truth = truth_of(small_gazetteer, "BV")
    answers = answers_of(small_gazetteer, "paris")
    figures = gzsl_figures(answers, truth, np.array([], dtype=int), small_gazetteer)
    assert figures["country"]["n_unseen"] == 1
    assert figures["city"]["n_seen"] == figures["city"]["n_unseen"] == 0


def test_without_a_training_location_chance_stands_alone(small_gazetteer):
    truth = truth_of(small_gazetteer, "paris", "lyon")
    figures = baseline_figures(truth.iloc[:0], truth, small_gazetteer)
    assert list(figures) == ["chance"]
    assert figures["chance"] == baseline_figures(truth, truth, small_gazetteer)["chance"]


def drawn_photos(truth: pd.DataFrame, draws: int) -> list[list[int]]:
    """The photos of each draw, cluster by cluster, in the order of the draws."""
    clusters, found = Clusters.of(truth), []

    def keep(weights: np.ndarray) -> np.ndarray:
        for row in weights[:, clusters.codes]:
            found.append([i for i in range(len(truth)) for _ in range(int(row[i]))])
        return weights[:, 0]

    bootstrap(clusters, {"photos": keep}, draws)
    return found


def many_places(gazetteer) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forty locations and guesses for most of them, some right."""
    random = np.random.default_rng(8)
    cities = gazetteer.ids[gazetteer.level_rows("city")]
    actual = random.choice(cities, 40)
    guessed = np.where(random.random(40) < 0.5, actual, random.choice(cities, 40))
    return truth_of(gazetteer, *actual), answers_of(gazetteer, *guessed).iloc[:-3]


def ends(values: list[float | None]) -> object:
    known = [value for value in values if value is not None]
    return pytest.approx(np.quantile(known, [0.025, 0.975], method="inverted_cdf").tolist())


def test_intervals_draw_by_draw(small_gazetteer):
    """Slow and independent: the figures of each draw, its photos written out one by one."""
    truth, predictions = many_places(small_gazetteer)
    answers, samples = predictions.reindex(truth.index), []
    for photos in drawn_photos(truth, 60):
        index = pd.Index([str(i) for i in range(len(photos))])
        own = truth.iloc[photos].set_index(index), answers.iloc[photos].set_index(index)
        samples.append(split_figures(own[1], own[0], small_gazetteer))
    found = split_intervals(predictions, truth, small_gazetteer, draws=60)
    assert (found["clusters"], found["draws"]) == ("block of 1°", 60)
    for name in ("geoscore", "geoscore_by_country", "median_km", "continent_top1", "country_top5"):
        if name == "median_km":
            medians = [np.inf if one[name] is None else one[name] for one in samples]
            assert found[name] == ends(medians)
        else:
            assert found[name] == ends([one[name] for one in samples])
    for name in ("within_km", "within_km_by_country"):
        for t in ("1", "750"):
            assert found[name][t] == ends([one[name][t] for one in samples])
    assert set(split_figures(predictions, truth, small_gazetteer)) - {"n", "mean_km"} == set(
        found
    ) - {"clusters", "n_clusters", "draws"}


def test_intervals_of_s_u_and_h_draw_by_draw(small_gazetteer):
    g = small_gazetteer
    truth, predictions = many_places(g)
    answers, samples = predictions.reindex(truth.index), []
    train_rows = g.rows(["paris", "lyon", "kowloon"])
    for photos in drawn_photos(truth, 60):
        index = pd.Index([str(i) for i in range(len(photos))])
        own = truth.iloc[photos].set_index(index), answers.iloc[photos].set_index(index)
        samples.append(gzsl_figures(own[1], own[0], train_rows, g))
    found = gzsl_intervals(predictions, truth, train_rows, g, draws=60)
    for level in ("country", "city"):
        for name in "SUH":
            assert found[level][name] == ends([one[level][name] for one in samples]), (level, name)
