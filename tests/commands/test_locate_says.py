"""What `geoclip locate` says at its end, in full or not at all, and what it does not replace."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_locator import use_fake_locator
from PIL import Image
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.guesses.guess_files import ENDINGS, read_guesses
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer


@pytest.fixture(autouse=True)
def fake_locator(monkeypatch: pytest.MonkeyPatch, small_gazetteer: Gazetteer) -> None:
    use_fake_locator(monkeypatch, small_gazetteer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, a blank one, one that is none, and a text."""
    home = tmp_path / "photos"
    home.mkdir()
    for seed in range(2):
        noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(home / f"{seed}.png")
    Image.new("RGB", (8, 8)).save(home / "blank.png")
    (home / "text.jpg").write_text("no photo")
    (home / "notes.txt").write_text("notes")
    return home


def run(*arguments: object) -> Result:
    given = ["locate", *map(str, arguments), "--model", "streetclip"]
    return CliRunner().invoke(app, given)


def test_the_sum_and_the_map(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    result = run(folder, "--out", tmp_path / "o.csv", "--map", page)
    assert result.exit_code == 3
    last = result.stderr.strip().splitlines()[-1]
    assert last == (
        "4 photos: 2 guessed, 1 shows no place, 1 broken; 1 other file left out. "
        f"Open {page}."
    )  # fmt: skip


def test_each_table_has_a_ledger_and_the_numbers_agree(folder: Path, tmp_path: Path) -> None:
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "thumb.jpg").write_text("thumbnail")
    one, other = tmp_path / "o.csv", tmp_path / "o.parquet"
    said = run(folder, "--out", one).stderr
    ledger = tmp_path / "o.csv-ledger.csv"
    before = ledger.read_bytes()
    assert "o.csv-ledger.csv says why: 1 broken, 1 other file, 1 hidden or excluded." in said
    assert "1 other file left out" in said
    assert len(pd.read_csv(ledger)) == 3
    assert run(folder / "0.png", folder / "text.jpg", "--out", other).exit_code == 3
    assert ledger.read_bytes() == before
    assert pd.read_csv(tmp_path / "o.parquet-ledger.csv")["status"].tolist() == ["not a photo"]
    (folder / "text.jpg").unlink()
    assert "broken" not in run(folder, "--out", one).stderr
    assert len(pd.read_csv(ledger)) == 2  # of an earlier run nothing stays


def test_a_map_of_other_folders_is_not_replaced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, other = tmp_path / "m.html", tmp_path / "other"
    other.mkdir()
    (folder / "1.png").rename(other / "1.png")
    assert run(folder, "--map", page).exit_code == 3
    before = page.read_bytes()
    assert str(tmp_path).encode() not in before
    refused = run(other, "--map", page)
    assert refused.exit_code == 2
    assert "is a map of photos of other folders" in refused.stderr and "--force" in refused.stderr
    assert page.read_bytes() == before
    monkeypatch.chdir(tmp_path)
    assert run(folder.name, other, "--map", page.name).exit_code == 3  # called otherwise, and more
    assert run(other, "--map", page).exit_code == 0  # the map is of both now
    page.write_text("<html>a diary</html>")
    assert "is no map" in run(other, "--map", page).stderr
    assert page.read_text() == "<html>a diary</html>"
    assert run(other, "--map", page, "--force").exit_code == 0


def test_advice_comes_once_a_machine(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOCLIP_DATA", str(tmp_path / "data"))
    first, second = (CliRunner().invoke(app, ["locate", str(folder)]).stderr for _ in range(2))
    assert first.count("small model for demonstration") == 1
    assert "small model" not in second
    assert "reading 4 photos" in second
    (tmp_path / "data" / "told" / "advice").unlink()
    (tmp_path / "data" / "told").rmdir()
    (tmp_path / "data" / "told").touch()  # nothing can be noted
    for _ in range(2):
        assert "small model" in CliRunner().invoke(app, ["locate", str(folder)]).stderr


def test_quiet_and_verbose(folder: Path, tmp_path: Path) -> None:
    quiet = run(folder, "--out", tmp_path / "o.csv", "--quiet")
    assert (quiet.exit_code, quiet.output) == (3, "")
    assert "guess" in run(folder, "--quiet").stdout
    assert (
        "1 of 4 photos could not be read: 1 not a photo (--verbose says why)" in run(folder).stderr
    )
    verbose = run(folder, "--out", tmp_path / "o.csv", "--verbose").stderr
    assert "text.jpg: not a photo: " in verbose
    assert "text.jpg" not in run(folder, "--out", tmp_path / "o.csv").stderr


def test_an_index_that_is_made_is_told_unless_quiet(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Locator.from_pretrained

    def indexing(name: str, *rest: Any, watch: Any, **others: Any) -> Locator:
        with watch("indexing places", 1200) as advance:
            advance(1200)
        return made(name, *rest, **others)

    monkeypatch.setattr(Locator, "from_pretrained", indexing)
    lines = run(folder).stderr.splitlines()
    assert lines[0] == "indexing places: 1,200 texts, once for this model"
    assert "reading 4 photos" in lines
    assert run(folder, "--quiet").stderr == ""


@pytest.mark.parametrize("ending", ENDINGS)
def test_guesses_for_other_photos_are_not_replaced(
    folder: Path, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / f"o{ending}", tmp_path / "other"
    other.mkdir()
    (folder / "1.png").rename(other / "1.png")
    assert run(folder, "--out", out).exit_code == 3
    before = out.read_bytes()
    refused = run(other, "--out", out)
    assert refused.exit_code == 2
    assert "holds guesses for other photos" in refused.stderr and "--force" in refused.stderr
    assert out.read_bytes() == before
    assert run(folder, other, "--out", out).exit_code == 3  # the old photos and one more
    monkeypatch.chdir(tmp_path)
    assert run(folder.name, "--out", out).exit_code == 3  # the same, called otherwise
    assert run(other, "--out", out, "--force").exit_code == 0
    assert read_guesses(out)["path"].nunique() == 1


def test_a_file_of_another_kind_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "diary.csv"
    out.write_text("day,what\n1,walk\n")
    refused = run(folder, "--out", out)
    assert refused.exit_code == 2
    assert "is no table of guesses" in refused.stderr
    assert out.read_text().startswith("day,what")
    assert run(folder, "--out", out, "--force").exit_code == 3
