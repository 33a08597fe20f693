"""Imports point one way, heavy libraries stay where they belong, and the public names are exact."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import geoclip
import geoclip.encoders

ROOT = Path(__file__).resolve().parents[1]


def test_no_module_has_a_name_of_the_other_distribution() -> None:
    for name in ("model", "train", "images"):
        assert not (ROOT / "geoclip" / name).exists()
        assert not (ROOT / "geoclip" / f"{name}.py").exists()


@pytest.mark.parametrize(
    "program",
    [
        "import geoclip",
        "import sys; sys.argv[1:] = ['--help']\n{launch}",
        "import sys; sys.argv[1:] = ['models']\n{launch}",
    ],
)
def test_starting_is_light(program: str) -> None:
    launch = (
        "from geoclip.commands.launcher import run_command\n"
        "try:\n    run_command()\nexcept SystemExit as end:\n    assert end.code in (0, None)"
    )
    heavy = {"torch", "geopandas", "ray", "open_clip", "transformers", "timm", "scipy", "pandas"}
    check = f"import sys; loaded = {heavy!r} & set(sys.modules); assert not loaded, loaded"
    code = f"{program.format(launch=launch)}\n{check}"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("package", [geoclip, geoclip.encoders], ids=lambda it: it.__name__)
def test_public_names_are_those_of_the_stub(package: ModuleType) -> None:
    """Each is written once, as `from its.home import Name as Name`, which type checkers export."""
    stub = Path(str(package.__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = [re.fullmatch(r"from (\S+) import (\S+) as (\S+)", s) for s in stub.splitlines()]
    written = [(found[1], found[2], found[3]) for found in imports if found]
    assert len(written) == len(stub.splitlines())
    assert sorted(name for _, name, _ in written) == package.__all__ == dir(package)
    for home, name, public in written:
        assert public == name
        assert getattr(package, name) is getattr(import_module(home), name)


def test_an_analyst_needs_no_private_module() -> None:
    needed = {"Locator", "load_encoder", "PlaceIndex", "Trainer", "TrainingSettings"}
    needed |= {"evaluate_tables", "locate_folder", "LocateSettings", "Temperatures", "Prior"}
    assert needed <= set(geoclip.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'GeoCLIP'"):
        geoclip.GeoCLIP  # noqa: B018


def test_import_contracts_hold() -> None:
    """The contracts stand in pyproject.toml: layers, no circles, homes of libraries."""
    done = subprocess.run(
        ["lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
