"""Twins of scenes: two drawings that differ in one fact alone, which then is the deciding one."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from pipelines.planet.climate import generator
from pipelines.planet.scene import draw_scene
from pipelines.planet.traits import SceneTraits

LEAST_CHANGE = 24  # of 255: less is a pixel at the edge of the change


@dataclass(frozen=True)
class Twins:
    """A scene, the same with other facts, and the box of the pixels in which they differ.

    `box` is (left, top, right, bottom), the last two exclusive; None if no difference is in sight.
    """

    scene: Image.Image
    twin: Image.Image
    box: tuple[int, int, int, int] | None

    @property
    def share(self) -> float:
        """Share of the picture that the box takes up; 0 without one."""
        if self.box is None:
            return 0.0
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top) / (self.scene.width * self.scene.height)

    def hits(self, row: int, column: int) -> bool:
        """Whether a pixel lies in the box."""
        if self.box is None:
            return False
        left, top, right, bottom = self.box
        return left <= column < right and top <= row < bottom


def draw_twins(
    traits: SceneTraits, key: tuple[object, ...], image_size: int = 64, **facts: Any
) -> Twins:
    """A scene of traits, and the same with other `facts`, drawn with the chance of `key`.

    Facts that change a colour or the writing move nothing else; the side of driving moves
    everything.
    """
    other = replace(traits, facts=replace(traits.facts, **facts))
    scene, twin = (draw_scene(one, generator(*key), image_size) for one in (traits, other))
    change = np.abs(np.asarray(scene).astype(int) - np.asarray(twin)).max(axis=2) > LEAST_CHANGE
    rows, columns = np.nonzero(change)
    if not len(rows):
        return Twins(scene, twin, None)
    left, right = int(columns.min()), int(columns.max()) + 1
    return Twins(scene, twin, (left, int(rows.min()), right, int(rows.max()) + 1))
