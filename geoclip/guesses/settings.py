"""How photos are located, alike for the library and the command."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from geoclip.errors import GeoclipError
from geoclip.photos.abstention import AbstentionSettings
from geoclip.photos.videos import FRAMES
from geoclip.ranking.travel import TripSettings

GpsUse = Literal["keep", "ignore", "compare"]


@dataclass(frozen=True)
class LocateSettings:
    """What is done with photos; the defaults are those of `geoclip locate`.

    `top_k` places are listed for each photo. `gps`: "keep" reports a trustworthy stated position
    instead of guessing, "ignore" guesses all, "compare" guesses all and measures the guesses by
    the stated positions. `abstention` says when a photo is not guessed. With `trip` photos close
    in time share evidence. `frames` of each video are looked at; `jobs` threads decode. Raises
    GeoclipError for a setting out of range.
    """

    top_k: int = 5
    gps: GpsUse = "keep"
    abstention: AbstentionSettings = field(default_factory=AbstentionSettings)
    trip: TripSettings | None = None
    frames: int = FRAMES
    jobs: int = 2

    def __post_init__(self) -> None:
        if self.gps not in get_args(GpsUse):
            raise GeoclipError(f"gps is {self.gps!r}; use one of {', '.join(get_args(GpsUse))}.")
        for name in ("top_k", "frames", "jobs"):
            if getattr(self, name) < 1:
                raise GeoclipError(f"{name} is {getattr(self, name)}; use 1 or more.")

    @classmethod
    def model_alone(cls, top_k: int = 5) -> "LocateSettings":
        """The model guesses every photo, whatever it states or shows.

        >>> LocateSettings.model_alone(top_k=1).gps
        'ignore'
        """
        return cls(top_k, "ignore", AbstentionSettings("off"))
