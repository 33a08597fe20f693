"""Angles as people write them: degrees, minutes and seconds, or a letter for the hemisphere."""

import re

_NUMBER = r"(\d+(?:[.,]\d+)?)"
_ANGLE = re.compile(
    rf"([NSEW])?\s*([-+−])?\s*{_NUMBER}\s*[°º˚d:]?"
    rf"(?:\s*{_NUMBER}\s*['′’´m:]?(?:\s*{_NUMBER}\s*(?:[\"″”s]|''|′′)?)?)?\s*([NSEW])?",
    re.IGNORECASE,
)


def decimal_degrees(text: str) -> float | None:
    """The angle of a text in degrees, south and west negative; None if the text is no angle.

    >>> [decimal_degrees(text) for text in ("48°51'24\\"N", "W 2 30", "1,5", "48°99'")]
    [48.85666666666667, -2.5, 1.5, None]
    """
    found = _ANGLE.fullmatch(text.strip())
    if found is None:
        return None
    before, sign, *parts, after = found.groups()
    degrees, minutes, seconds = (float((part or "0").replace(",", ".")) for part in parts)
    if minutes >= 60 or seconds >= 60 or (before and after):
        return None
    negative = sign in ("-", "−") or (before or after or "").upper() in ("S", "W")
    return (-1 if negative else 1) * (degrees + minutes / 60 + seconds / 3600)
