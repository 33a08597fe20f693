"""A guess in words, alike on the terminal, on the map and in sidecars."""

import math
from collections.abc import Mapping
from typing import Any

NAMES = ("city", "region", "country")


def place_phrase(row: Mapping[str, Any]) -> str:
    """The names of a row's place, the deepest first; of a continent its own; "" without a name.

    >>> place_phrase({"city": "Lyon", "region": "", "country": "France", "continent": "Europe"})
    'Lyon, France'
    """
    names = [name for level in NAMES if (name := _text(row.get(level)))]
    return ", ".join(names) or _text(row.get("continent"))


def guess_phrase(row: Mapping[str, Any]) -> str:
    """What a row says: its place, how probable that is, and how far off the photo may be.

    >>> guess_phrase({"country": "Austria", "probability": 0.62, "radius_km": 480.0})
    'Austria 62 %, half the time within 480 km'
    >>> guess_phrase({"level": "continent", "continent": "Europe", "probability": 0.91})
    'Europe 91 %'
    >>> guess_phrase({"level": "spot", "city": "Lyon", "probability": 0.9, "radius_km": 8.0})
    'a spot near Lyon 90 %, half the time within 8.0 km'
    """
    place, told = place_phrase(row), _percent(shown_probability(row))
    place = f"a spot near {place}" if row.get("level") == "spot" else place
    said = f"{place} {told}" if place and told and row.get("source") != "gps" else place
    if row.get("level") == "none" and row.get("source") != "gps" and row.get("rank", 1) == 1:
        said = f"cannot tell ({said})" if said else "cannot tell"
    radius: Any = row.get("radius_km")
    return (
        f"{said}, half the time within {_kilometres(radius)}" if said and _known(radius) else said
    )


def class_phrase(row: Mapping[str, Any]) -> str:
    """What a row of `class_guesses` says: its class and those above, and how probable it is.

    >>> class_phrase({"sector": "Food", "sector_id": "1", "product": "Rye", "product_id": "1/3",
    ...               "level": "product", "probability": 0.62})
    'Rye, Food 62 %'
    """
    levels = [name for name in row if f"{name}_id" in row]
    names = ", ".join(name for level in reversed(levels) if (name := _text(row[level])))
    said = f"{names} {_percent(row['probability'])}"
    return f"cannot tell ({said})" if row["level"] == "none" and row.get("rank", 1) == 1 else said


def shown_probability(row: Mapping[str, Any]) -> Any:
    """The probability of a row's place; of the continent where the level is none."""
    return row.get("continent_probability" if row.get("level") == "none" else "probability")


def _percent(p: Any) -> str:
    if not _known(p):
        return ""
    if 0 < p < 0.0005:
        return "< 0.1 %"
    if 0.995 <= p < 1:
        return "> 99 %"
    return f"{p:.0%}".replace("%", " %") if p >= 0.0995 else f"{p:.1%}".replace("%", " %")


def _kilometres(km: float) -> str:
    return f"{km:.1f} km" if km < 10 else f"{km:,.0f} km"


def _known(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
