"""Runs notebooks from a clean kernel; `python -m tests.notebook_runs [NAME...]` keeps the outputs.

What is kept is small: a frame or page of more than `MOST` characters is left out for the text that
stands for it, and paths of this machine are shortened.
"""

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
MOST = 100_000
STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours and moves of a terminal."""


def run_notebook(path: Path) -> Any:
    """The notebook with the outputs of a run in its own folder; nbclient raises what fails."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=600, resources=resources, record_timing=False).execute()
    return notebook


def shorten(notebook: Any) -> None:
    """Remove large and machine-specific parts of the outputs."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in [kind for kind, value in data.items() if len(str(value)) > MOST]:
                if not kind.startswith("image/"):
                    del data[kind]
            texts = data if data else output
            for kind, value in texts.items():
                if isinstance(value, str) and not kind.startswith("image/"):
                    texts[kind] = STYLE.sub("", value).replace(f"{ROOT}/", "")


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not sys.argv[1:] or any(path.name.startswith(name) for name in sys.argv[1:]):
            done = run_notebook(path)
            shorten(done)
            nbformat.write(done, path)
