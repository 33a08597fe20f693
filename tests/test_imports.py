"""Imports point one way, heavy libraries stay where they belong, and the public names are exact."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import geoclip

ROOT = Path(__file__).resolve().parents[1]

# From the ground up; a module may import from its own layer and from those below it.
LAYERS = (
    {"errors", "files", "garbage", "memory", "name_guard", "paths", "seeds", "sphere"},
    {"place", "tables"},
    {"gazetteer", "outlines"},
    {
        "captions",
        "encoders",
        "photo_files",
        "photos",
        "known_models",
        "conversion",
        "labels",
        "capture",
        "videos",
        "evidence",
    },
    {
        *("index", "hierarchy", "ranking", "album", "losses", "guesses", "metrics", "photo_table"),
        *("baselines", "splits", "report", "model_settings", "posterior", "expected_score"),
        *("top_cities", "spread"),
        *("answers", "reading"),
    },
    {"locator", "folder", "training", "maps", "benchmarks", "evaluation", "demo", "sidecar"},
    {"commands"},
    {"launcher", "pipelines"},
)
HOMES = {
    "ray": {"pipelines"},
    "open_clip": {"geoclip.encoders"},
    "transformers": {"geoclip.encoders"},
    "timm": {"geoclip.encoders"},
    "typer": {"geoclip.commands"},
    "av": {"geoclip.videos"},
}


def files() -> list[Path]:
    return sorted(file for top in ("geoclip", "pipelines") for file in (ROOT / top).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path) -> set[str]:
    """Every module that an import statement of the file names, at whatever depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names.add(node.module or "")
            # `from geoclip import maps` names the module in the second half.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(module: str) -> str | None:
    """The part of the project a module belongs to: `geoclip.commands.app` → commands."""
    pieces = module.split(".")
    if pieces[0] == "pipelines":
        return "pipelines"
    return pieces[1] if pieces[0] == "geoclip" and len(pieces) > 1 else None


def is_module(part: str) -> bool:
    """Whether it is one of ours, and no name that was imported from `geoclip` itself."""
    folder = ROOT if part == "pipelines" else ROOT / "geoclip"
    return (folder / part).is_dir() or (folder / f"{part}.py").is_file()


def layer_of(part: str) -> int | None:
    for number, layer in enumerate(LAYERS):
        # `album_travel` belongs to `album`.
        if any(part == name or part.startswith(f"{name}_") for name in layer):
            return number
    return None


@pytest.mark.parametrize("file", files(), ids=module_name)
def test_imports_point_one_way(file: Path) -> None:
    part = part_of(module_name(file))
    if part is None:  # geoclip/__init__.py, which offers names of all parts
        return
    own = layer_of(part)
    assert own is not None, f"{part} stands in no layer: add it to LAYERS"
    for module in imported(file):
        other = part_of(module)
        if other is None or not is_module(other):
            continue
        below = layer_of(other)
        assert below is not None
        assert below <= own, f"{module_name(file)} imports {module}"


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_where_they_belong(library: str) -> None:
    for file in files():
        if any(name.split(".")[0] == library for name in imported(file)):
            name = module_name(file)
            assert any(name == home or name.startswith(f"{home}.") for home in HOMES[library]), name


def test_no_module_has_a_name_of_the_other_distribution() -> None:
    for name in ("model", "train", "images"):
        assert not (ROOT / "geoclip" / name).exists()
        assert not (ROOT / "geoclip" / f"{name}.py").exists()


@pytest.mark.parametrize(
    "program", ["import geoclip", "import sys; sys.argv[1:] = ['--help']\n{launch}"]
)
def test_starting_is_light(program: str) -> None:
    launch = (
        "from geoclip.launcher import run_command\n"
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
