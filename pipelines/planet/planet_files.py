"""Drawing many scenes into files, in one process or several."""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from geoclip.errors import GeoclipError
from pipelines.planet.aerial import draw_aerial
from pipelines.planet.climate import generator
from pipelines.planet.scene import draw_scene
from pipelines.planet.traits import SceneTraits

STREET, AERIAL = "street", "aerial"
DRAWN = {STREET: draw_scene, AERIAL: draw_aerial}
"""Kinds of photos and the functions that draw them."""
JPEG_QUALITY = 85  # about 2.3 kB a scene of 64 x 64, a quarter of a PNG


@dataclass(frozen=True)
class SceneFile:
    """All data for drawing one scene in another process and saving it at `path` as JPEG."""

    traits: SceneTraits
    key: tuple[object, ...]
    image_size: int
    path: Path
    kind: str = STREET

    def draw(self) -> None:
        """Draw the scene and save it; an existing file is replaced."""
        scene = DRAWN[self.kind](self.traits, generator(*self.key), self.image_size)
        scene.save(self.path, format="JPEG", quality=JPEG_QUALITY)


def draw_files(files: Iterable[SceneFile], jobs: int = 1) -> None:
    """Draw all files with `jobs` parallel processes; the files do not depend on `jobs`.

    Raises GeoclipError where `jobs` is less than 1.
    """
    if jobs < 1:
        raise GeoclipError(f"jobs is {jobs}: give the number of processes, 1 or more.")
    if jobs == 1:
        for file in files:
            file.draw()
        return
    with ProcessPoolExecutor(jobs) as pool:
        for _ in pool.map(SceneFile.draw, files, chunksize=64):
            pass
