"""Boxes of ISO media files (HEIC, AVIF, CR3, JPEG XL, JPEG 2000): their orientation and EXIF."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from PIL import Image

MOST_BOXES = 10_000
"""Most boxes in one box; more are damage."""
_ORIENTATION = 0x0112
_TURNS = {b"irot", b"imir"}


class Box(NamedTuple):
    """A box's kind, with the user type of a `uuid` box, and the place of its content."""

    kind: bytes
    start: int
    stop: int


def boxes(file: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[Box]:
    """The consecutive boxes between two places of a file, to its end by default."""
    end = file.seek(0, 2) if stop is None else stop
    for _ in range(MOST_BOXES):
        file.seek(start)
        head = file.read(32)
        size, kind, body = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, body = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = end - start
        if kind == b"uuid":
            kind, body = head[body : body + 16], body + 16
        if start + 8 > end or size < body:
            return
        yield Box(kind, start + body, min(start + size, end))
        start += size


def content(file: BinaryIO, box: Box, most: int = 1_000_000) -> bytes:
    """The first bytes of a box."""
    file.seek(box.start)
    return file.read(min(box.stop - box.start, most))


def exif_turn(file: BinaryIO, image: Image.Image) -> int:
    """The EXIF orientation of an HEIC or AVIF file whose container does not turn it; else 1.

    The readers of both assume that the container repeats the EXIF orientation.
    """
    if _is_turned(file):
        return 1
    if image.format == "AVIF":
        exif = Image.Exif()
        exif.load(image._decoder.get_info()[4] or b"")  # type: ignore[attr-defined]
        return int(exif.get(_ORIENTATION, 1))
    return int(image.info.get("original_orientation") or 1)


def _is_turned(file: BinaryIO) -> bool:
    """Whether the container rotates or mirrors the primary picture."""
    meta = next((box for box in boxes(file) if box.kind == b"meta"), None)
    if meta is None:
        return False
    inside = {box.kind: box for box in boxes(file, meta.start + 4, meta.stop)}
    if b"pitm" not in inside or b"iprp" not in inside:
        return False
    head = content(file, inside[b"pitm"])
    primary = int.from_bytes(head[4 : 6 if head[0] == 0 else 8], "big")
    properties = list(boxes(file, *inside[b"iprp"][1:]))
    kinds = [own.kind for box in properties if box.kind == b"ipco" for own in boxes(file, *box[1:])]
    linked = [content(file, box) for box in properties if box.kind == b"ipma"]
    return any(
        0 < number <= len(kinds) and kinds[number - 1] in _TURNS
        for table in linked
        for number in _properties_of(primary, table)
    )


def _properties_of(item: int, table: bytes) -> list[int]:
    """The numbers of an item's properties, from 1, by an `ipma` table."""
    id_bytes, bytes_each = (2 if table[0] == 0 else 4), 1 + (table[3] & 1)
    at = 8
    while at + id_bytes < len(table):
        own, count = int.from_bytes(table[at : at + id_bytes], "big"), table[at + id_bytes]
        start = at + id_bytes + 1
        at = start + count * bytes_each
        if own == item:
            numbers = [table[i : i + bytes_each] for i in range(start, at, bytes_each)]
            # The first bit marks properties that a reader must know.
            return [
                int.from_bytes(n, "big") & (0x7F if bytes_each == 1 else 0x7FFF) for n in numbers
            ]
    return []
