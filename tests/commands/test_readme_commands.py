"""The `geoclip` commands of README, word for word, one after the other in one folder."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gps_files import SYDNEY, exif_of
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from geoclip.commands.app import app

README = Path(__file__).parents[2] / "README.md"
TOO_LONG = ("finetune", "calibrate", "benchmark")
"""They need many photos, a hub model or minutes; their own tests run them."""


def commands() -> list[list[str]]:
    """All of its lines that begin with geoclip, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("geoclip ")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands' inputs: photos, two of them with a position, and tables of them."""
    home = tmp_path_factory.mktemp("home")
    for folder in ("holiday", "PHOTOS"):
        (home / folder).mkdir()
        for seed in range(3):
            noise = np.random.default_rng(seed).integers(0, 255, (96, 128, 3), dtype=np.uint8)
            stated = exif_of(SYDNEY if seed else {}, "2024:05:04 10:00:00").tobytes()
            Image.fromarray(noise).save(home / folder / f"{seed}.jpg", exif=stated)
    rows = [f"holiday/{seed}.jpg,-33.86,151.21,here" for seed in range(3)]
    for name in ("photos", "PHOTOS", "truth", "trained_on"):
        table = "\n".join(["path,lat,lon,location_id", *rows]) + "\n"
        (home / f"{name}.csv").write_text(table, encoding="utf-8")
    return home


def test_the_commands_of_the_readme(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    done = []
    for _, *arguments in commands():
        if arguments[0] in TOO_LONG:
            continue
        if arguments[0] == "compare":
            for name in ("old", "new"):
                shutil.copy("guesses.csv", f"{name}.csv")
        words = [word.replace("clip-b-32", "street-tiny") for word in arguments]
        words = [word.removeprefix("~/Downloads/") for word in words]
        if words[:2] == ["sidecar", "write"]:
            confirm("guesses.csv")
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (words, result.output)
        done.append(words[0])
    assert {"locate", "review", "sidecar", "evaluate", "compare", "gallery", "search"} <= set(done)
    for made in ("map.html", "review.html", "report.html", "wins.html", "found.html"):
        assert (home / made).stat().st_size > 1000


def confirm(guesses: str) -> None:
    """The export of `geoclip review`'s page when the first answer of each photo is accepted."""
    first = pd.read_csv(guesses).query("rank == 1")
    first = first[first["path"].str.endswith("0.jpg")]  # the others have their own position
    first[["path", "lat", "lon"]].to_csv("reviewed.csv", index=False)


def test_the_others_are_known() -> None:
    """Their words are parsed as by the command, which is not run."""
    known: dict[str, Any] = getattr(get_command(app), "commands")  # noqa: B009
    others = [words for _, *words in commands() if words[0] in TOO_LONG]
    assert {words[0] for words in others} == set(TOO_LONG)
    for name, *words in others:
        assert known[name].make_context(name, words).params
