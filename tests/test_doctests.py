"""The examples in docstrings."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("evaluation", "guesses", "places", "ranking")


@pytest.mark.parametrize("package", PACKAGES)
def test_examples_give_what_they_say(package: str) -> None:
    files = sorted((ROOT / "geoclip" / package).rglob("*.py"))
    modules = [
        import_module(".".join(file.relative_to(ROOT).with_suffix("").parts)) for file in files
    ]
    results = [doctest.testmod(module, optionflags=doctest.ELLIPSIS) for module in modules]
    assert sum(result.attempted for result in results) > 0
    assert [m.__name__ for m, r in zip(modules, results, strict=True) if r.failed] == []
