"""The weights of gallery photos: results of a calibration for the ranking."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from geoclip.errors import GeoclipError
from geoclip.ranking.conformal import Calibration


@dataclass(frozen=True)
class GalleryWeights:
    """The weights of gallery photos, in the formula of `gallery.mixture`.

    The defaults are near those fitted to street-tiny. Raises GeoclipError for invalid values.

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
    """Weights of galleries, and calibrated radii for answers with a gallery."""

    weights: GalleryWeights = field(default_factory=GalleryWeights)
    calibration: Calibration | None = None
