from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoclip.errors import GeoclipError
from pipelines.planet.climate import Climate, generator
from pipelines.planet.facts import CountryFacts
from pipelines.planet.planet_files import SceneFile, draw_files
from pipelines.planet.scene import draw_scene
from pipelines.planet.traits import NAMES, SceneTraits

TRAITS = SceneTraits(CountryFacts("XX"), Climate(16.0, 0.2, 0.3, 0.7), dict.fromkeys(NAMES, 0.0))


def scene_files(folder: Path) -> list[SceneFile]:
    folder.mkdir()
    return [SceneFile(TRAITS, (0, "a", i), 32, folder / f"{i}.jpg") for i in range(3)]


def test_a_file_holds_its_scene(tmp_path):
    files = scene_files(tmp_path / "scenes")
    draw_files(files)
    photo = Image.open(files[1].path)
    scene = draw_scene(TRAITS, generator(0, "a", 1), 32)
    assert photo.format == "JPEG" and photo.size == (32, 32)
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(scene)).mean() < 15


def test_the_number_of_processes_changes_nothing(tmp_path):
    one, two = scene_files(tmp_path / "one"), scene_files(tmp_path / "two")
    draw_files(one, jobs=1)
    draw_files(two, jobs=2)
    contents = [[file.path.read_bytes() for file in files] for files in (one, two)]
    assert contents[0] == contents[1] and len(set(contents[0])) == 3


def test_no_process_at_all_is_refused(tmp_path):
    with pytest.raises(GeoclipError, match="jobs is 0"):
        draw_files([], jobs=0)
