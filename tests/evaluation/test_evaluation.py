"""The figures of an evaluation: averages, levels, calibration, radii and refusals."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.evaluation.evaluation import Evaluation
from geoclip.evaluation.evaluation_tables import bins_table, count_sentences, coverage_table
from geoclip.evaluation.judged_guesses import ABSTAINED
from geoclip.evaluation.matching import evaluate_files, evaluate_tables
from geoclip.evaluation.metrics import within_km
from geoclip.evaluation.true_classes import named_depth, place_classes, true_classes
from geoclip.guesses.schema import guess_table
from geoclip.places.gazetteer import Gazetteer

LYON, PARIS, LIMA = "2996944", "2988507", "3936456"
NEAR = {"Lyon": (45.75, 4.85), "Paris": (48.85, 2.35), "Lima": (-12.05, -77.04)}


def truth(**columns: list[str]) -> pd.DataFrame:
    """Three photos of Lyon and one of Lima."""
    places = [NEAR["Lyon"]] * 3 + [NEAR["Lima"]]
    table = pd.DataFrame(places, columns=["lat", "lon"])
    return table.assign(path=list("abcd"), **columns)


def guess(path: str, place: str, place_id: str, p: float, **more: object) -> dict[str, object]:
    lat, lon = NEAR[place]
    code = "PE" if place == "Lima" else "FR"
    return {
        "path": path, "rank": 1, "lat": lat, "lon": lon, "place_id": place_id,
        "country_code": code, "probability": p, "status": "ok", **more,
    }  # fmt: skip


def evaluated(rows: list[dict[str, object]], actual: pd.DataFrame | None = None) -> Evaluation:
    return evaluate_tables(pd.DataFrame(rows), truth() if actual is None else actual)


OLD = [
    guess("a", "Lyon", LYON, 0.9),
    guess("b", "Paris", PARIS, 0.4),
    guess("c", "Lima", LIMA, 0.3),
    guess("d", "Lima", LIMA, 0.8),
]


def test_the_word_for_a_refusal_is_that_of_the_table():
    from geoclip.guesses.assembly import NO_EVIDENCE

    assert ABSTAINED == NO_EVIDENCE


def test_plain_and_by_country_figures():
    report = evaluated(OLD).report()
    assert report["within_km"]["25"] == 50
    assert report["within_km_by_country"]["25"] == pytest.approx((100 / 3 + 100) / 2)
    assert report["within_km_by_country"]["750"] == pytest.approx((200 / 3 + 100) / 2)
    assert report["countries"] == 2
    assert (report["country_right"], report["continent_right"]) == (75, 75)
    assert report["country_right_by_country"] == pytest.approx((200 / 3 + 100) / 2)
    ends = report["intervals"]["within_km"]["25"]
    assert ends[0] <= 50 <= ends[1]
    assert (report["intervals"]["clusters"], report["intervals"]["n_clusters"]) == (
        "block of 1°",
        2,
    )
    json.dumps(report, allow_nan=False)


def test_a_code_in_the_truth_says_the_country():
    """A point in Lyon that the table calls German counts as Germany's; an unlisted code stays."""
    given = truth(country_code=["DE", "xx", "", ""])
    classes = evaluated(OLD, given).true
    assert classes["country"].tolist() == ["DE", "XX", "FR", "PE"]
    assert classes["continent"].tolist() == ["EU", "", "EU", "SA"]
    assert evaluated(OLD, given).report()["country_right"] == 25


def test_a_truth_may_name_countries_and_lie_at_sea(world):
    table = pd.DataFrame({"photo_id": list("abc"), "lat": [51.5, 30, 30], "lon": [-0.1, -40, -40]})
    classes = true_classes(table.assign(country_code=["UK", "Portugal", ""]), world)
    assert classes["country"].tolist() == ["GB", "PT", ""]
    assert classes["continent"].tolist() == ["EU", "EU", ""]
    assert (classes.iloc[2] == "").all()


def test_old_tables_name_the_level_of_their_place():
    levels = evaluated(OLD).report()["levels"]
    assert levels["city"]["answered"] == levels["continent"]["answered"] == 100
    assert [levels[name]["right"] for name in ("continent", "country", "city")] == [75, 75, 50]
    assert levels["country"]["at_level"] == 0


def test_tables_with_levels():
    rows = [
        guess("a", "Paris", "FR", 0.9, level="country", continent="Europe"),
        guess("b", "Lyon", "", 0.7, level="continent", continent="Europe"),
        guess("c", "Lima", "", 0.1, level="none", continent=""),
        guess("d", "Lima", LIMA, 0.8, level="city", continent="South America"),
    ]
    rows[0]["country_probability"] = 0.9
    rows[1]["country_probability"] = 0.2
    rows[3]["city_probability"] = 0.8
    evaluation = evaluated(rows)
    assert evaluation.depth.tolist() == [2, 1, 0, 4]
    assert evaluation.named["country"].tolist() == ["FR", "", "", "PE"]
    levels = evaluation.report()["levels"]
    assert [levels[n]["answered"] for n in levels] == [75, 50, 25, 25]
    assert [levels[n]["right"] for n in levels] == [100, 100, 100, 100]
    assert levels["country"]["at_level"] == 25
    calibration = evaluation.report()["calibration"]
    assert calibration["probability"]["n"] == 3  # "none" names no place
    assert calibration["probability"]["right"] == 100
    assert calibration["probability"]["ece"] == pytest.approx((0.1 + 0.3 + 0.2) / 3)
    assert calibration["country_probability"]["n"] == 2
    assert calibration["city_probability"]["n"] == 1
    assert "region_probability" not in calibration


def test_levels_of_a_file_reach_the_report(tmp_path):
    truth().to_csv(tmp_path / "t.csv", index=False)
    row = guess("a", "Paris", "FR", 0.9, level="country", radius_km=300, radius_90_km=900)
    pd.DataFrame([row]).to_csv(tmp_path / "g.csv", index=False)
    report = evaluate_files(tmp_path / "g.csv", tmp_path / "t.csv").report()
    assert report["levels"]["country"]["at_level"] == 25
    assert report["radii"]["radius_km"]["holds"] == 0
    assert report["radii"]["radius_90_km"]["holds"] == 100


def test_radii_by_continent_and_source():
    rows = [dict(row, radius_km=500, radius_90_km=1000) for row in OLD]
    radii = evaluated(rows, truth(source=["x", "x", "y", "y"])).report()["radii"]
    assert radii["radius_km"]["stated"] == 50
    assert radii["radius_km"]["by_continent"] == {
        "Europe": {"n": 3, "holds": pytest.approx(200 / 3)},
        "South America": {"n": 1, "holds": 100},
    }
    assert radii["radius_90_km"]["by_source"]["x"] == {"n": 2, "holds": 100}
    assert radii["radius_90_km"]["by_source"]["y"] == {"n": 2, "holds": 50}


def test_both_radii_are_reported_plain_by_country_and_with_intervals():
    rows = [dict(row, radius_km=500, radius_90_km=20_000) for row in OLD[:3]]
    rows.append(dict(OLD[3], radius_km=100))  # in Lima; it states no other radius
    rows[0]["level"], rows[3]["level"] = "country", "city"
    evaluation = evaluated(rows, truth(author=["x", "x", "y", "z"]))
    report = evaluation.report()
    assert report["within_radius"] == pytest.approx(100 * 3 / 4)
    assert report["within_radius_by_country"] == pytest.approx((200 / 3 + 100) / 2)
    assert report["within_radius_90"] == report["within_radius_90_by_country"] == 100
    for name in ("within_radius", "within_radius_by_country", "within_radius_90"):
        low, high = report["intervals"][name]
        assert low <= report[name] <= high
    assert report["radii"]["radius_km"]["by_level"] == {
        "city": {"n": 3, "holds": pytest.approx(200 / 3)},
        "country": {"n": 1, "holds": 100},
    }
    assert report["radii"]["radius_90_km"]["n"] == 3
    sentences = count_sentences(report)
    assert any("radius holds the place of 75.0 %" in line for line in sentences)
    assert any("90 % radius holds the place of 100.0 %" in line for line in sentences)
    table = coverage_table(report)
    assert table[1] == ["all", "75.0 % of 4", "100.0 % of 3"]
    assert ["South America", "100.0 % of 1", "–"] in table


def test_a_country_is_judged_by_its_own_probability_where_it_is_named():
    rows = [
        dict(guess("a", "Lima", "PE", 0.6, level="country"), country_probability=0.6),
        dict(guess("b", "Lyon", LYON, 0.5, level="city"), country_probability=0.9),
        guess("c", "Lyon", "", 0.99, level="continent", continent="Europe"),
    ]
    risks = evaluated(rows).report()["risk_coverage"]
    assert (risks["wrong country"]["n"], risks["wrong country"]["error"]) == (2, 50)
    assert risks["wrong country"]["area"] == pytest.approx((0 + 1 / 2) / 2)  # 0.9 stands first
    assert risks["wrong place named"]["n"] == risks["wrong continent"]["n"] == 3
    assert risks["wrong place named"]["area"] == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)


def test_the_reliability_table_counts_the_bins():
    report = evaluated(OLD).report()
    assert bins_table(report) == [
        ["stated", "the place named"],
        ["30 to 40 %", "0.0 % of 1"],
        ["40 to 50 %", "0.0 % of 1"],
        ["80 to 90 %", "100.0 % of 1"],
        ["90 to 100 %", "100.0 % of 1"],
    ]


def test_refusals_are_counted_apart():
    rows = [*OLD[:2], {"path": "c", "rank": 1, "status": ABSTAINED}]
    evaluation = evaluated(rows)
    report = evaluation.report()
    counts = [report[name] for name in ("n", "answered", "missing", "no_evidence")]
    assert counts == [4, 2, 1, 1]
    assert report["within_km"] == within_km(evaluation.km)  # over all: a miss
    apart = report["without_no_evidence"]
    assert apart["n"] == 3
    assert apart["within_km"]["25"] == pytest.approx(100 / 3)
    assert apart["within_km_by_country"]["25"] == pytest.approx((50 + 0) / 2)
    assert evaluated(OLD).report()["without_no_evidence"] is None


def test_every_photo_refused():
    refused = {"path": "c", "rank": 1, "lat": None, "lon": None, "status": ABSTAINED}
    report = evaluated([refused]).report()
    assert (report["no_evidence"], report["missing"], report["levels"]) == (1, 3, None)


def test_risk_and_area_use_all_ranks():
    second = [dict(guess("c", "Lyon", LYON, 0.2), rank=2)]
    report = evaluated(OLD + second).report()
    assert report["risk_coverage"]["wrong country"]["error"] == 25
    assert report["risk_coverage"]["wrong country"]["area"] == pytest.approx(1 / 16)
    assert report["risk_coverage"]["over 200 km"]["error"] == 50
    assert report["risk_coverage"]["wrong place named"]["error"] == 50
    assert report["recall_area"]["recall"]["1"] == 75  # the second guess is found at once
    assert evaluated(OLD).report()["recall_area"]["recall"]["1"] == 50


def test_figures_are_the_same_each_time():
    assert evaluated(OLD).report() == evaluated(OLD).report()


def test_classes_of_a_small_world(small_gazetteer: Gazetteer):
    cities = small_gazetteer.level_rows("city")
    photos = pd.DataFrame(
        {
            "photo_id": small_gazetteer.ids[cities],
            "lat": small_gazetteer.lat[cities],
            "lon": small_gazetteer.lon[cities],
            "country_code": small_gazetteer.country_codes[cities],
        }
    )
    classes = true_classes(photos, small_gazetteer)
    assert classes["city"].tolist() == small_gazetteer.ids[cities].tolist()
    assert classes["continent"].tolist() == small_gazetteer.continents[cities].tolist()
    guesses = guess_table([{"path": "a", "place_id": one} for one in photos["photo_id"]])
    pd.testing.assert_frame_equal(place_classes(guesses, small_gazetteer), classes)
    assert named_depth(guesses, small_gazetteer).tolist() == [4] * len(cities)
    unknown = guess_table([{"place_id": "?", "country_code": code} for code in ("FR", "")])
    assert named_depth(unknown, small_gazetteer).tolist() == [2, 0]


def test_the_id_of_a_continent_is_no_country():
    row = guess("d", "Lima", "SA", 0.9, level="continent", continent="South America")
    row["country_code"] = ""
    row["country_probability"] = 0.5
    evaluation = evaluated([row])
    assert evaluation.place.loc[3, ["continent", "country"]].tolist() == ["SA", ""]
    assert evaluation.report()["calibration"]["probability"]["right"] == 100
    assert "country_probability" not in evaluation.report()["calibration"]


def test_the_command_says_all_of_it(tmp_path):
    truth(author=["x", "x", "y", "z"]).to_csv(tmp_path / "t.csv", index=False)
    rows = [*OLD[:2], {"path": "c", "rank": 1, "status": ABSTAINED}]
    pd.DataFrame(rows).to_csv(tmp_path / "g.csv", index=False)
    command = ["evaluate", str(tmp_path / "g.csv"), "--truth", str(tmp_path / "t.csv")]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    for words in (
        "by country",
        "95 %",
        "1 missing (counted as misses), 1 refused as no evidence",
        "of the 3 photos that were not refused as no evidence: 33.3",
        "3 clusters (by author)",
        "need --train TABLE",
    ):
        assert words in told.stdout, words
    report = json.loads(CliRunner().invoke(app, [*command, "--json", "--oracle"]).stdout)
    assert report["oracle"]["all"]["within_km"]["25"] == 100
    assert (report["chance"], report["constant"]) == (None, None)
