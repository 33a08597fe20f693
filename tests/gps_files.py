"""Photos and the files beside them, made as cameras and other programs write them."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
EXIF = "http://ns.adobe.com/exif/1.0/"
CANARIES = (28.184478, -14.160669)
SYDNEY: dict[int, Any] = {1: "S", 2: (33.0, 51.0, 24.516), 3: "E", 4: (151.0, 12.0, 54.504)}


def packet(values: dict[str, str], prefix: str = "exif", form: str = "attributes") -> str:
    """An XMP packet with these properties of EXIF, as attributes or elements."""
    if form == "attributes":
        inside = "".join(f' {prefix}:{k}="{v}"' for k, v in values.items()) + "/>"
    else:
        elements = "".join(f"<{prefix}:{k}>{v}</{prefix}:{k}>\n" for k, v in values.items())
        inside = f">{elements}</rdf:Description>"
    return (
        f'{HEAD}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" xmlns:{prefix}="{EXIF}"{inside}</rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    )


def position(lat: str = "28,11.0687N", lon: str = "14,9.6402W", **more: str) -> dict[str, str]:
    return {"GPSLatitude": lat, "GPSLongitude": lon, **more}


def exif_of(gps: dict[int, Any] | None = None, taken: str = "", **tags: str) -> Image.Exif:
    exif = Image.Exif()
    if "model" in tags:
        exif[0x0110] = tags["model"]
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    if "offset" in tags:
        exif.get_ifd(0x8769)[0x9011] = tags["offset"]
    if gps:
        exif.get_ifd(0x8825).update(gps)
    return exif


def photo(path: Path, exif: Image.Exif | None = None, xmp: bytes = b"", seed: int = 1) -> Path:
    """A small photo in the format of its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {"xmp": xmp} if xmp else {}
    content = b"" if exif is None else exif.tobytes()
    Image.new("RGB", (8, 8), (seed, 0, 0)).save(path, exif=content, **more)
    return path


def app1(content: bytes) -> bytes:
    """An APP1 segment."""
    return b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content


def with_segments(path: Path, *segments: bytes) -> Path:
    """Put APP1 segments at the beginning of a JPEG."""
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"".join(map(app1, segments)) + content[2:])
    return path


def takeout(title: str, *places: tuple[float, float]) -> str:
    """Takeout's JSON with `geoData` and `geoDataExif`."""
    both = [*places, (0.0, 0.0), (0.0, 0.0)]
    named = zip(("geoData", "geoDataExif"), both, strict=False)
    data = {name: {"latitude": lat, "longitude": lon} for name, (lat, lon) in named}
    return json.dumps({"title": title, "photoTakenTime": {"timestamp": "1258375918"}} | data)


def gpx(path: Path, points: list[tuple[datetime, float, float]]) -> Path:
    """A track of points (UTC, lat, lon)."""
    body = "".join(
        f'<trkpt lat="{lat}" lon="{lon}"><time>{when.isoformat()}Z</time></trkpt>'
        for when, lat, lon in points
    )
    path.write_text(
        '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
        f"{body}</trkseg></trk></gpx>"
    )
    return path
