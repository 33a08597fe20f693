"""A folder of 500 files of all kinds: nothing is lost, nothing stands twice, nothing is changed."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_locator import use_fake_locator
from PIL import Image
from PIL.ExifTags import GPS, IFD
from small_world import FakeEncoder, hashed_vector
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.guesses.guess_files import read_guesses
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.paths import decode_path
from tests.torture import encoded, make_torture_folder, picture, unlock

FILES = 500
LARGEST = 1_000_000  # of a file whose content is compared


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def photo(seed: int, **options: object) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), **options)


def with_position(seed: int) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(IFD.GPSInfo).update(
        {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (45.0, 45.0, 0.0),
         GPS.GPSLongitudeRef: "E", GPS.GPSLongitude: (4.0, 51.0, 0.0)}
    )  # fmt: skip
    return photo(seed, exif=exif)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The torture folder, what systems and programs make, and many small photos."""
    root = tmp_path_factory.mktemp("mixed") / "photos"
    make_torture_folder(root / "torture", bombs=False)
    seed = 0
    for day in ("monday", "tuesday"):
        for i in range(20):
            seed += 1
            put(root / day / f"IMG_{i}.JPG", with_position(seed) if i % 2 else photo(seed))
            put(root / day / f"IMG_{i}.JPG.xmp", b"<x/>")
            put(root / day / "@eaDir" / f"IMG_{i}.JPG" / "SYNOPHOTO_THUMB_M.jpg", photo(seed))
        put(root / day / "blank.png", encoded(Image.new("RGB", (64, 48)), "PNG"))
        put(root / day / "raw.NEF", b"II*\0\x08\0\0\0\0\0" + encoded(picture(600, 400)))
        put(root / day / "film.mp4", b"\0\0\0\x18ftypmp42" + bytes(40))
        for name in ("Thumbs.db", "notes.txt", ".DS_Store", "._IMG_0.JPG", "list.csv", "a.zip"):
            put(root / day / name, b"text")
    for name in ("#recycle/1.jpg", ".Trash-1000/files/2.jpg", "__MACOSX/._3.jpg", ".hidden.jpg"):
        put(root / name, photo(1))
    while (missing := FILES - len(every_file(root))) > 0:
        put(root / "many" / f"{missing}.png", photo(missing, kind="PNG"))
    yield root
    unlock(root / "torture")


def every_file(root: Path) -> dict[str, Path]:
    """All files below a folder by their paths; links to folders are not followed."""
    found = [Path(home) / name for home, _, names in os.walk(root) for name in names]
    return {str(path): path for path in found}


def state(files: dict[str, Path]) -> dict[str, object]:
    """Size, time of change and content of files."""
    found: dict[str, object] = {}
    for name, path in files.items():
        info = path.lstat()
        small = path.is_file() and not path.is_symlink() and info.st_size < LARGEST
        content = hashlib.sha256(path.read_bytes()).hexdigest() if small else ""
        found[name] = (info.st_size, info.st_mtime_ns, info.st_mode, content)
    return found


def run(folder: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["locate", str(folder), "--out", str(out), *options])


@pytest.mark.parametrize("options", [[], ["--gps", "ignore", "--evidence", "off"]])
def test_all_is_accounted_for(
    folder: Path,
    tmp_path: Path,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    small_gazetteer: Gazetteer,
    capfd: pytest.CaptureFixture[str],
) -> None:
    use_fake_locator(monkeypatch, small_gazetteer)
    hashed = lambda _, pixels: hashed_vector(pixels.numpy().tobytes())  # noqa: E731
    monkeypatch.setattr(FakeEncoder, "_picture_vector", hashed)
    files = every_file(folder)
    assert len(files) >= FILES
    before, out = state(files), tmp_path / "guesses.csv"
    result = run(folder, out, "--model", "streetclip", *options)
    assert result.exit_code == 3, result.output
    assert "Traceback" not in result.output
    assert capfd.readouterr().err == ""  # what decoders write past Python
    assert state(every_file(folder)) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "guesses.csv", "guesses.csv-ledger.csv",
    ]  # fmt: skip

    table = read_guesses(out)
    first = table[table["rank"] == 1]
    assert first["path"].is_unique
    assert not table.duplicated(["path", "rank"]).any()
    ledger = pd.read_csv(tmp_path / "guesses.csv-ledger.csv", keep_default_na=False)
    assert ledger["path"].is_unique
    left_out = ledger[ledger["status"] == "left out"]
    assert (ledger["status"] == "ok").sum() == 1  # a noisy decoder
    told = ledger[~ledger["status"].isin(["left out", "ok"])].set_index("path")["status"]
    stated = first.set_index("path")["status"]
    assert told.to_dict() == stated[told.index].to_dict()
    assert set(stated[~stated.isin(["ok", "no evidence"])].index) <= set(told.index)

    located = {str(decode_path(path)) for path in first["path"]}
    passed_over = {str(decode_path(path)) for path in left_out["path"]}
    assert not located & passed_over
    homes = tuple(f"{path}/" for path in passed_over)
    lost = {
        name
        for name in files
        if name not in located | passed_over
        and not name.startswith(homes)
        and not name.endswith(".xmp")
        and not Path(name).is_dir()  # a link to a folder
    }
    assert not lost
    assert_the_sum_adds_up(result.stderr, first, left_out)


def assert_the_sum_adds_up(said: str, first: pd.DataFrame, left_out: pd.DataFrame) -> None:
    """The last line against the table and the ledger."""
    line = said.strip().splitlines()[-1]
    numbers = {what.strip(): int(n) for n, what in re.findall(r"(\d+) ([a-zA-Z][a-zA-Z ]+)", line)}
    by_gps = (first["source"] == "gps").sum()
    silent = (first["status"] == "no evidence").sum()
    broken = first["lat"].isna().sum() - silent
    untold = (first["lat"].notna() & (first["level"] == "none")).sum()
    expected = {
        "photos": len(first), "guessed": len(first) - untold - by_gps - silent - broken,
        "cannot be told": untold, "by GPS": by_gps, "show no place": silent, "broken": broken,
        "of them not whole": (first["status"] == "partial").sum(),
        "other files left out": left_out["reason"].str.startswith("the name is not").sum(),
    }  # fmt: skip
    assert numbers == {what: n for what, n in expected.items() if n}
