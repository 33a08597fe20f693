"""Tables of any levels: classes, ids, other names, wording, truth, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from random_trees import random_rows, random_tree

from geoclip.errors import GeoclipError
from geoclip.places.captions import FALSE, TRUE, UNKNOWN, CaptionBook, truth_matrix
from geoclip.places.gazetteer import Gazetteer

TREE = """kingdom,family,family:names,species,species:id,species:names
Animalia,Canidae,dogs,Canis lupus,9612,wolf|Wolf
Animalia,Canidae,,Canis aureus,,jackal
Animalia,,,Incertae sedis,,
Plantae,Rosaceae,,Rosa canina,,dog rose
Plantae,Fagaceae,,,,
"""


def write(folder: Path, text: str = TREE, **wording: object) -> Path:
    path = folder / "tree.csv"
    path.write_text(text, encoding="utf-8")
    if wording:
        (folder / "tree.captions.json").write_text(json.dumps(wording))
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Gazetteer:
    return Gazetteer.read(write(tmp_path))


def test_classes_and_ids(tree: Gazetteer) -> None:
    assert tree.level_names == ("kingdom", "family", "species")
    assert tree.ids.tolist() == [
        "Animalia", "Plantae",
        "Animalia/Canidae", "Plantae/Rosaceae", "Plantae/Fagaceae",
        "9612", "Animalia/Canidae/Canis aureus", "Animalia//Incertae sedis",
        "Plantae/Rosaceae/Rosa canina",
    ]  # fmt: skip
    assert tree.parents_of("9612") == ["Animalia/Canidae", "Animalia"]
    assert tree.parents_of("Animalia//Incertae sedis") == ["Animalia"]
    assert tree["9612"].level == "species"
    assert repr(tree).startswith("Gazetteer(2 kingdom, 3 family, 4 species; ")
    assert tree.ids[tree.leaf_rows].tolist() == tree.ids[5:].tolist()


def test_other_names(tree: Gazetteer) -> None:
    names = tree.alternate_names()
    assert list(zip(names["place_id"], names["name"], strict=True)) == [
        ("Animalia/Canidae", "dogs"),
        ("9612", "wolf"),
        ("9612", "Wolf"),
        ("Animalia/Canidae/Canis aureus", "jackal"),
        ("Plantae/Rosaceae/Rosa canina", "dog rose"),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_random_tables_keep_every_row(seed: int, tmp_path: Path) -> None:
    """Each row's chain of ancestors is found again, by names, from its class."""
    _, rows = random_rows(seed)
    tree = random_tree(seed, tmp_path)
    found = [
        ["" if row < 0 else tree.names[row] for row in tree.ancestors[leaf]]
        for leaf in tree.leaf_rows
    ]
    assert found == rows
    for number in range(len(tree.level_names)):
        above = {tuple(row[: number + 1]) for row in rows if row[number]}
        assert len(tree.level_rows(tree.level_names[number])) == len(above)


@pytest.mark.parametrize("seed", range(10))
def test_truth_and_captions_of_random_tables(seed: int, tmp_path: Path) -> None:
    """Against the definition by parents; a caption names each place that has its text."""
    tree = random_tree(seed, tmp_path)
    book, rows = CaptionBook(tree), np.arange(len(tree))
    captions = [book.draw(int(row), seed, epoch, "p") for row in rows for epoch in range(3)]
    truth = truth_matrix(rows, captions, tree.ancestors)
    parents = [set(tree.rows(tree.parents_of(place)).tolist()) for place in tree.ids]
    for row, line in zip(rows.tolist(), truth.tolist(), strict=True):
        for caption, value in zip(captions, line, strict=True):
            named = set(caption.rows)
            below = any(row in parents[one] for one in named)
            assert value == (TRUE if named & {row, *parents[row]} else UNKNOWN if below else FALSE)
    assert (truth[np.repeat(rows, 3), np.arange(len(captions))] == TRUE).all()


def test_words_of_captions_and_prompts(tmp_path: Path) -> None:
    tree = Gazetteer.read(
        write(
            tmp_path,
            prefix="A drawing",
            phrases={"species": "showing {species}"},
            keep={"species": 1, "family": 0},
            prompts={"family": ["{prefix}: {family}, {kingdom}"]},
        )
    )
    book = CaptionBook(tree)
    wolf, family = tree.rows(["9612", "Animalia/Canidae"]).tolist()
    assert book.text(wolf) == (
        "A drawing showing Canis lupus of the family Canidae of the kingdom Animalia."
    )
    drawn = {book.draw(wolf, 0, epoch, "p").text for epoch in range(20)}
    assert drawn == {"A drawing showing Canis lupus of the kingdom Animalia."}
    assert book.prompts(family) == ["A drawing: Canidae, Animalia"]
    assert book.prompts(wolf) == [book.text(wolf)]
    other = Gazetteer.read(write(tmp_path, prefix="A photo"))
    assert other.fingerprint != tree.fingerprint


def test_names_that_need_care(tmp_path: Path) -> None:
    """Nine levels, names of other scripts, one name under two parents, names with a slash."""
    levels = [f"niveau{n}" for n in range(8)] + ["r\u00e8gne"]
    rows = [[*list("abcdefgh"), "狼"], [*list("xbcdefgh"), "狼"], [*list("a//////h"), ""]]
    text = "\n".join(",".join(row) for row in [levels, *rows]) + "\n"
    tree = Gazetteer.read(write(tmp_path, text))
    assert tree.level_names[-1] == "r\u00e8gne"
    assert [tree.names[row] for row in tree.leaf_rows] == ["\u72fc", "\u72fc"]
    first, second = (tree.parents_of(tree.ids[row]) for row in tree.leaf_rows)
    assert len(first) == len(second) == 8 and not set(first) & set(second)
    with pytest.raises(GeoclipError, match="'A/B'"):  # a class and its namesake below another
        Gazetteer.read(write(tmp_path, "over,under\nA/B,C\nA,B\n"))


def test_no_class_lies_anywhere(tree: Gazetteer) -> None:
    with pytest.raises(GeoclipError, match="has no coordinates"):
        tree.nearest(45.0, 5.0, "species")


def test_an_unknown_id_is_told_beside_one_that_is_known(tree: Gazetteer) -> None:
    with pytest.raises(GeoclipError, match=r"no place with the id 'FR'.*'Plantae/Rosaceae/Rosa"):
        tree.rows(["FR"])


@pytest.mark.parametrize(
    ("text", "wording", "said"),
    [
        (TREE.replace("Animalia,,,", ",,,"), {}, "row 4: the kingdom is empty"),
        (TREE + "Animalia,Canidae,,Canis aureus,,x\n", {}, "row 7: the class .* in row 3 already"),
        (TREE.replace("aureus,,", "aureus,9612,"), {}, "two classes have the id '9612'"),
        (TREE + "Plantae,,,,,\n" * 2, {}, "row 8: the class 'Plantae'"),
        (TREE.replace("family:names", "genus:names"), {}, "has a column genus:names but none"),
        (TREE.replace("kingdom", "king{dom"), {}, "cannot be the name of a level"),
        ("a,b,a:id\nx,y,1\nx,z,2\n", {}, "row 3: an id of 'x' stands in row 2 already"),
        ("a,b\n", {}, "is empty"),
        (",".join(f"l{n}" for n in range(10)) + "\n" + ",".join("x" * 10), {}, "csv has 10 levels"),
        ("species\nwolf\n", {}, "csv has 1 levels .*the same word in every row"),
        (TREE.replace("family", "rank"), {}, "'rank' cannot be the name of a level"),
        (TREE.replace("family", "photo"), {}, "'photo' cannot be the name of a level"),
        (TREE.replace("species:id", "species_id"), {}, "'species_id' cannot be"),
        (TREE, {"prefix": "A photo", "keep": {"genus": 1}}, "'genus' is not a level"),
        (TREE, {"keep": {"species": 2}}, "keep_species 2 .* are probabilities"),
        (TREE, {"phrases": {"family": "{species}"}}, "the phrase .* does not name its level"),
        (TREE, {"prompts": {"family": ["{species}"]}}, "family_prompts"),
        (TREE, {"words": 1}, "unexpected keyword argument 'words'"),
        (TREE, {"keep_official": "often"}, "keep_official often"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(
    text: str, wording: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(GeoclipError, match=f"(?s)tree.*{said}"):
        Gazetteer.read(write(tmp_path, text, **wording))
