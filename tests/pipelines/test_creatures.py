"""A hierarchy that is no geography through the programs, with the library as it is."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_encoders import random_tiny_clip

from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.training.splits import HELD_BACK
from pipelines import (
    classify_photos,
    evaluate_guesses,
    train_encoder,
    write_captions,
)
from pipelines.command_line import command_of
from pipelines.creatures.creatures import CreatureSettings, write_creatures
from pipelines.creatures.drawing import draw_creature
from pipelines.creatures.tree import CHILDREN, LEVELS, WORDS, code_of, species_of
from pipelines.planet.climate import generator

SMALL = CreatureSettings(image_size=32, train_views=1, test_views=1)


@pytest.fixture(scope="module")
def creatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("creatures")
    write_creatures(folder, SMALL)
    return folder


def test_every_level_has_seen_and_unseen_classes() -> None:
    species = species_of(0)
    for number, level in enumerate(LEVELS, start=1):
        classes = {kind.names[:number] for kind in species}
        assert len(classes) == np.prod([CHILDREN[name] for name in LEVELS[:number]])
        seen = {kind.names[:number] for kind in species if kind.seen}
        assert seen < classes
        # A word of a class without a picture stands in the name of one that has some.
        words = {word for names in seen for word in names[-1].split()}
        assert words == {word for own in WORDS[level] for word in own} or level == "class"


def test_pictures_depend_on_their_key_alone_and_show_each_trait() -> None:
    traits = species_of(0)[0].traits
    first = draw_creature(traits, generator("a"), 64)
    assert first.tobytes() == draw_creature(traits, generator("a"), 64).tobytes()
    plain = np.asarray(first, dtype=float)
    for level, (firsts, seconds) in WORDS.items():
        for place, words in enumerate((firsts, seconds)):
            for word in words.values():
                pair = list(traits[level])
                if pair[place] == word:
                    continue
                pair[place] = word
                other = draw_creature({**traits, level: (pair[0], pair[1])}, generator("a"), 64)
                assert abs(np.asarray(other, dtype=float) - plain).max() > 40, (level, word)


def test_tables_and_pictures_belong_together(creatures: Path) -> None:
    tree = Gazetteer.read(creatures / "tree.csv")
    assert tree.level_names == LEVELS
    assert len(tree.alternate_names()) == 2 * len(tree)
    photos = pd.read_csv(creatures / "photos.csv")
    species = {kind.place_id: kind.seen for kind in species_of(0)}
    assert set(photos["place_id"]) == set(species)
    seen = photos["place_id"].map(species)
    assert set(photos.loc[seen, "split"]) == {"train", "seen"}
    assert set(photos.loc[~seen, "split"]) == {"unseen"}
    for path in photos["path"][:3]:
        with Image.open(creatures / path) as picture:
            assert picture.size == (32, 32)


def test_captions_mix_latin_and_english_names_and_codes(creatures: Path) -> None:
    tree = Gazetteer.read(creatures / "tree.csv")
    tree.wording = replace(tree.wording, keep_official=0.4, keep=(1.0,) * len(LEVELS))
    kind = species_of(0)[0]
    book, row = CaptionBook(tree), int(tree.rows([kind.place_id])[0])
    drawn = Counter(book.draw(row, 0, epoch, "photo").text for epoch in range(900))
    words = [kind.names[-1], " ".join(kind.traits["species"]), code_of("species", kind.names[-1])]
    named = [sum(n for text, n in drawn.items() if f"species {word} " in text) for word in words]
    assert sum(named) == 900
    assert np.array(named) / 900 == pytest.approx([0.4, 0.3, 0.3], abs=0.06)


def test_it_goes_through_the_programs(
    creatures: Path,
    ray_on_two_cpus: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Captions, training, index, classes and S, U and H of every level, by their commands."""
    monkeypatch.chdir(tmp_path)
    start = tmp_path / "start"
    random_tiny_clip().save(start)
    table = ["--gazetteer", str(creatures / "tree.csv")]
    photos = ["--photos", str(creatures / "photos.csv")]
    call(write_captions, *photos, "--out", "captions.parquet", "--held-back", "0.4", *table)
    captions = pd.read_parquet("captions.parquet")
    assert captions["caption"].str.startswith("A picture of the ").all()
    training = ["--start", str(start), "--epochs", "1", "--batch-size", "64", "--workers", "1"]
    training += ["--evaluate-every", "9", "--evaluate-photos", "20", "--keep", "best"]
    call(train_encoder, "--captions", "captions.parquet", "--out", "run", *training, *table)
    figures = pd.read_csv("run/evaluations.csv")
    assert {f"{split}/{level}_top1" for split in ("mean", "seen") for level in LEVELS} < {*figures}
    ranking = json.loads(Path("run/encoder/geoclip.json").read_text())["tables"]["/".join(LEVELS)]
    assert ranking["calibration"]["photos"] >= 50
    model = ["--model", "run/encoder"]
    call(classify_photos, *photos, "--top-k", "2", "--out", "classes", *model, *table)
    drawn, found = pd.read_csv(creatures / "photos.csv"), pd.read_parquet("classes")
    held_out = drawn[drawn["split"] != "train"]
    assert set(found["location_id"]) == set(drawn["location_id"])
    assert set(found["status"]) == {"ok"}
    predictions = ["--predictions", "classes", "--captions", "captions.parquet"]
    call(evaluate_guesses, *predictions, "--out", "report.json", *table)
    report = json.loads(Path("report.json").read_text())
    assert report["splits"] == {}
    assert list(report["gzsl"]) == list(LEVELS)
    first = found[found["rank"] == 1].set_index("location_id")
    for number, level in enumerate(LEVELS, start=1):
        figures = report["gzsl"][level]["after"]
        true = held_out.set_index("location_id")["place_id"].map(
            lambda text, depth=number: "/".join(text.split("/")[:depth])
        )
        right = (first[f"{level}_id"].reindex(true.index) == true).groupby(true).mean()
        trained = captions.loc[captions["split"].isin(["train", *HELD_BACK]), "place_id"]
        seen = right.index.isin(["/".join(text.split("/")[:number]) for text in trained])
        assert figures["S"] == pytest.approx(100 * right[seen].mean())
        assert figures["U"] == pytest.approx(100 * right[~seen].mean())
        counts = Counter(true.isin(right.index[seen]).tolist())
        assert (figures["n_seen"], figures["n_unseen"]) == (counts[True], counts[False])


def call(program: object, *words: str) -> None:
    """A program's own command, in the Ray that runs already."""
    command_of(program.main)(list(words), standalone_mode=False)  # type: ignore[attr-defined]
