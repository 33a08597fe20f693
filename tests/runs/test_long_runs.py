"""Long runs of the real command: killed, with much to do, and over everything that goes wrong."""

import csv
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import pytest
from tiny_encoders import random_tiny_clip, small_clip

from geoclip.encoders.registry import CHECKPOINTS
from geoclip.guesses.guess_files import read_guesses
from geoclip.support.paths import decode_path
from tests.torture import TortureEntry, make_torture_folder, unlock

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = "from geoclip.commands.launcher import run_command; run_command()"
# Forked from a process that has imported everything, a run takes no time to start; killed it is
# like any other process.
KILL = """
import os, random, signal, sys, time
from pathlib import Path
import pandas as pd
import geoclip.commands.app, geoclip.runs.folder_run, geoclip.encoders.open_clip_encoder
from geoclip.commands.launcher import run_command

folder, options = Path(sys.argv.pop(2)), list(sys.argv)
out, whole, errors = folder / "out.parquet", folder / "whole.parquet", folder / "errors.txt"

def begin(table):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        sys.argv = [*options, str(table)]
        code = 1
        try:
            run_command()
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child

for name in ("index.parquet", "whole.parquet"):  # the first one also makes the index of places
    start = time.monotonic()
    _, status = os.waitpid(begin(folder / name), 0)
    assert os.waitstatus_to_exitcode(status) == 3
seconds = time.monotonic() - start
moments, kills, finished = random.Random(4), 0, 0
# On a busy machine most runs are killed before they have noted anything: it then takes more kills.
while kills < 20 or (errors.read_text().count("were read before") < 5 and kills < 100):
    child = begin(out)
    time.sleep(moments.uniform(0, 0.5) * seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
        kills += 1
    else:  # it had ended before: compare, and from the beginning
        finished += 1
        assert os.waitstatus_to_exitcode(status) == 3
        pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(whole))
        out.unlink()
_, status = os.waitpid(begin(out), 0)
assert os.waitstatus_to_exitcode(status) == 3
print(f"{seconds:.1f} s uninterrupted; {kills} runs killed, {finished} ended before", flush=True)
"""
MEASURE = """
import resource
from geoclip.commands.launcher import run_command
try:
    run_command()
except SystemExit as end:
    assert end.code in (0, None), end.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    random_tiny_clip().save(folder)
    return folder


@pytest.fixture(scope="module")
def light_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with which a command starts soon."""
    folder = tmp_path_factory.mktemp("light")
    small_clip().save(folder)
    return folder


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Path:
    """The demonstration's encoder, where it is packaged: it takes some time over a photo."""
    start = CHECKPOINTS / "planet-start"
    return start if start.is_dir() else tiny_model


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """A world of 300 cities, so that making its index takes no time."""
    folder = tmp_path_factory.mktemp("world")
    cities = pd.read_csv(ROOT / "gazetteers" / "cities.csv", keep_default_na=False)
    largest = cities.nlargest(300, "population")[["name", "lat", "lon", "country_code"]]
    largest.to_csv(folder / "own.csv", index=False)
    before = os.environ.get("GEOCLIP_CACHE")
    os.environ["GEOCLIP_CACHE"] = str(folder / "cache")
    yield ("--gazetteer", str(folder / "own.csv"), "--device", "cpu")
    if before is None:
        del os.environ["GEOCLIP_CACHE"]
    else:
        os.environ["GEOCLIP_CACHE"] = before


def start(*arguments: object, program: str = LAUNCH) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", program, "locate", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, errors="replace", **pipes)


def links(shared_data: Path, folder: Path, count: int) -> Path:
    """Links to street photos, the same ones over and over where there are too few."""
    folder.mkdir()
    photos = sorted((shared_data / "gsv_stw").glob("*.jpg"))
    assert photos
    for i, photo in enumerate(islice(cycle(photos), count)):
        (folder / f"{i:05}.jpg").symlink_to(photo.resolve())
    return folder


def state(folder: Path) -> list[tuple[str, int, str]]:
    """Name, time of change and hash of every file."""
    return [
        (p.name, p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest())
        for p in sorted(folder.iterdir())
    ]


def test_killed_at_random_moments(
    shared_data: Path, tmp_path: Path, model: Path, settings: tuple[str, ...]
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    folder = links(shared_data, tmp_path / "photos", 392)
    for photo in sorted((shared_data / "exif_photos").glob("*.jpg"))[:7]:
        (folder / photo.name).symlink_to(photo.resolve())
    (folder / "bad.jpg").write_text("no photo")
    before = state(folder)
    arguments = (folder, "--model", model, *settings, "--gps", "compare", "--out")
    process = start(tmp_path, *arguments, program=KILL)
    printed, own_errors = process.communicate()
    errors = (tmp_path / "errors.txt").read_text()
    assert process.returncode == 0, own_errors + errors
    assert "Traceback" not in own_errors + errors
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "out.parquet"),
        pd.read_parquet(tmp_path / "whole.parquet"),
        check_exact=True,
    )
    assert state(folder) == before
    assert not (tmp_path / "out.parquet.journal").exists()
    print(printed, errors.count("were read before"), "runs found photos of an earlier one")
    assert errors.count("were read before") >= 5


def test_memory_does_not_grow_with_the_photos(
    shared_data: Path, tmp_path: Path, tiny_model: Path, settings: tuple[str, ...]
) -> None:
    pytest.importorskip("resource")
    peaks = []
    for count in (1_000, 10_000):
        folder = links(shared_data, tmp_path / f"{count}", count)
        out = tmp_path / f"{count}.parquet"
        arguments = (folder, "--model", tiny_model, *settings, "--out", out)
        process = start(*arguments, program=MEASURE)
        printed, errors = process.communicate()
        assert process.returncode == 0, errors
        assert read_guesses(out)["path"].nunique() == count
        peaks.append(int(printed.split()[-1]))
    print("peak memory (as the system counts it):", peaks)
    assert peaks[1] < 1.1 * peaks[0]


@pytest.fixture
def torture(tmp_path: Path) -> Iterator[list[TortureEntry]]:
    folder = tmp_path / "torture"
    entries = make_torture_folder(folder)
    (folder / "notes.txt").write_text("not a photo by its name either")
    yield entries
    unlock(folder)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".geojson", ".gpkg"])
def test_everything_that_goes_wrong(
    torture: list[TortureEntry],
    tmp_path: Path,
    light_model: Path,
    settings: tuple[str, ...],
    ending: str,
) -> None:
    out = tmp_path / f"guesses{ending}"
    arguments = (tmp_path / "torture", "--model", light_model, *settings, "--out", out)
    process = start(*arguments, "--map", tmp_path / "map.html", "--sidecar", "--album")
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 3, errors
    assert "Traceback" not in errors
    rows = {
        decode_path(path): status for path, status in read_guesses(out)[["path", "status"]].values
    }
    with (tmp_path / f"{out.name}-ledger.csv").open(encoding="utf-8", newline="") as file:
        ledger = {decode_path(row["path"]): row for row in csv.DictReader(file)}
    for entry in torture:
        status = rows[entry.path]
        assert status in {*entry.expected, "no evidence"}, entry.path
        if status not in {"ok", "no evidence"}:
            assert ledger[entry.path]["status"] == status
            assert ledger[entry.path]["reason"]
    assert ledger[tmp_path / "torture" / "notes.txt"]["status"] == "left out"
