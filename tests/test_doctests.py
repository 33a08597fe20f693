"""The examples in docstrings, and one for every public name."""

import doctest
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import geoclip

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("evaluation", "guesses", "places", "ranking")
OPTIONS = doctest.ELLIPSIS


@pytest.fixture(autouse=True)
def example_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples run in a folder with a grey photo, a table of it and a grey clip of two seconds."""
    (tmp_path / "holiday").mkdir()
    Image.new("RGB", (64, 48), (128, 128, 128)).save(tmp_path / "holiday" / "grey.jpg")
    (tmp_path / "photos.csv").write_text("path,lat,lon\nholiday/grey.jpg,45.75,4.85\n")
    grey = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), "rgb24")
    with av.open(tmp_path / "drive.mp4", "w") as clip:
        stream = clip.add_stream("mpeg4", rate=4, width=64, height=48)
        stream.gop_size = 1  # each frame can be sought
        for packet in [packet for _ in range(8) for packet in stream.encode(grey)]:
            clip.mux(packet)
        clip.mux(stream.encode())
    monkeypatch.chdir(tmp_path)
    yield


@pytest.mark.parametrize("package", PACKAGES)
def test_examples_give_what_they_say(package: str) -> None:
    files = sorted((ROOT / "geoclip" / package).rglob("*.py"))
    modules = [
        import_module(".".join(file.relative_to(ROOT).with_suffix("").parts)) for file in files
    ]
    results = [doctest.testmod(module, optionflags=OPTIONS) for module in modules]
    assert sum(result.attempted for result in results) > 0
    assert [m.__name__ for m, r in zip(modules, results, strict=True) if r.failed] == []


def homes() -> dict[str, str]:
    """The module of each public name."""
    stub = (ROOT / "geoclip" / "__init__.pyi").read_text(encoding="utf-8")
    imports = (line.split() for line in stub.splitlines())
    return {name: home for _, home, _, name, *_ in imports}


@pytest.mark.parametrize("name", sorted(geoclip.__all__))
def test_every_public_name_has_an_example(name: str) -> None:
    """A class or function has it in its docstring, other names in that of their module."""
    module = import_module(homes()[name])
    public = getattr(geoclip, name)
    about = public if callable(public) else module
    examples = doctest.DocTestFinder(recurse=False).find(about, name, module)
    assert sum(len(found.examples) for found in examples) > 0
    if module.__name__.split(".")[1] not in PACKAGES:  # else it ran with its package
        runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
        for found in examples:
            runner.run(found, out=sys.stdout.write)
        assert not runner.summarize(verbose=False).failed
