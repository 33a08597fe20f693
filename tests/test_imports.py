"""Imports point one way, heavy libraries stay where they belong, and the public names are exact."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import geoclip

ROOT = Path(__file__).resolve().parents[1]


def test_no_module_has_a_name_of_the_other_distribution() -> None:
    for name in ("model", "train", "images"):
        assert not (ROOT / "geoclip" / name).exists()
        assert not (ROOT / "geoclip" / f"{name}.py").exists()


@pytest.mark.parametrize(
    "program", ["import geoclip", "import sys; sys.argv[1:] = ['--help']\n{launch}"]
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


def test_public_names_are_exact() -> None:
    assert set(geoclip.__all__) == {*geoclip._HOMES, "__version__"}
    assert sorted(geoclip.__all__) == dir(geoclip)
    for name in geoclip.__all__:
        assert getattr(geoclip, name) is not None
    tree = ast.parse((ROOT / "geoclip" / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == geoclip._HOMES


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'GeoCLIP'"):
        geoclip.GeoCLIP  # noqa: B018


def test_import_contracts_hold() -> None:
    """The contracts stand in pyproject.toml: layers, no circles, homes of libraries."""
    done = subprocess.run(
        ["lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
