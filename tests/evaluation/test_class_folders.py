"""Folders of classes: which photos are read, and the figures against counts by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoclip.errors import GeoclipError
from geoclip.evaluation.class_folders import (
    MOST_RETRIEVED,
    ClassFolders,
    class_figures,
    prompts_of,
    retrieval_figures,
)

NAMES = ["fire_truck", "palm", "tram"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        (tmp_path / name).mkdir()
        for i in range(number + 1):
            Image.new("RGB", (8, 8), (number + 1, 0, i)).save(tmp_path / name / f"{i}.png")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_each_folder_is_a_class(folder: Path) -> None:
    photos = ClassFolders.open(folder)
    assert photos.names == NAMES
    assert photos.labels.tolist() == [0, 1, 1, 2, 2, 2]
    assert [path.parent.name for path in photos.photos] == [NAMES[i] for i in photos.labels]
    (folder / "palm" / "0.png").unlink()
    (folder / "palm" / "1.png").unlink()
    with pytest.raises(GeoclipError, match="palm holds no photo"):
        ClassFolders.open(folder)
    with pytest.raises(GeoclipError, match="is none of the 1 classes"):
        ClassFolders.open(folder, ["tram"])
    with pytest.raises(GeoclipError, match="holds no folders"):
        ClassFolders.open(folder / "tram")
    with pytest.raises(GeoclipError, match="is no folder"):
        ClassFolders.open(folder / "none")


def test_prompts_are_templates_and_rows_of_a_table(tmp_path: Path) -> None:
    assert prompts_of(NAMES)[0] == ["a photo of a fire truck."]
    assert prompts_of(NAMES, ["{} here", "a {}"])[2] == ["tram here", "a tram"]
    table = tmp_path / "prompts.csv"
    table.write_text("class,prompt\npalm,a palm\npalm,two palms\ntram,a tram\nfire_truck,red\n")
    assert prompts_of(NAMES, table=table) == [["red"], ["a palm", "two palms"], ["a tram"]]
    assert prompts_of(NAMES, ["a {}"], table)[1] == ["a palm", "a palm", "two palms"]
    table.write_text("class,prompt\npalm,a palm\n")
    with pytest.raises(GeoclipError, match="no prompt for fire_truck"):
        prompts_of(NAMES, table=table)
    table.write_text("class,prompt\nbus,a bus\n")
    with pytest.raises(GeoclipError, match=r"there is no class '?bus"):
        prompts_of(NAMES, table=table)
    with pytest.raises(GeoclipError, match="no place for the class"):
        prompts_of(NAMES, ["a photo"])


def test_figures_are_counts() -> None:
    scores = np.array([[3, 2, 1], [3, 2, 1], [1, 3, 2], [2, 3, 1], [1, 2, 3], [3, 1, 2]])
    figures = class_figures(scores, np.array([0, 0, 0, 1, 2, 2]), NAMES)
    assert figures["n"] == 6
    assert figures["accuracy"] == pytest.approx(100 * 4 / 6)
    assert figures["balanced"] == pytest.approx(100 * (2 / 3 + 1 + 1 / 2) / 3)
    assert figures["top_k"] == {"1": pytest.approx(100 * 4 / 6), "3": 100.0}
    assert figures["classes"]["fire_truck"] == {
        "n": 3,
        "recall": pytest.approx(200 / 3),
        "precision": pytest.approx(200 / 3),
        "taken_for": "palm",
    }
    assert figures["classes"]["palm"]["taken_for"] == ""
    assert figures["classes"]["palm"]["precision"] == 50
    few = class_figures(scores[:2], np.array([1, 1]), NAMES)
    assert few["accuracy"] == 0 and set(few["classes"]) == {"palm"}
    assert few["classes"]["palm"]["precision"] is None
    assert class_figures(scores[:0], np.array([], dtype=int), NAMES)["accuracy"] == 0


@pytest.mark.parametrize("known_photos", [9, 700])
def test_retrieval_is_that_of_a_slow_count(known_photos: int) -> None:
    rng = np.random.default_rng(known_photos)
    labels, known = rng.integers(0, 3, 7), rng.integers(0, 2, known_photos)  # none of class 2
    similarity = rng.normal(size=(7, known_photos))
    shares, firsts = [], []
    for row, own in zip(similarity, labels, strict=True):
        nearest = sorted(range(known_photos), key=lambda i: -row[i])
        number = min(100, sum(known == own))
        hits = [known[i] == own for i in nearest[:number]]
        shares.append(100 * sum(hits) / number if number else 0.0)
        firsts.append(any(known[i] == own for i in nearest[:3]))
    figures = retrieval_figures(similarity, labels, known, NAMES)
    assert MOST_RETRIEVED == 100 and figures["n"] == 7
    assert figures["accuracy"] == pytest.approx(np.mean(shares))
    assert figures["top_k"]["3"] == pytest.approx(100 * np.mean(firsts))
    for number, name in enumerate(NAMES):
        own = [share for share, label in zip(shares, labels, strict=True) if label == number]
        assert figures["classes"][name]["n"] == len(own) > 0
        assert figures["classes"][name]["recall"] == pytest.approx(np.mean(own))
    means = [one["recall"] for one in figures["classes"].values()]
    assert figures["balanced"] == pytest.approx(np.mean(means))
