"""The layout: few packages, small files, unique names."""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_ENTRIES = 13
MOST_LINES = 300
REPEATED = {"__init__.py", "settings.py"}


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_a_reader_sees_few_entries() -> None:
    entries = [
        path.name
        for path in (ROOT / "geoclip").iterdir()
        if (path.is_dir() or path.suffix == ".py") and not path.name.startswith("_")
    ]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_no_file_is_long() -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for package in ("geoclip", "pipelines")
        for file in python_files(package)
    }
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_no_two_files_share_a_name() -> None:
    names = Counter(file.name for file in python_files("geoclip"))
    assert {name for name, count in names.items() if count > 1} <= REPEATED


def test_the_checks_run_every_folder_of_tests() -> None:
    """They name the folders, to run some side by side; a new one would be left out unnoticed."""
    named = (ROOT / ".ci" / "run").read_text()
    folders = {file.relative_to(ROOT).parts[1] for file in (ROOT / "tests").glob("*/**/test_*.py")}
    assert len(folders) > 10
    for folder in folders:
        assert f"tests/{folder}" in named
    assert "tests/test_*.py" in named


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by that name alone, and would end a run of all while it collects them."""
    names = [path.name for path in python_files("tests") if path.name != "conftest.py"]
    assert [name for name, count in Counter(names).items() if count > 1] == []
