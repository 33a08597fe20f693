"""Clips of drives through the demonstration planet.

A clip goes along some stretches of road. Each stretch is its own scene; during it the camera moves
forward, so that its frames are the scene, ever larger, about the vanishing point: much alike, like
frames of real clips.
"""

from collections.abc import Iterator, Sequence

from PIL import Image

from pipelines.planet.canvas import UNITS
from pipelines.planet.climate import generator
from pipelines.planet.scene import draw_scene
from pipelines.planet.traits import SceneTraits

CLOSER = 0.35
"""Enlargement of a scene at the end of its stretch."""
HORIZON = 54 / UNITS


def draw_drive(
    stretches: Sequence[SceneTraits], key: tuple[object, ...], frames: int, image_size: int = 64
) -> Iterator[Image.Image]:
    """The frames (RGB) of a clip, in order of time; they depend on `key` and the traits alone.

    `stretches` are the traits of the places along the way, one for each stretch of equal length:
    several of one place for a drive through a town.
    """
    scenes = [
        draw_scene(traits, generator(*key, "stretch", number), 2 * image_size)
        for number, traits in enumerate(stretches)
    ]
    for frame in range(frames):
        number, part = divmod(frame * len(scenes), frames)
        yield _closer(scenes[number], 1 + CLOSER * part / frames, image_size)


def _closer(scene: Image.Image, times: float, image_size: int) -> Image.Image:
    """The middle of a scene about its horizon, `times` as large."""
    side = scene.width / times
    left, top = (scene.width - side) / 2, HORIZON * (scene.height - side)
    box = (left, top, left + side, top + side)
    return scene.resize((image_size, image_size), Image.Resampling.BOX, box=box)
