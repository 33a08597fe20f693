"""Make a folder of everything that goes wrong with photos: `python tests/torture.py DIR`.

Each entry says how reading it may end; "ok" is a picture, the rest are statuses of PhotoError.
"""

import io
import os
import socket
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

OK = frozenset({"ok"})
CUT = frozenset({"truncated", "not a photo"})  # half a directory is no picture at all
ODD_NAMES = (
    b"line\nbreak.jpg",
    b"return\r.jpg",
    b"tab\t.jpg",
    b'it\'s "quoted".jpg',
    b"<img src=x onerror=alert(1)>.jpg",
    b"<script>alert('hi')<!--.jpg",
    b"&amp;&lt;.jpg",
    b"comma,semicolon;.jpg",
    b"=1+1.jpg",
    b"-rf.jpg",
    b"[a-z]*?.jpg",
    b"100%41.jpg",
    b"file:%41.jpg",
    b"$(touch x) `y`.jpg",
    b" spaces .jpg",
    b"back\\slash.jpg",
    b"caf\xe9 latin-1.jpg",
    b"\xff\xfe\x80.jpg",
    "nfc é.jpg".encode(),
    "nfd e\u0301.jpg".encode(),
    "right-to-left \u202egpj.jpg".encode(),
    "京都 🗾.jpg".encode(),
    b"\x1b[31mred.jpg",
    b"x" * 251 + b".jpg",
)


@dataclass(frozen=True)
class TortureEntry:
    """A path in the folder and the ways in which reading it may end."""

    path: Path
    expected: frozenset[str]


def make_torture_folder(folder: str | os.PathLike[str], bombs: bool = True) -> list[TortureEntry]:
    """Fill a folder, made if absent; return what `list_photos` is to find there, entry by entry.

    Entries that the file system refuses (names that are not UTF-8, pipes) are left out, as are, on
    demand, the `bombs`, which take seconds to make.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    makers = (
        _damaged,
        *([_bombs] if bombs else []),
        _kinds,
        _exif,
        _names,
        _locked,
        _links,
        _specials,
        _folders,
    )
    return sorted((entry for make in makers for entry in make(root)), key=lambda e: e.path)


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """A red and a blue half with some noise."""
    pixels = np.random.default_rng(0).integers(0, 60, (height, width, 3))
    pixels[:, : width // 2, 0] += 180
    pixels[:, width // 2 :, 2] += 180
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _put(path: Path, content: bytes, *expected: str) -> TortureEntry:
    path.write_bytes(content)
    return TortureEntry(path, frozenset(expected) or OK)


def _damaged(root: Path) -> Iterator[TortureEntry]:
    jpeg = encoded(picture(400, 300))
    yield _put(root / "empty.jpg", b"", "empty")
    yield _put(root / "one byte.png", b"\x89", "not a photo")
    yield _put(root / "only zeros.jpg", bytes(5000), "not a photo")
    yield _put(root / "text.jpg", b"This is no picture.\n", "not a photo")
    yield _put(root / "page.png", b"<html><script>alert(1)</script></html>", "not a photo")
    yield _put(root / "program.jpg", b"%!PS-Adobe-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo")
    yield _put(root / "noise.webp", np.random.default_rng(1).bytes(9000), "not a photo")
    yield _put(root / "header only.jpg", jpeg[:20], *CUT)
    for kind, suffix in (
        ("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif"), ("GIF", "gif"),
        ("AVIF", "avif"), ("HEIF", "heic"),
    ):  # fmt: skip
        content = _content(kind)
        if content:
            cut = {"partial"} if kind == "JPEG" else CUT
            yield _put(root / f"cut.{suffix}", content[: len(content) // 2], *cut)
            yield _put(root / f"trailing.{suffix}", content + b"trailing bytes")
            middle = content[: len(content) // 2] + bytes(64)
            damaged = middle + content[len(middle) :]
            yield _put(root / f"damaged.{suffix}", damaged, "ok", *CUT)
    yield _put(
        root / "progressive.jpg", _first_half(picture(400, 300), progressive=True), "partial"
    )
    yield _put(root / "only the head.jpg", jpeg[:640], *CUT)
    yield _put(root / "big-endian big.tif", big_tiff(">"), "ok", "unsupported")
    yield _put(root / "little-endian big.tif", big_tiff("<"), "ok", "unsupported")
    yield _put(root / "of os2.bmp", os2_bitmap(12))
    yield _put(root / "of os2 v2.bmp", os2_bitmap(64), "ok", "unsupported")
    yield _put(root / "of os2 v2 short.bmp", os2_bitmap(16), "unsupported")
    late = encoded(picture(200, 150), "TIFF", compression="tiff_adobe_deflate")
    yield _put(root / "cut before its directory.tif", late[: len(late) // 2], "truncated")
    array = b"BA" + struct.pack("<IIHH", 14, 0, 0, 0) + os2_bitmap(12)
    yield _put(root / "array of os2.bmp", array, "unsupported")
    yield _put(root / "photoshop.jpg", b"8BPS\0\1" + bytes(500), "unsupported")
    yield _put(root / "jpeg xl.jxl", b"\xff\x0a" + bytes(500), "unsupported", "truncated")
    yield _put(
        root / "raw.nef", b"II*\0" + np.random.default_rng(2).bytes(5000), "unsupported", *CUT
    )
    yield _put(root / "raw with a preview.cr2", b"II*\0\x08\0\0\0\0\0" + bytes(99) + jpeg)
    yield _put(root / "noisy.tif", noisy_tiff())
    yield _put(root / "really a png.jpg", encoded(picture(), "PNG"))
    yield _put(root / "really a jpeg.HEIC", jpeg)


def _first_half(image: Image.Image, **options: object) -> bytes:
    content = encoded(image, **options)
    return content[: len(content) // 2]


def noisy_tiff() -> bytes:
    """A fax whose lines are damaged: libtiff complains of some and goes on."""
    content = bytearray(encoded(picture(300, 200).convert("1"), "TIFF", compression="group4"))
    content[len(content) // 3 : len(content) // 3 + 300] = b"U" * 300
    return bytes(content)


def big_tiff(order: str) -> bytes:
    """A grey BigTIFF of 8 by 8 pixels, big-endian (">") or little-endian ("<")."""
    mark = {">": b"MM", "<": b"II"}[order]
    entries = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 16), (277, 1), (278, 8),
               (279, 64)]  # fmt: skip
    body = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, 80) + bytes(range(64))
    table = b"".join(struct.pack(f"{order}HHQQ", tag, 16, 1, value) for tag, value in entries)
    return body + struct.pack(f"{order}Q", len(entries)) + table + bytes(8)


def os2_bitmap(header: int) -> bytes:
    """A bitmap of 8 by 8 pixels with OS/2's header: of 12 bytes, or of 16 to 64 (version 2)."""
    if header < 40:
        about = struct.pack("<IHHHH", header, 8, 8, 1, 24).ljust(header, b"\0")
    else:
        about = struct.pack("<IIIHH", header, 8, 8, 1, 24).ljust(header, b"\0")
    body = bytes(range(192))
    start = 14 + len(about)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + about + body


def _content(kind: str) -> bytes:
    """An image file of a kind; nothing where it cannot be written here."""
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    try:
        return encoded(picture(200, 150), kind)
    except (KeyError, OSError, RuntimeError):
        return b""


def _bombs(root: Path) -> Iterator[TortureEntry]:
    yield _put(root / "bomb.png", png(30_000, 30_000), "too large")
    yield _put(root / "claims.png", png(2**31 - 1, 2**31 - 1, body=b""), "too large", *CUT)
    head, size, tail = encoded(picture()).partition(struct.pack(">HH", 48, 64))
    assert size
    claims = head + struct.pack(">HH", 65_500, 65_500) + tail
    yield _put(root / "claims.jpg", claims, "too large")
    text = zlib.compress(bytes(80_000_000), 9)
    note = chunk(b"zTXt", b"Comment\0\0" + text)
    whole = png(16, 16)
    yield _put(root / "text bomb.png", whole[:33] + note + whole[33:], "ok", "truncated")
    sparse = root / "10 gigabytes.webp"
    with sparse.open("wb") as file:  # a hole: it takes no room on the disk
        file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8 ")
        file.truncate(10 * 10**9)
    yield TortureEntry(sparse, frozenset({"too large"}))


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk: length, kind, body, check sum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, body: bytes | None = None) -> bytes:
    """A black 1-bit PNG of any size, packed row by row."""
    if body is None:
        packer = zlib.compressobj(9)
        row = bytes(1 + (width + 7) // 8)
        body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _kinds(root: Path) -> Iterator[TortureEntry]:
    small = picture()
    deep = np.linspace(0, 65535, 64 * 48).reshape(48, 64)
    yield _put(root / "1x1.png", encoded(Image.new("RGB", (1, 1)), "PNG"))
    yield _put(root / "1x1.gif", encoded(Image.new("P", (1, 1)), "GIF"))
    yield _put(root / "30000x10.png", encoded(Image.new("RGB", (30_000, 10)), "PNG"))
    yield _put(root / "10x30000.jpg", encoded(Image.new("RGB", (10, 30_000))))
    strip = encoded(Image.new("RGB", (60_000, 1)), "PNG")  # huge at an encoder's short side
    yield _put(root / "60000x1.png", strip, "ok", "too large")
    yield _put(root / "cmyk.jpg", encoded(small.convert("CMYK")))
    yield _put(root / "cmyk.tif", encoded(small.convert("CMYK"), "TIFF"))
    yield _put(root / "grey.jpg", encoded(small.convert("L")))
    yield _put(root / "bilevel.tif", encoded(small.convert("1"), "TIFF", compression="group4"))
    yield _put(root / "palette.png", encoded(small.convert("P"), "PNG", transparency=0))
    yield _put(root / "clear.png", encoded(small.convert("LA"), "PNG"))
    yield _put(root / "lab.tif", encoded(Image.new("LAB", (8, 8)), "TIFF"), "ok", "not a photo")
    yield _put(root / "16-bit.png", encoded(Image.fromarray(deep.astype(np.uint16)), "PNG"))
    yield _put(root / "16-bit rgb.tif", rgb_tiff(deep))
    yield _put(root / "32-bit.tif", encoded(Image.fromarray(deep.astype(np.int32)), "TIFF"))
    yield _put(root / "float.tif", encoded(Image.fromarray(deep.astype(np.float32)), "TIFF"))
    others = [Image.new("RGB", (64, 48), colour) for colour in ("red", "lime", "blue")]
    for kind, suffix in (("GIF", "gif"), ("WEBP", "webp"), ("PNG", "png"), ("TIFF", "tif"),
                         ("MPO", "mpo")):  # fmt: skip
        moving = encoded(others[0], kind, save_all=True, append_images=others[1:])
        yield _put(root / f"animated.{suffix}", moving)


def rgb_tiff(values: np.ndarray) -> bytes:
    """A 16-bit RGB TIFF of grey `values` (H, W), which Pillow reads and cannot write."""
    height, width = values.shape
    body = np.repeat(values[..., None], 3, axis=2).astype("<u2").tobytes()
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8 + len(body)), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height),
        (279, 4, 1, len(body)),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<I", 8 + len(body) + 6)
    bits = struct.pack("<HHH", 16, 16, 16)
    return head + body + bits + struct.pack("<H", len(entries)) + directory + bytes(4)


def _exif(root: Path) -> Iterator[TortureEntry]:
    loop = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x8825, 4, 1, 8) + bytes(4)
    endless = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x8769, 4, 1, 0xFFFFFFF0)
    turned = Image.Exif()
    turned[0x0112] = 6
    huge = Image.Exif()
    huge[0x0112] = 60_000
    for name, exif in {
        "garbage": b"Exif\0\0garbage",
        "far away": b"Exif\0\0MM\0*\xff\xff\xff\xff",
        "only a name": b"Exif",
        "zero bytes": bytes(40),
        "a directory in itself": loop,
        "an endless directory": endless,
        "turned": turned.tobytes(),
        "turned by nonsense": huge.tobytes(),
    }.items():
        yield _put(root / f"exif {name}.jpg", encoded(picture(), exif=exif))
    yield _put(root / "exif garbage.png", encoded(picture(), "PNG", exif=b"Exif\0\0garbage"))
    yield _put(root / "exif garbage.webp", encoded(picture(), "WEBP", exif=b"Exif\0\0garbage"))


def _names(root: Path) -> Iterator[TortureEntry]:
    folder = root / "names"
    folder.mkdir(exist_ok=True)
    jpeg = encoded(picture())
    yield from _possible(_put, [(folder / os.fsdecode(name), jpeg) for name in ODD_NAMES])


def _possible(make: Callable[..., TortureEntry], calls: list[tuple]) -> Iterator[TortureEntry]:
    """What `make` gives for each call that the file system allows."""
    for arguments in calls:
        try:
            yield make(*arguments)
        except (OSError, UnicodeError):
            continue


def _locked(root: Path) -> Iterator[TortureEntry]:
    """A photo and a folder without permissions, effective for all but the superuser."""
    photo, folder = root / "locked.jpg", root / "locked folder"
    if photo.exists():  # made by an earlier call
        unlock(root)
    folder.mkdir(exist_ok=True)
    inside = _put(folder / "photo.jpg", encoded(picture()))
    _put(photo, encoded(picture())).path.chmod(0)
    folder.chmod(0)
    bound = not os.access(photo, os.R_OK)
    yield TortureEntry(photo, frozenset({"unreadable"}) if bound else OK)
    yield TortureEntry(folder, frozenset({"unreadable"})) if bound else inside


def unlock(folder: str | os.PathLike[str]) -> None:
    """Give the locked entries their permissions back, so that the folder can be removed."""
    (Path(folder) / "locked folder").chmod(0o700)
    (Path(folder) / "locked.jpg").chmod(0o600)


def _links(root: Path) -> Iterator[TortureEntry]:
    folder = root / "links"
    folder.mkdir(exist_ok=True)
    real = _put(folder / "real.jpg", encoded(picture()))
    for name, target in {
        "dangling.jpg": "nowhere.jpg",
        "itself.jpg": "itself.jpg",
        "ping.jpg": "pong.jpg",
        "pong.jpg": "ping.jpg",
        "to a photo.jpg": "real.jpg",
        "to a device.jpg": os.devnull,
        "endless.jpg": "/dev/zero",
        "up": "..",
        "here": ".",
    }.items():
        if not os.path.lexists(folder / name):
            (folder / name).symlink_to(target)
    yield real
    yield TortureEntry(folder / "to a photo.jpg", OK)
    yield TortureEntry(folder / "dangling.jpg", frozenset({"missing"}))
    for name in ("itself", "ping", "pong"):
        yield TortureEntry(folder / f"{name}.jpg", frozenset({"unreadable"}))
    for name in ("to a device", "endless"):
        yield TortureEntry(folder / f"{name}.jpg", frozenset({"not a photo", "missing"}))


def _specials(root: Path) -> Iterator[TortureEntry]:
    yield from _possible(_special, [(root / "pipe.jpg", _pipe), (root / "socket.jpg", _socket)])


def _special(path: Path, make: Callable[[Path], None]) -> TortureEntry:
    if not path.exists():
        make(path)
    return TortureEntry(path, frozenset({"not a photo"}))


def _pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        raise OSError("no named pipes here")
    os.mkfifo(path)


def _socket(path: Path) -> None:
    """The address of a socket is short: bind it by its name alone."""
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("no sockets here")
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


def _folders(root: Path) -> Iterator[TortureEntry]:
    named = root / "folder.jpg"
    named.mkdir(exist_ok=True)
    yield _put(named / "inside.jpg", encoded(picture()))
    (root / "empty folder.jpg").mkdir(exist_ok=True)
    deep = root / "deep"
    for level in range(200):
        deep = deep / f"{level}"
    deep.mkdir(parents=True, exist_ok=True)
    yield _put(deep / "far down.jpg", encoded(picture()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/torture.py DIR")
    for made in make_torture_folder(sys.argv[1]):
        print(f"{', '.join(sorted(made.expected)):28}{str(made.path)!r}")
