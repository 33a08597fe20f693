"""`geoclip locate` with a fake locator: arguments, outputs, exit codes."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from geoclip.commands import locate as command
from geoclip.commands.app import app
from geoclip.errors import GeoclipError, PhotoError
from geoclip.guesses import COLUMNS, ENDINGS, guess_table, read_guesses
from geoclip.photos import read_photo


class FakeLocator:
    """Says Lyon, and remembers what it was asked."""

    asked: dict[str, Any] = {}  # noqa: RUF012
    notices = ("weights are random", "weights are random")

    @classmethod
    def from_pretrained(cls, name: str, gazetteer: Any = None, device: Any = None) -> "FakeLocator":
        cls.asked = {"name": name, "gazetteer": gazetteer, "device": device}
        return cls()

    def locate(
        self,
        paths: Sequence[Path],
        top_k: int = 5,
        group_by: Sequence[str] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> pd.DataFrame:
        FakeLocator.asked |= {"paths": list(paths), "top_k": top_k, "group_by": group_by}
        rows: list[dict[str, Any]] = []
        for path in paths:
            try:
                read_photo(path)
            except PhotoError as problem:
                rows.append({"path": str(path), "rank": 1, "status": problem.status})
            else:
                rows += [self._row(path, rank) for rank in range(1, top_k + 1)]
            if progress:
                progress(1)
        return guess_table(rows)

    def _row(self, path: Path, rank: int) -> dict[str, Any]:
        point = {"lat": 45.75, "lon": 4.85, "place_lat": 45.75, "place_lon": 4.85}
        names = {"place_id": "2996944", "city": "[red]Lyon", "region": "", "country": "France"}
        return {
            "path": str(path),
            "rank": rank,
            "probability": 0.5,
            "status": "ok",
            **point,
            **names,
        }


@pytest.fixture(autouse=True)
def fake_locator(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("geoclip.locator")
    module.Locator = FakeLocator  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "geoclip.locator", module)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["locate", *map(str, arguments)])


def assert_refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 2
    assert result.stderr.startswith("geoclip: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize("ending", ENDINGS)
def test_tables(photo: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"guesses{ending}"
    result = run(photo, "--model", "streetclip", "--out", out, "--top-k", 2)
    assert result.exit_code == 0, result.output
    table = read_guesses(out)
    assert list(table["rank"]) == [1, 2]
    assert set(COLUMNS) <= set(table.columns)
    assert result.stdout == ""


def test_the_endings_are_those_of_the_writer() -> None:
    assert command.TABLE_ENDINGS == ENDINGS


def test_the_table_on_the_terminal(photo: Path) -> None:
    result = run(photo, "--model", "streetclip", "--top-k", 2)
    assert result.exit_code == 0
    assert "photo.jpg" in result.stdout
    assert "[red]Lyon, France" in result.stdout  # text, not markup
    assert result.stderr.count("weights are random") == 1


def test_some_unread(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("text")
    result = run(
        tmp_path, tmp_path / "absent.jpg", "--model", "streetclip", "--out", tmp_path / "o.csv"
    )
    assert result.exit_code == 3
    assert "2 of 3 photos could not be read: 1 not a photo, 1 missing." in result.stderr
    assert list(read_guesses(tmp_path / "o.csv").drop_duplicates("path")["status"]) == [
        "not a photo", "ok", "missing",
    ]  # fmt: skip


def test_map(photo: Path, tmp_path: Path) -> None:
    result = run(photo, "--model", "streetclip", "--map", tmp_path / "map.html")
    assert result.exit_code == 0
    assert "photo.jpg" in (tmp_path / "map.html").read_text()
    assert str(tmp_path) not in (tmp_path / "map.html").read_text()


def test_options_reach_the_locator(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,location_id\nphoto.jpg,there\n")
    arguments = ("--model", "hf:some/model", "--device", "cpu", "--group-by", "location_id")
    assert run(tmp_path / "list.csv", *arguments, "--top-k", 3).exit_code == 0
    asked = FakeLocator.asked
    assert (asked["name"], asked["device"], asked["gazetteer"]) == ("hf:some/model", "cpu", None)
    assert (asked["paths"], asked["top_k"], asked["group_by"]) == ([photo], 3, ["there"])


def test_a_gazetteer_of_ones_own(photo: Path, tmp_path: Path) -> None:
    result = run(photo, "--model", "streetclip", "--gazetteer", tmp_path / "absent.csv")
    assert_refused(result, "absent.csv")


def test_bad_arguments(photo: Path, tmp_path: Path) -> None:
    model = ("--model", "streetclip")
    assert_refused(run(photo, *model, "--out", "x.txt"), ".parquet, .geojson, .csv or .gpkg")
    assert_refused(run(photo, *model, "--out", tmp_path / "no" / "x.csv"), "does not exist")
    assert_refused(run(photo, *model, "--map", photo), ".html")
    assert_refused(run(photo, *model, "--group-by", "location_id"), "needs a .csv")
    (tmp_path / "folder").mkdir()
    assert_refused(run(tmp_path / "folder", *model), "No photos were found")
    assert run(photo, *model, "--top-k", 0).exit_code == 2
    assert run(*model).exit_code == 2
    assert run(photo, "--no-such-option").exit_code == 2


def test_an_unknown_model_is_answered_with_known_ones(photo: Path) -> None:
    assert_refused(run(photo, "--model", "stretclip"), "'stretclip'", "streetclip")
    assert_refused(run(photo, "--model", "zzzz"), "known are", "siglip")


def test_no_model(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "KNOWN_MODELS", {})
    assert_refused(run(photo), "--model")


def test_errors_of_the_library_are_one_sentence(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise GeoclipError("bad.bin is a pickle\nand is \x1b[31mrefused.")

    monkeypatch.setattr(FakeLocator, "from_pretrained", refuse)
    result = run(photo, "--model", "streetclip")
    assert_refused(result, "refused")
    assert "\x1b" not in result.stderr
