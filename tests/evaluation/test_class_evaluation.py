"""Guesses of classes against photo tables: figures by the definition, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from random_trees import random_tree
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.evaluation.class_evaluation import ClassEvaluation
from geoclip.guesses.class_files import read_class_guesses, write_class_guesses
from geoclip.guesses.class_guesses import class_columns
from geoclip.places.gazetteer import Gazetteer

TREE = """sector,branch,product
Food,Dairy,Milk
Food,Dairy,Cheese
Food,Bread,Rye
Metal,Iron,Nail
Metal,Iron,Pin
"""
PHOTOS = """path,place_id,split
0.jpg,Food/Dairy/Milk,train
1.jpg,Food/Dairy/Milk,test
2.jpg,Food/Dairy/Milk,test
3.jpg,Food/Dairy/Cheese,test
4.jpg,Metal/Iron/Nail,test
5.jpg,Metal,test
"""
GUESSES = """path,rank,place_id,probability
1.jpg,1,Food/Dairy/Milk,0.9
2.jpg,1,Food/Dairy/Cheese,0.6
2.jpg,2,Food/Dairy/Milk,0.3
3.jpg,1,Food/Dairy,0.7
4.jpg,1,Metal/Iron/Nail,0.8
5.jpg,1,Food/Bread/Rye,0.2
0.jpg,1,Food/Dairy/Milk,0.9
strange.jpg,1,Food,0.9
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, text in (("tree", TREE), ("photos", PHOTOS), ("guesses", GUESSES)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def evaluated(folder: Path, *options: str) -> object:
    words = ["evaluate", "guesses.csv", "--truth", "photos.csv", "--gazetteer", "tree.csv"]
    words[1], words[3], words[5] = (str(folder / name) for name in (words[1], words[3], words[5]))
    return CliRunner().invoke(app, [*words, *options])


def test_figures_of_a_table_worked_out_by_hand(shop: Path) -> None:
    tree = Gazetteer.read(shop / "tree.csv")
    found = ClassEvaluation.of_files(shop / "guesses.csv", shop / "photos.csv", tree)
    report = found.report(draws=10)
    assert (len(found), found.unused, found.trained_on) == (5, 1, 1)
    assert (report["answered"], report["missing"]) == (5, 0)
    sector, branch, product = (report["levels"][level] for level in tree.level_names)
    assert (sector["n"], sector["right"]) == (5, 80)
    assert sector["right_by_class"] == pytest.approx((100 + 50) / 2)
    assert (branch["n"], branch["right"]) == (4, 100)
    assert (product["n"], product["right"], product["constant"]) == (4, 50, 50)
    assert product["chance"] == 20
    assert product["right_by_class"] == pytest.approx((50 + 0 + 100) / 3)
    gzsl = report["gzsl"]
    assert (gzsl["sector"]["S"], gzsl["sector"]["U"]) == (100, 50)
    assert (gzsl["branch"]["S"], gzsl["branch"]["U"], gzsl["branch"]["H"]) == (100, 100, 100)
    assert (gzsl["product"]["S"], gzsl["product"]["U"]) == (50, 50)
    assert (gzsl["product"]["n_seen"], gzsl["product"]["n_unseen"]) == (2, 2)
    answers = report["answers"]["product"]
    assert (answers["answered"], answers["n"]) == (80, 3)
    assert answers["among"]["1"] == pytest.approx(200 / 3)
    assert "3" not in answers["among"]  # nobody gave three guesses
    assert report["answers"]["branch"] == {"answered": 20, "n": 1, "among": {"1": 100}}


@pytest.mark.parametrize("seed", range(8))
def test_figures_of_random_tables_by_their_definition(seed: int, tmp_path: Path) -> None:
    """Class by class, with loops over parents; a tenth of the photos has no answer."""
    tree, rng = random_tree(seed, tmp_path), np.random.default_rng(seed)
    ids = tree.ids[tree.leaf_rows]
    true, trained = rng.choice(ids, 60), set(rng.choice(ids, 4))
    guessed = {i: rng.choice(ids) if rng.random() < 0.6 else true[i] for i in range(60)}
    guessed = {i: place for i, place in guessed.items() if rng.random() < 0.9}
    truth, train = tmp_path / "truth.csv", tmp_path / "train.csv"
    pd.DataFrame({"path": range(60), "place_id": true}).to_csv(truth, index=False)
    named = {"path": [f"t{one}" for one in range(len(trained))], "place_id": sorted(trained)}
    pd.DataFrame(named).to_csv(train, index=False)
    answers = pd.DataFrame({"path": guessed.keys(), "place_id": guessed.values()})
    answers.to_csv(tmp_path / "guesses.csv", index=False)
    found = ClassEvaluation.of_files(tmp_path / "guesses.csv", truth, tree, train)
    report = found.report(draws=5)
    assert report["missing"] == 60 - len(guessed)

    def at(place: str, level: str) -> str:
        chain = [place, *tree.parents_of(place)]
        return next((one for one in chain if tree[one].level == level), "")

    for level in tree.level_names:
        hits: dict[str, list[bool]] = {}
        for i, place in enumerate(true):
            if at(place, level):
                own = i in guessed and at(guessed[i], level) == at(place, level)
                hits.setdefault(at(place, level), []).append(own)
        means = {one: 100 * float(np.mean(own)) for one, own in hits.items()}
        figures, gzsl = report["levels"][level], report["gzsl"][level]
        assert figures["right_by_class"] == pytest.approx(np.mean(list(means.values())))
        seen = {at(place, level) for place in trained}
        for name, own in (("S", set(means) & seen), ("U", set(means) - seen)):
            expected = np.mean([means[one] for one in own]) if own else None
            assert gzsl[name] == (None if expected is None else pytest.approx(expected))


def test_the_command_says_all_but_distances(shop: Path) -> None:
    told = evaluated(shop)
    assert told.exit_code == 0, told.output
    for words in ("no figure of distance", "1 photos of the truth were trained on", "80.0 %"):
        assert words in told.output
    assert " km" not in told.output
    as_json = evaluated(shop, "--json", "--report", str(shop / "page.html"))
    report = json.loads(as_json.stdout)
    assert report["gzsl"]["sector"]["U"] == 50
    assert not [name for name in report if "km" in name]
    assert json.loads((shop / "page.json").read_text()) == report
    assert "Seen and unseen classes" in (shop / "page.html").read_text()


def test_without_training_photos_there_is_no_gzsl(shop: Path) -> None:
    (shop / "photos.csv").write_text(PHOTOS.replace(",train", ",test"), encoding="utf-8")
    assert "S, U and H are left out" in evaluated(shop).output


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".xlsx"])
def test_tables_come_back_from_files(ending: str, shop: Path) -> None:
    tree = Gazetteer.read(shop / "tree.csv")
    table = read_class_guesses(shop / "guesses.csv", tree).reset_index(drop=True)
    assert list(table) == list(class_columns(tree.level_names))
    assert table.loc[table["path"] == "3.jpg", "level"].tolist() == ["branch"]
    table.loc[0, "path"] = "odd\rname, \u00e9.jpg"
    write_class_guesses(table, shop / f"copy{ending}")
    again = read_class_guesses(shop / f"copy{ending}", tree)
    pd.testing.assert_frame_equal(again.reset_index(drop=True), table)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("guesses", "4.jpg,1,Metal/Iron/Nail", "4.jpg,1,Metal/Iron/Screw", "row 6.*no class"),
        ("guesses", "4.jpg,1,Metal", "3.jpg,1,Metal", "row 6: a second answer for '3.jpg'"),
        ("guesses", "0.8", "80", "row 6: probability is 80"),
        ("guesses", "place_id", "class", "need path and place_id"),
        ("photos", "3.jpg,Food/Dairy/Cheese", "3.jpg,Food/Cheese", "row 5.*no class 'Food/Cheese'"),
        ("photos", "3.jpg,Food/Dairy/Cheese", "3.jpg,", "row 5"),
        ("guesses", ".jpg", ".png", "answers no photo of"),
    ],
)
def test_what_is_wrong_is_told(file: str, old: str, new: str, said: str, shop: Path) -> None:
    path = shop / f"{file}.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(GeoclipError, match=f"(?s){file}.*{said}"):
        tree = Gazetteer.read(shop / "tree.csv")
        ClassEvaluation.of_files(shop / "guesses.csv", shop / "photos.csv", tree)


def test_a_link_is_the_photo_that_it_leads_to(shop: Path) -> None:
    (shop / "3.jpg").touch()
    (shop / "4.jpg").symlink_to("3.jpg")
    tree = Gazetteer.read(shop / "tree.csv")
    with pytest.raises(GeoclipError, match=r"photos.csv, row 6: photo .* row 5 already"):
        ClassEvaluation.of_files(shop / "guesses.csv", shop / "photos.csv", tree)


def test_guesses_of_classes_ask_for_their_table(shop: Path) -> None:
    words = ["evaluate", str(shop / "guesses.csv"), "--truth", str(shop / "photos.csv")]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 2
    assert "--gazetteer TABLE.csv" in " ".join(told.output.split())
    assert "leave it out" in evaluated(shop, "--oracle").output
