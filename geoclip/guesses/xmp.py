"""A guess as an XMP packet: position, names of places and provenance."""

import re
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from geoclip.guesses.location_tags import LocationTags, PositionRule, earned_tags
from geoclip.guesses.phrases import guess_phrase, place_phrase
from geoclip.guesses.schema import REVIEW
from geoclip.photos.xmp_tags import OWN_NAMESPACE

NAMESPACE = OWN_NAMESPACE
NAME_PROPERTIES = {
    "country": "photoshop:Country",
    "country_code": "Iptc4xmpCore:CountryCode",
    "region": "photoshop:State",
    "city": "photoshop:City",
}
"""Properties that photo managers read as place names (IPTC Photo Metadata Standard, IPTC Core)."""


def sidecar_xmp(guess: dict[Any, Any], model: str = "", rule: PositionRule | None = None) -> bytes:
    """The XMP packet for a guess: EXIF's GPS properties, IPTC's names and their origin.

    What the guess does not justify by `rule` is left out, and `geoclip:NotWritten` says why.
    Coordinates are degrees and decimal minutes with a hemisphere letter, as the XMP specification
    (part 2, "GPSCoordinate") has them, to about 2 mm.
    """
    from geoclip import __version__  # noqa: PLC0415 (reads the installed metadata)

    tags = earned_tags(guess, rule)
    reviewed = guess["source"] == REVIEW
    values = {
        **_position(tags),
        **{NAME_PROPERTIES[column]: name for column, name in tags.names.items()},
        "geoclip:NotWritten": f"position: {tags.withheld}" if tags.withheld else "",
        "geoclip:Source": (
            "confirmed in geoclip review" if reviewed else f"guessed by geoclip ({guess['source']})"
        ),
        "geoclip:Version": __version__,
        "geoclip:Model": model,
        "geoclip:Probability": _number(guess.get("probability"), 4),
        "geoclip:RadiusKm": _number(guess.get("radius_km"), 1),
        "geoclip:Radius90Km": _number(guess.get("radius_90_km"), 1),
        "geoclip:Guess": guess_phrase(guess),
        "geoclip:Level": str(guess.get("level") or ""),
        "geoclip:Place": place_phrase(guess),
        "geoclip:PlaceId": str(guess.get("place_id") or ""),
    }
    lines = [f"   {name}={_attribute(value)}" for name, value in values.items() if value]
    return "\n".join(
        [
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
            ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
            '  <rdf:Description rdf:about=""',
            '   xmlns:exif="http://ns.adobe.com/exif/1.0/"',
            '   xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"',
            '   xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"',
            f'   xmlns:geoclip="{NAMESPACE}"',
            *lines[:-1],
            lines[-1] + "/>",
            " </rdf:RDF>",
            "</x:xmpmeta>",
            '<?xpacket end="w"?>',
            "",
        ]
    ).encode("utf-8", "replace")


def _position(tags: LocationTags) -> dict[str, str]:
    if tags.position is None:
        return {}
    lat, lon = tags.position
    return {
        "exif:GPSVersionID": "2.3.0.0",
        "exif:GPSMapDatum": "WGS-84",
        "exif:GPSLatitude": gps_coordinate(lat, "NS"),
        "exif:GPSLongitude": gps_coordinate(lon, "EW"),
    }


def gps_coordinate(degrees: float, letters: str) -> str:
    """Degrees in XMP's form: `gps_coordinate(-33.5, "NS")` is `33,30.000000S`."""
    millionths = round(abs(degrees) * 60_000_000)
    whole, rest = divmod(millionths, 60_000_000)
    return f"{whole},{rest / 1e6:.6f}{letters[degrees < 0]}"


def _number(value: Any, digits: int) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _attribute(text: str) -> str:
    """A quoted XML attribute; characters that XML 1.0 cannot hold are left out."""
    return quoteattr(re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text))
