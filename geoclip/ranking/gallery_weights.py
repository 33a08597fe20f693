"""How much gallery photos count: what a calibration leaves for the ranking to use."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from geoclip.errors import GeoclipError
from geoclip.ranking.conformal import Calibration


@dataclass(frozen=True)
class GalleryWeights:
    """How gallery photos speak; the formula is that of `gallery.mixture`.

    The defaults are near those fitted to street-tiny. Raises GeoclipError for a value that is none.

    >>> GalleryWeights(near_share=1.5)
    Traceback (most recent call last):
    geoclip.errors.GeoclipError: near_share is 1.5; use a share from 0 to 1.
    """

    offset: float = -3.1
    slope: float = 10.0
    agreement: float = 0.5
    near_share: float = 0.6

    def __post_init__(self) -> None:
        for weight in fields(self):
            if not math.isfinite(getattr(self, weight.name)):
                raise GeoclipError(f"{weight.name} is no finite number: fit the gallery again.")
        if not 0 <= self.near_share <= 1:
            raise GeoclipError(f"near_share is {self.near_share}; use a share from 0 to 1.")


@dataclass(frozen=True)
class GallerySettings:
    """Weights of galleries, and the radii that hold what they say of answers with a gallery."""

    weights: GalleryWeights = field(default_factory=GalleryWeights)
    calibration: Calibration | None = None
