"""EXIF of files whose pictures Pillow does not decode: RAW photos, JPEG XL, JPEG 2000."""

from typing import BinaryIO

from PIL import Image
from PIL.ExifTags import IFD, Base

from geoclip.photos.iso_media import boxes, content

_TIFFS = {b"II*\0": "<", b"MM\0*": ">", b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}
_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_JPEG2000_EXIF = b"JpgTiffExif->JP2"
_CANON_PARTS = {b"CMT1": None, b"CMT2": IFD.Exif, b"CMT4": IFD.GPSInfo}
_LINKS = {IFD.Exif, IFD.GPSInfo}  # to other directories of the same TIFF
_XMP = 700
# Position, time and camera; a camera's own notes may be megabytes.
_MAIN = (Base.Make, Base.Model, Base.Orientation)
_TIMES = (
    *(Base.DateTimeOriginal, Base.DateTimeDigitized),
    *(Base.OffsetTimeOriginal, Base.OffsetTimeDigitized),
)


def add_exif(file: BinaryIO, image: Image.Image) -> None:
    """Give a picture the EXIF and XMP of the file around it, if any."""
    try:
        exif = _read(file)
        if exif is None:
            return
        if isinstance(packet := exif.get(_XMP), bytes):
            image.info["xmp"] = packet
        image.info["exif"] = _essence(exif).tobytes()
    except Exception:  # directories of damaged files raise almost anything
        return


def _read(file: BinaryIO) -> Image.Exif | None:
    file.seek(0)
    head = file.read(12)
    if endian := _TIFFS.get(head[:4]):
        return _of_tiff(file, endian, 0)
    if head[4:8] == b"ftyp":
        return _of_canon(file)
    if head[4:8] in {b"jP  ", b"JXL "}:
        return _of_boxes(file)
    return None


def _of_tiff(file: BinaryIO, endian: str, start: int) -> Image.Exif:
    exif = Image.Exif()
    exif.endian = endian
    file.seek(start + 4)
    first = int.from_bytes(file.read(4), "little" if endian == "<" else "big")
    exif.load_from_fp(file, first)
    return exif


def _of_bytes(tiff: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(tiff)
    return exif


def _of_canon(file: BinaryIO) -> Image.Exif | None:
    """Canon's CR3 keeps each directory in its own box."""
    for movie in boxes(file):
        if movie.kind != b"moov":
            continue
        for own in boxes(file, *movie[1:]):
            if own.kind != _CANON:
                continue
            exif = Image.Exif()
            for box in boxes(file, *own[1:]):
                if box.kind in _CANON_PARTS:
                    inside = _CANON_PARTS[box.kind]
                    tags = {
                        k: v for k, v in _of_bytes(content(file, box)).items() if k not in _LINKS
                    }
                    (exif if inside is None else exif.get_ifd(inside)).update(tags)
            return exif
    return None


def _of_boxes(file: BinaryIO) -> Image.Exif | None:
    for box in boxes(file):
        if box.kind == _JPEG2000_EXIF:
            return _of_bytes(content(file, box).removeprefix(b"Exif\0\0"))
        if box.kind == b"Exif":
            found = content(file, box)
            return _of_bytes(found[4 + int.from_bytes(found[:4], "big") :])
    return None


def _essence(exif: Image.Exif) -> Image.Exif:
    """Position, time and camera: the only EXIF in use."""
    made = Image.Exif()
    made.update({tag: exif[tag] for tag in _MAIN if tag in exif})
    times = exif.get_ifd(IFD.Exif)
    made.get_ifd(IFD.Exif).update({tag: times[tag] for tag in _TIMES if tag in times})
    made.get_ifd(IFD.GPSInfo).update(exif.get_ifd(IFD.GPSInfo))
    return made
