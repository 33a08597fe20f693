"""Settings for locating photos: nonsensical ones are refused."""

import pytest

from geoclip.errors import GeoclipError
from geoclip.guesses.settings import LocateSettings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"frames": 0}, "frames is 0"),
        ({"jobs": -1}, "jobs is -1"),
        ({"confidence": 1.5}, "confidence is 1.5; use a number from 0 to 1"),
        ({"confidence": float("nan")}, "confidence is nan"),
        ({"level": "none"}, "level is 'none'; use one of auto, city"),
        ({"point": "centre"}, "point is 'centre'; use place or estimate"),
        ({"point": "estimate"}, "goes with the level 'city'"),
        ({"gps": "believe"}, "gps is 'believe'; use one of keep, trust-all, ignore, compare"),
    ],
)
def test_bad_settings(given: dict[str, object], message: str) -> None:
    with pytest.raises(GeoclipError, match=message):
        LocateSettings(**given)  # type: ignore[arg-type]


def test_the_model_alone() -> None:
    plain = LocateSettings.model_alone(3)
    assert (plain.top_k, plain.gps, plain.abstention.level) == (3, "ignore", "off")
    assert (plain.level, plain.point) == ("city", "estimate")
