"""`geoclip sidecar undo` removes written sidecars and reports those it kept."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.guesses.schema import guess_table
from geoclip.guesses.sidecars import write_sidecars


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sidecar", *map(str, arguments)])


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    rows = []
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        rows.append({"path": tmp_path / name, "lat": 1.0, "lon": 2.0, "status": "ok"})
    write_sidecars(guess_table(rows), tmp_path / "journal.jsonl")
    return tmp_path / "journal.jsonl"


def test_undo_removes_all(journal: Path) -> None:
    result = run("undo", journal)
    assert result.exit_code == 0
    assert "Removed 2 sidecars." in result.stdout
    assert not list(journal.parent.glob("*.xmp"))
    assert "2 were gone already" in run("undo", journal).stdout


def test_undo_says_what_it_kept(journal: Path) -> None:
    (journal.parent / "a.jpg.xmp").write_text("edited")
    result = run("undo", journal)
    assert result.exit_code == 3
    assert "changed since it was written" in result.stderr
    assert "Removed 1 sidecars; 1 kept." in result.stdout


def test_a_missing_journal_is_one_sentence(tmp_path: Path) -> None:
    result = run("undo", tmp_path / "absent.jsonl")
    assert result.exit_code == 2
    assert result.stderr.startswith("geoclip: The journal")
    assert "Traceback" not in result.output
