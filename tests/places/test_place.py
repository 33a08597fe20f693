import dataclasses

import pytest

from geoclip.errors import GeoclipError
from geoclip.places.place import LEVELS, Place, level_number

LYON = Place("2996944", "city", "Lyon", 45.75, 4.85, "FR", "FR.84", 520774)


def test_levels_go_from_large_to_small():
    assert [level_number(level) for level in LEVELS] == [0, 1, 2]
    with pytest.raises(GeoclipError, match="'town' is not a level"):
        level_number("town")


def test_place_is_frozen_and_reads_well():
    assert str(LYON) == "Lyon (city 2996944, FR)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        LYON.name = "Lugdunum"
