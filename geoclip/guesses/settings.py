"""How photos are located, alike for the library and the command."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, cast, get_args

from geoclip.errors import GeoclipError
from geoclip.photos.abstention import AbstentionSettings
from geoclip.photos.videos import FRAMES
from geoclip.ranking.confidence import AskedLevel, LevelRule
from geoclip.ranking.travel import TripSettings

GpsUse = Literal["keep", "trust-all", "ignore", "compare"]
PointUse = Literal["place", "estimate"]
SELF = "self"
"""The gallery of the photos themselves; a folder of this name is ./self."""


@dataclass(frozen=True)
class LocateSettings:
    """What is done with photos; the defaults are those of `geoclip locate`.

    `top_k` places are listed for each photo. `gps`: "keep" reports a trustworthy stated position
    instead of guessing, "trust-all" any stated position, "ignore" guesses all, "compare" guesses
    all and measures the guesses by the stated positions. `abstention` says when a photo is not
    guessed. With `trip` photos close in time share evidence. `frames` of each video are looked at;
    `jobs` threads decode.

    A photo's places are all of one `level`; with "auto" it is the deepest whose most probable place
    has at least the probability `confidence`. `point`: with "place" the point lies in the first
    place. With "estimate", at level city alone, point and cities are those of the model's point
    estimate, which need not be the most probable: so it is measured.

    `gpx` are the files of tracks that give a position to photos without a trustworthy one, by the
    time at which they were taken; `gpx_offset` is by how much the cameras' clocks are ahead of UTC.

    `gallery` is the folder of one, or "self" for the photos among these that state a position: they
    have a say in where the others were taken. `own_levels` are the names of a table's levels, one
    of which `level` may be. Raises GeoclipError for a setting out of range.

    >>> LocateSettings(level="country", gps="ignore").rule
    LevelRule(level='country', confidence=0.5)
    """

    top_k: int = 5
    gps: GpsUse = "keep"
    abstention: AbstentionSettings = field(default_factory=AbstentionSettings)
    trip: TripSettings | None = None
    frames: int = FRAMES
    jobs: int = 2
    confidence: float = 0.5
    level: str = "auto"
    point: PointUse = "place"
    gallery: str | Path | None = None
    gpx: tuple[Path, ...] = ()
    gpx_offset: timedelta | None = None
    own_levels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.own_levels:
            self._check_own_level()
        else:
            _ = self.rule  # refuses what is no level or confidence
        if self.point not in get_args(PointUse):
            raise GeoclipError(f"point is {self.point!r}; use place or estimate.")
        if self.point == "estimate" and self.level != "city":
            raise GeoclipError("the point 'estimate' goes with the level 'city'; give both.")
        if self.point == "estimate" and self.gallery is not None:
            raise GeoclipError("a gallery goes with the point 'place'; give no point 'estimate'.")
        if self.gps not in get_args(GpsUse):
            raise GeoclipError(f"gps is {self.gps!r}; use one of {', '.join(get_args(GpsUse))}.")
        if self.gpx and self.gps == "ignore":
            raise GeoclipError(
                "tracks (gpx) give positions, which gps 'ignore' leaves out: drop one."
            )
        if self.gpx_offset is not None and not self.gpx:
            raise GeoclipError("gpx_offset goes with tracks: give gpx, too.")
        for name in ("top_k", "frames", "jobs"):
            if getattr(self, name) < 1:
                raise GeoclipError(f"{name} is {getattr(self, name)}; use 1 or more.")

    def _check_own_level(self) -> None:
        known = ("auto", *self.own_levels)
        if self.level not in known:
            raise GeoclipError(f"level is {self.level!r}; use one of {', '.join(known)}.")
        LevelRule(confidence=self.confidence)

    @property
    def reports_gps(self) -> bool:
        """Whether stated positions are reported instead of guesses."""
        return self.gps in {"keep", "trust-all"}

    @property
    def own_gallery(self) -> bool:
        """Whether the photos themselves are the gallery."""
        return self.gallery == SELF

    @property
    def rule(self) -> LevelRule:
        """Which level a photo is answered at; GeoclipError for one that does not exist."""
        return LevelRule(cast(AskedLevel, self.level), self.confidence)

    @classmethod
    def model_alone(cls, top_k: int = 5) -> "LocateSettings":
        """The model guesses every photo, whatever it states or shows, by its point estimate.

        >>> LocateSettings.model_alone(top_k=1).gps
        'ignore'
        """
        off = AbstentionSettings("off")
        return cls(top_k, "ignore", off, level="city", point="estimate")
