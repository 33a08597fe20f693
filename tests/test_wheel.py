"""The built wheel, installed outside the checkout, locates a photo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

LOCATE = """
import json, sys
from pathlib import Path
import geoclip
from geoclip.encoders.registry import CHECKPOINTS
from geoclip import Gazetteer, Locator
from geoclip.guesses.settings import LocateSettings
europe = Gazetteer.default()
locator = Locator.from_pretrained(CHECKPOINTS / "planet-start", europe)
table = locator.locate([sys.argv[1]], LocateSettings.model_alone())
print(json.dumps({
    "package": geoclip.__file__,
    "statuses": table["status"].tolist(),
    "places": table["place_id"].tolist(),
    "checkout_on_path": any((Path(p) / "pipelines").is_dir() for p in sys.path if p),
}))
"""


@pytest.mark.slow
def test_wheel_locates_a_photo(our_wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(our_wheel)], check=True)
    Image.new("RGB", (80, 60), (90, 120, 160)).save(tmp_path / "photo.jpg")
    environment = {**os.environ, "PYTHONPATH": str(target), "GEOCLIP_CACHE": str(tmp_path / "c")}
    done = subprocess.run(
        [sys.executable, "-c", LOCATE, str(tmp_path / "photo.jpg")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert Path(said["package"]).is_relative_to(target)
    assert said["statuses"] == ["ok"] * 5
    assert all(place.isdigit() for place in said["places"])


def test_wheel_is_small_and_carries_its_data(our_wheel: Path) -> None:
    import zipfile

    names = set(zipfile.ZipFile(our_wheel).namelist())
    for needed in (
        "geoclip/_gazetteers/cities.csv",
        "geoclip/_gazetteers/outlines.parquet",
        "geoclip/checkpoints/planet-start/open_clip_model.safetensors",
        "geoclip/checkpoints/street-tiny/open_clip_model.safetensors",
        "geoclip/checkpoints/street-tiny/places/embeddings.npy",
        "geoclip/checkpoints/street-tiny/LICENSE",
        "geoclip/__init__.pyi",
        "geoclip/encoders/__init__.pyi",
        "geoclip/py.typed",
        "geoclip/runs/journal.py",
        "geoclip_launcher.py",
    ):
        assert needed in names
    assert not any(name.startswith(("pipelines/", "tests/")) for name in names)
    assert our_wheel.stat().st_size < 100e6
