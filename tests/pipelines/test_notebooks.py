"""The notebooks run from top to bottom in a clean kernel, and are kept with small outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from notebook_runs import FOLDER, MOST, ROOT, run_notebook

NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
DRAWN = {"1", "2", "5", "6"}
"""Those that draw pictures."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, ray_on_two_cpus: None) -> Path:
    """The folder of the notebooks' photos, with the job of the last one run by this very Ray."""
    from pipelines.command_line import command_of
    from pipelines.locate_photos import main
    from pipelines.planet.example_photos import example_photos

    folder = tmp_path_factory.mktemp("scenes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOCLIP_SCENES", str(folder))
        given = ["--photos", str(example_photos()), "--out", str(folder / "job")]
        given += ["--model", "street-tiny", "--actors", "1"]
        command_of(main)(given, standalone_mode=False)
    return folder


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs(name: str, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOCLIP_SCENES", str(scenes))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    cells = [cell for cell in run_notebook(FOLDER / name).cells if cell.cell_type == "code"]
    shown = [output.get("data", {}) for cell in cells for output in cell.outputs]
    assert (name[0] in DRAWN) == any("image/png" in data for data in shown)
    if name.startswith("1"):
        assert any("srcdoc" in data.get("text/html", "") for data in shown)
        assert (scenes / "images" / "guesses.xlsx").exists()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_kept_and_small(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    cells = [c for c in nbformat.reads(text, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(bool(cell.outputs) for cell in cells) >= len(cells) // 2
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(o.output_type == "error" or o.get("name") == "stderr" for o in outputs)
    data = [item for o in outputs for item in o.get("data", {}).items()]
    largest = [len(str(value)) for kind, value in data if not kind.startswith("image")]
    assert max(largest, default=0) <= MOST and len(text) < 300_000
    for machine in (str(ROOT), "/home/", "/root/", "/tmp/"):
        assert machine not in text


def test_every_notebook_has_its_line() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"[{name.removesuffix('.ipynb')}]({name})" in readme for name in NOTEBOOKS)


def test_the_tasks_of_an_analyst_take_three_lines() -> None:
    """Each stands in a code cell of at most so many lines, imports and the loop of errors apart."""
    tasks = {
        "locator.show(": "1", "locator.countries(": "2", "compare(first, second": "3",
        "worst(": "3", "locator.search(": "5", "!geoclip finetune": "4", "compare(before": "4",
        "to_excel(": "1", "write_guesses(": "1", "narrowed(polygon=": "1", ".explore(": "1",
    }  # fmt: skip
    for task, book in tasks.items():
        (path,) = FOLDER.glob(f"{book}_*.ipynb")
        cells = nbformat.read(path, as_version=4).cells
        (cell, *_) = [c for c in cells if c.cell_type == "code" and task in c.source]
        lines = [line for line in cell.source.splitlines() if line and "import" not in line]
        assert len(lines) <= 3, (task, lines)
