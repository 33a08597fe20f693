"""Files that cannot be decoded here, named by their first bytes."""

import os
from typing import BinaryIO, Literal

from PIL import Image

from geoclip.photos.container_exif import add_exif
from geoclip.photos.refusals import UNSUPPORTED, refuse, refuse_damage

_PICTURES = (
    (b"MM\0+", "a big-endian BigTIFF"),
    (b"II+\0", "a BigTIFF"),
    (b"II*\0", "a TIFF of an unknown kind"),
    (b"MM\0*", "a TIFF of an unknown kind"),
    (b"IIRO", "an ORF photo"),
    (b"IIU\0", "an RW2 photo"),
    (b"FUJIFILMCCD-RAW", "a RAF photo"),
    (b"FOVb", "an X3F photo"),
    (b"BM", "a bitmap of OS/2 or of an unknown kind"),
    *((kind, "a bitmap file of OS/2") for kind in (b"BA", b"IC", b"CI", b"CP", b"PT")),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop picture"),
    (b"gimp xcf", "a GIMP picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"qoif", "a QOI picture"),
    (b"BPG\xfb", "a BPG picture"),
    (b"\0\0\x01\0", "an icon"),
)
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"<?xml", "an XML document"),
    (b"<svg", "a drawing (SVG)"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)


def undecodable(file: BinaryIO, name: str) -> Image.Image:
    """A picture of a known format, with metadata only; raises PhotoError for others."""
    file.seek(0)
    head = file.read(32)
    if _is_cut_tiff(head, file):
        refuse_damage(name, OSError("its directory is not there"))
    if kind := _named(head, _PICTURES):
        image = _Undecodable(name, kind)
        add_exif(file, image)
        return image
    kind = _named(head, _OTHERS)
    what = f"the content is {kind}" if kind else "the content is not a picture in a known format"
    refuse(name, f"{what}; name photos, or --exclude it", "not a photo")


def _is_cut_tiff(head: bytes, file: BinaryIO) -> bool:
    """Whether the directory of a TIFF, often at its end, lies beyond the end."""
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    is_tiff = head[:4] in {b"II*\0", b"MM\0*"}
    return is_tiff and int.from_bytes(head[4:8], order) + 2 > file.seek(0, os.SEEK_END)


def _named(head: bytes, formats: tuple[tuple[bytes, str], ...]) -> str:
    return next((kind for start, kind in formats if head.startswith(start)), "")


class _Undecodable(Image.Image):
    def __init__(self, name: str, kind: str) -> None:
        super().__init__()
        self._mode, self._size = "RGB", (1, 1)
        self.name, self.kind = name, kind

    def load(self) -> None:
        """Raise PhotoError."""
        refuse(self.name, f"{self.kind} cannot be decoded here; save a copy as JPEG", UNSUPPORTED)
