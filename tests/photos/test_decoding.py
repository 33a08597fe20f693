"""Every kind of file: a picture, or one status with the reason."""

import io
import os
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from geoclip.errors import GeoclipError, PhotoError
from geoclip.photos import decoding as photos
from geoclip.photos.decoding import read_photo
from geoclip.photos.listing import (
    PHOTO_SUFFIXES,
    list_left_out,
    list_photos,
    photos_and_locations,
    read_path_list,
)
from geoclip.photos.quiet_pillow import QUIET_PILLOW
from geoclip.photos.refusals import STATUSES
from tests.torture import rgb_tiff

needs_unprivileged = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)


def halves(width: int = 64, height: int = 48) -> Image.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def status_of(path: Path | str) -> str:
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert caught.value.status in STATUSES
    assert "\n" not in str(caught.value)
    return caught.value.status


def colour(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """Which of red, green, blue is strong at a relative position."""
    pixel = np.asarray(image)[int(y * image.height), int(x * image.width)]
    return tuple(int(value > 127) for value in pixel)


RED, BLUE = (1, 0, 0), (0, 0, 1)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "gif", "avif", "heic"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    if suffix == "heic":
        try:
            pillow_heif.from_pillow(halves()).save(path)
        except Exception as problem:
            pytest.skip(f"no HEIC encoder here ({problem})")
    else:
        halves().save(path)
    image = read_photo(path)
    assert (image.mode, image.size) == ("RGB", (64, 48))
    assert (colour(image, 0.2, 0.5), colour(image, 0.8, 0.5)) == (RED, BLUE)


def test_the_content_counts_not_the_ending(tmp_path: Path) -> None:
    halves().save(tmp_path / "photo.jpg", "PNG")
    assert read_photo(tmp_path / "photo.jpg").size == (64, 48)


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    halves().save(path, exif=exif)
    image = read_photo(path)
    left, top = {
        1: ((0, 0), RED), 2: ((1, 0), RED), 3: ((1, 0), RED), 4: ((0, 0), RED),
        5: ((0, 0), RED), 6: ((0, 0), RED), 7: ((0, 1), RED), 8: ((0, 1), RED),
    }[orientation]  # fmt: skip
    assert image.size == ((64, 48) if orientation < 5 else (48, 64))
    # The corner where the red half is, and the opposite one.
    assert colour(image, 0.1 + 0.8 * left[0], 0.1 + 0.8 * left[1]) == top
    assert colour(image, 0.9 - 0.8 * left[0], 0.9 - 0.8 * left[1]) == BLUE
    assert image.getexif().get(0x0112, 1) == 1  # a second turn would be wrong


@pytest.mark.parametrize("suffix", ["heic", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_alone_turns_photos_of_phones(tmp_path: Path, suffix: str, orientation: int) -> None:
    """As some phones write them, without a turn in the container: its boxes are renamed here."""
    exif = Image.Exif()
    tag = 0x0112 if suffix == "heic" else 0x0113  # the writer of AVIF would drop the former
    exif[tag] = orientation
    pillow_heif.register_heif_opener()
    path = tmp_path / f"turned.{suffix}"
    try:
        halves().save(path, exif=exif.tobytes())
    except (KeyError, OSError, RuntimeError) as problem:
        pytest.skip(f"{suffix} cannot be written here ({problem})")
    content = path.read_bytes().replace(b"irot", b"free").replace(b"imir", b"free")
    for order in "<", ">":
        entry = [struct.pack(f"{order}HH", number, 3) for number in (tag, 0x0112)]
        content = content.replace(*entry)
    path.write_bytes(content)
    stands = read_photo(path)
    by_exif = halves().transpose(photos._UPRIGHT[orientation]) if orientation > 1 else halves()
    assert stands.size == by_exif.size
    assert np.abs(np.asarray(stands).astype(int) - np.asarray(by_exif)).mean() < 20


def test_a_turn_of_another_picture_in_the_file_does_not_count(tmp_path: Path) -> None:
    """Only the properties of the primary picture turn it: a thumbnail's are its own."""
    from geoclip.photos.iso_media import _is_turned

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    def file(turned: int, wide: bool) -> bytes:
        links = b"".join(
            struct.pack(">HBH" if wide else ">HBB", item, 1, number)
            for item, number in ((1, 2 if turned == 1 else 1), (7, 2 if turned == 7 else 1))
        )
        flags = bytes([0, 0, 0, wide])
        ipma = box(b"ipma", flags + struct.pack(">I", 2) + links)
        ipco = box(b"ipco", box(b"ispe", bytes(12)) + box(b"irot", b"\1"))
        pitm = box(b"pitm", bytes(4) + struct.pack(">H", 7))
        head = box(b"ftyp", b"heic\0\0\0\0mif1")
        return head + box(b"meta", bytes(4) + pitm + box(b"iprp", ipco + ipma))

    for wide in (False, True):
        assert _is_turned(io.BytesIO(file(7, wide)))
        assert not _is_turned(io.BytesIO(file(1, wide)))
    assert not _is_turned(io.BytesIO(file(7, True)[:30]))


@pytest.mark.parametrize("suffix", ["heic", "avif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photos_of_phones_are_turned_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pillow_heif.register_heif_opener()
    path = tmp_path / f"turned.{suffix}"
    try:
        halves().save(path, exif=exif.tobytes())
    except (KeyError, OSError, RuntimeError) as problem:
        pytest.skip(f"{suffix} cannot be written here ({problem})")
    image = read_photo(path)
    assert image.size == ((64, 48) if orientation < 5 else (48, 64))
    x, y = {1: (0.1, 0.5), 3: (0.9, 0.5), 6: (0.5, 0.1), 8: (0.5, 0.9)}[orientation]
    assert colour(image, x, y) == RED
    assert colour(image, 1 - x, 1 - y) == BLUE


def test_16_bit_colour(tmp_path: Path) -> None:
    (tmp_path / "deep.tif").write_bytes(rgb_tiff(np.tile(np.linspace(0, 65535, 256), (4, 1))))
    seen = np.asarray(read_photo(tmp_path / "deep.tif"))[0].astype(int)
    assert np.abs(seen - np.arange(256)[:, None]).max() <= 1


def test_files_of_gigabytes_are_not_taken_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "hole.webp").open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8 ")
        file.truncate(photos.MAX_BYTES + 1)
    assert status_of(tmp_path / "hole.webp") == "too large"


def test_corrupt_exif_is_not_fatal(tmp_path: Path) -> None:
    for number, exif in enumerate([b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif"]):
        path = tmp_path / f"{number}.jpg"
        halves().save(path, exif=exif)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_photo(path).size == (64, 48)


@pytest.mark.parametrize("short_side", [1, 50, 100, 101, 224, 399, 400, 1000])
@pytest.mark.parametrize("size", [(800, 400), (401, 799), (30, 800)])
def test_reduced_decoding_keeps_the_short_side(
    tmp_path: Path, size: tuple[int, int], short_side: int
) -> None:
    path = tmp_path / "photo.jpg"
    halves(*size).save(path)
    image = read_photo(path, short_side=short_side)
    assert min(image.size) >= min(short_side, *size)
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.15)
    reduced = min(size) // max(short_side, 1)
    assert (image.size == size) == (reduced < 2)


def test_reduced_decoding_of_a_turned_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    halves(800, 400).save(tmp_path / "photo.jpg", exif=exif)
    assert read_photo(tmp_path / "photo.jpg", short_side=100).size == (100, 200)


def test_cmyk(tmp_path: Path) -> None:
    halves().convert("CMYK").save(tmp_path / "photo.jpg")
    assert colour(read_photo(tmp_path / "photo.jpg"), 0.2, 0.5) == RED


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_greys_are_scaled_not_clipped(tmp_path: Path, dtype: type) -> None:
    ramp = np.linspace(0, 65535, 256).astype(dtype)[None].repeat(4, axis=0)
    path = tmp_path / ("deep.png" if dtype is np.uint16 else "deep.tif")
    Image.fromarray(ramp).save(path)
    seen = np.asarray(read_photo(path))[0, :, 0].astype(int)
    assert np.abs(seen - np.arange(256)).max() <= 1


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    clear.save(tmp_path / "rgba.png")
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([255, 0, 0] + [0, 0, 0] * 255)
    palette.save(tmp_path / "palette.png", transparency=0)
    palette.save(tmp_path / "palette.gif", transparency=0)
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "la.png")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "rgb.png", transparency=(255, 0, 0))
    for path in tmp_path.iterdir():
        assert np.asarray(read_photo(path)).min() == 255, path


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), name) for name in ("red", "blue")]
    for suffix in ("gif", "webp", "png", "tif"):
        path = tmp_path / f"moving.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert colour(read_photo(path), 0.5, 0.5) == RED


@pytest.mark.parametrize("size", [(1, 1), (30_000, 10)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "odd.png")
    assert read_photo(tmp_path / "odd.png", short_side=224).size == size


def test_missing_and_dangling(tmp_path: Path) -> None:
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "file").write_bytes(b"x")
    for name in ("absent.jpg", "dangling.jpg", "file/inside.jpg"):
        assert status_of(tmp_path / name) == "missing"
    assert status_of("null\0byte.jpg") == "missing"


def test_a_link_to_itself_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert status_of(tmp_path / "loop.jpg") == "unreadable"


@needs_unprivileged
def test_permission(tmp_path: Path) -> None:
    halves().save(tmp_path / "locked.jpg")
    (tmp_path / "locked.jpg").chmod(0)
    assert status_of(tmp_path / "locked.jpg") == "unreadable"


def test_permission_denied_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    halves().save(tmp_path / "locked.jpg")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PhotoError) as caught:
        read_photo(tmp_path / "locked.jpg")
    assert caught.value.status == "unreadable"


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_not_regular_files_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert status_of(tmp_path / "pipe.jpg") == "not a photo"  # opening it would wait for ever
    assert status_of(tmp_path) == "not a photo"
    assert status_of("/dev/null") == "not a photo"


def test_empty_and_wrong_content(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture at all")
    (tmp_path / "page.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert status_of(tmp_path / "empty.jpg") == "empty"
    assert status_of(tmp_path / "text.jpg") == "not a photo"
    assert status_of(tmp_path / "page.jpg") == "not a photo"


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "gif", "avif"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(noise).save(whole)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Where the directory stands at the end of the file, half a file is no picture at all.
        assert status_of(cut) in {"truncated", "not a photo"}
        if suffix in {"jpg", "png"}:
            assert status_of(cut) == "truncated"


def test_damage_anywhere_ends_in_a_status(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for suffix in ("jpg", "png", "webp", "tif", "gif", "bmp"):
        path = tmp_path / f"photo.{suffix}"
        halves().save(path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            broken = whole.copy()
            broken[random.integers(0, len(broken), 8)] = random.integers(0, 256, 8)
            path.write_bytes(broken.tobytes())
            try:
                assert read_photo(path, short_side=16).mode == "RGB"
            except PhotoError as problem:
                assert problem.status in STATUSES[1:]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 10_001), (21_000, 21_000), (60_000, 60_000)])
def test_decompression_bombs_are_refused_by_their_header(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert status_of(tmp_path / "bomb.png") == "too large"


def test_large_photos_below_the_limit_are_not_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    halves().save(tmp_path / "photo.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(tmp_path / "photo.png").size == (64, 48)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_threads_leave_the_process_as_it_was(tmp_path: Path) -> None:
    halves(600, 400).save(tmp_path / "photo.jpg")
    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    threads = [
        threading.Thread(target=lambda: [read_photo(tmp_path / "photo.jpg") for _ in range(20)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == (filters, limit)
    assert QUIET_PILLOW._inside == 0


def test_originals_are_untouched(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    halves().save(path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    read_photo(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


# Listing


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def make(*names: str) -> Path:
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path

    return make


def names(found: list[Path], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in found]


def test_folders_are_walked_and_sorted(folder: Callable[..., Path]) -> None:
    root = folder("b.JPG", "a.png", "sub/c.heic", "notes.txt", "sub/deep/d.jpeg", "._b.jpg")
    assert names(list_photos([root]), root) == ["a.png", "b.JPG", "sub/c.heic", "sub/deep/d.jpeg"]


def test_folders_can_be_named_like_photos(folder: Callable[..., Path]) -> None:
    root = folder("trip.jpg/one.jpg")
    assert names(list_photos([root]), root) == ["trip.jpg/one.jpg"]


def test_link_loops_end_and_photos_are_listed_once(folder: Callable[..., Path]) -> None:
    root = folder("real/one.jpg")
    (root / "real" / "up").symlink_to(root)
    (root / "a-link").symlink_to(root / "real")
    assert names(list_photos([root]), root) == ["real/one.jpg"]


def test_pipes_and_dangling_links_are_kept(folder: Callable[..., Path]) -> None:
    root = folder("one.jpg")
    os.mkfifo(root / "pipe.jpg")
    (root / "dangling.jpg").symlink_to("nowhere")
    (root / "loop.jpg").symlink_to("loop.jpg")
    assert names(list_photos([root]), root) == ["dangling.jpg", "loop.jpg", "one.jpg", "pipe.jpg"]


def test_200_folders_deep(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(200):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "far.jpg").touch()
    assert [path.name for path in list_photos([tmp_path])] == ["far.jpg"]


def test_names_with_newlines_quotes_and_any_bytes(tmp_path: Path) -> None:
    odd = [b'a"b.jpg', b"line\nbreak.jpg", b"caf\xe9.jpg", b"<i>.jpg"]
    for name in odd:
        halves().save(tmp_path / os.fsdecode(name), "JPEG")
    found = list_photos([tmp_path])
    assert sorted(os.fsencode(path.name) for path in found) == sorted(odd)
    assert all(read_photo(path).mode == "RGB" for path in found)


def test_globs(folder: Callable[..., Path]) -> None:
    root = folder("a1.jpg", "a2.png", "b.jpg", "sub/a3.jpg", "a[1].jpg")
    assert names(list_photos([f"{root}/a*"]), root) == ["a1.jpg", "a2.png", "a[1].jpg"]
    assert names(list_photos([f"{root}/**/a3*"]), root) == ["sub/a3.jpg"]
    assert names(list_photos([f"{root}/su*"]), root) == ["sub/a3.jpg"]
    assert names(list_photos([root / "a[1].jpg"]), root) == ["a[1].jpg"]


def test_what_does_not_exist_is_kept_and_order_is_the_callers(folder: Callable[..., Path]) -> None:
    root = folder("z.jpg", "a.jpg")
    given = [root / "z.jpg", root / "absent.jpg", root / "a.jpg", f"{root}/none*.jpg", root]
    expected = ["z.jpg", "absent.jpg", "a.jpg", "none*.jpg"]
    assert names(list_photos(given), root) == expected
    assert list_photos([]) == []


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in PHOTO_SUFFIXES)


def test_what_is_left_out_of_a_folder(folder: Callable[..., Path]) -> None:
    root = folder("a.jpg", "a.jpg.xmp", "._a.jpg", "sub/film.mp4", "sub/b.png")
    left_out = names([entry.path for entry in list_left_out([root])], root)
    assert left_out == ["._a.jpg", "a.jpg.xmp", "sub/film.mp4"]
    assert names([entry.path for entry in list_left_out([root], {".mp4"})], root) == [
        "._a.jpg", "a.jpg", "a.jpg.xmp", "sub/b.png",
    ]  # fmt: skip
    assert list_left_out([root / "a.jpg.xmp"]) == []  # a named file is not left out


def test_lists_of_paths() -> None:
    assert read_path_list(io.BytesIO(b"a.jpg\nb c.jpg\r\n\n")) == ["a.jpg", "b c.jpg"]
    odd = os.fsdecode(b"caf\xe9.jpg")
    assert read_path_list(io.BytesIO(b"a\nb.jpg\0caf\xe9.jpg\0")) == ["a\nb.jpg", odd]
    assert read_path_list(io.BytesIO(b"")) == []


# Lists in CSV files


def test_csv_paths_are_relative_to_the_list(folder: Callable[..., Path]) -> None:
    root = folder("sub/one.jpg", "two.jpg")
    (root / "list.csv").write_text("path,location_id\nsub/one.jpg,x\ntwo.jpg,x\nthree.jpg,\n")
    found, groups = photos_and_locations([str(root / "list.csv")], "location_id")
    assert names(found, root) == ["sub/one.jpg", "two.jpg", "three.jpg"]
    assert groups is not None
    assert groups[0] == groups[1] == "x"
    assert groups[2] not in {"", "x"}
    assert photos_and_locations([str(root / "list.csv"), str(root / "two.jpg")])[1] is None


@pytest.mark.parametrize(
    ("text", "group_by", "message"),
    [
        ("photo\na.jpg\n", None, "has no column path"),
        ("path\na.jpg\n", "place", "has no column place"),
        ("path,lat\na.jpg,1\n,2\n", None, "row 3"),
        ("", None, "is empty"),
        ("path\n", None, "No photos were found"),
    ],
)
def test_bad_lists(tmp_path: Path, text: str, group_by: str | None, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(GeoclipError, match=message):
        photos_and_locations([str(tmp_path / "list.csv")], group_by)


def test_a_group_counts_wherever_its_list_stands(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text("path,loc\na.jpg, 1\nb.jpg,1\nc.jpg, \n")
    folder, listed = str(tmp_path), str(tmp_path / "list.csv")
    third = str(tmp_path / "c.jpg")
    for paths in ([folder, listed], [listed, folder], [folder, f"{folder}/l*.csv"]):
        _, groups = photos_and_locations(paths, "loc")
        assert groups == ["1", "1", third]
    (tmp_path / "other.csv").write_text("path,loc\na.jpg,2\n")
    with pytest.raises(GeoclipError, match="'1' and '2' in loc: keep one"):
        photos_and_locations([listed, str(tmp_path / "other.csv")], "loc")


def test_addresses(tmp_path: Path) -> None:
    photo = tmp_path / "a b.jpg"
    photo.touch()
    assert photos_and_locations([photo.as_uri()]) == ([photo], None)
    for address in ("https://example.org/a.jpg", "s3://bucket/photos"):
        with pytest.raises(GeoclipError, match=rf"^{address} is an address, .* download it first"):
            photos_and_locations([str(photo), address])


def test_grouping_needs_a_list(folder: Callable[..., Path]) -> None:
    with pytest.raises(GeoclipError, match=r"needs a \.csv"):
        photos_and_locations([str(folder("a.jpg"))], "location_id")
