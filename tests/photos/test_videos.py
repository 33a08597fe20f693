"""A few upright frames of a clip, or one status with the reason."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoclip.errors import GeoclipError, PhotoError
from geoclip.photos.listing import PHOTO_SUFFIXES, list_photos
from geoclip.photos.metadata import read_metadata
from geoclip.photos.refusals import STATUSES
from geoclip.photos.videos import VIDEO_SUFFIXES, is_video, read_container_tags, read_frames

av = pytest.importorskip("av")

FRAMES = 40


def write_clip(
    path: Path, frames: int = FRAMES, key_every: int = 10, size: tuple[int, int] = (96, 64)
) -> Path:
    """A clip that grows brighter from frame to frame; its left half is red."""
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["location"] = "+45.7600+004.8400/"
        container.metadata["creation_time"] = "2023-05-01T12:00:00Z"
        container.metadata["com.android.manufacturer"] = "Google"
        container.metadata["com.android.model"] = "Pixel 6"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.gop_size = key_every
        stream.options = {"sc_threshold": "1000000000"}  # no key frames of the encoder's own choice
        for number in range(frames):
            pixels = np.full((size[1], size[0], 3), 20 + 5 * number, np.uint8)
            pixels[:, : size[0] // 2, 1:] = 0
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def moment(image: Image.Image) -> float:
    """The number of a frame, by its brightness."""
    return (float(np.asarray(image)[:, -20:].mean()) - 20) / 5


def status_of(path: Path) -> str:
    with pytest.raises(PhotoError) as caught:
        read_frames(path)
    assert caught.value.status in STATUSES
    assert "\n" not in str(caught.value)
    return caught.value.status


def test_content_instead_of_a_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    kept = read_frames("s3://bucket/clip.mp4", content=path.read_bytes())
    assert [moment(image) for image in kept] == [moment(image) for image in read_frames(path)]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "3gp", "mts"])
def test_frames_are_spread_over_the_clip(tmp_path: Path, suffix: str) -> None:
    if suffix == "3gp":
        path = write_clip(tmp_path / "clip.mp4").rename(tmp_path / "clip.3gp")
    else:
        path = write_clip(tmp_path / f"clip.{suffix}")
    images = read_frames(path, count=4)
    assert [image.size for image in images] == [(96, 64)] * 4
    assert all(image.mode == "RGB" for image in images)
    moments = [moment(image) for image in images]
    # The key frames before the middles of four quarters.
    assert moments == pytest.approx([0, 10, 20, 30], abs=1.5)
    red = np.asarray(images[-1])[:, :20].mean(axis=(0, 1))
    assert red[0] > 100 > red[1]


def test_a_clip_that_does_not_say_how_long_it_is_is_read_to_its_end(tmp_path: Path) -> None:
    """As browsers record them."""
    path, live = write_clip(tmp_path / "clip.mkv"), tmp_path / "live.mkv"
    with av.open(str(path)) as read, av.open(str(live), "w", options={"live": "1"}) as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    with av.open(str(live)) as container:
        assert container.duration is None and not container.streams.video[0].duration
    moments = [moment(image) for image in read_frames(live, count=4)]
    assert moments == pytest.approx([0, 10, 20, 30], abs=1.5)
    live.write_bytes(live.read_bytes()[: live.stat().st_size // 2])
    assert len(read_frames(live, count=4)) == 4


def test_without_key_frames_the_moments_themselves_are_decoded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", key_every=1000)
    moments = [moment(image) for image in read_frames(path, count=4)]
    assert moments == pytest.approx([0, 15, 25, 35], abs=1.5)


@pytest.mark.parametrize("count", [1, 2, 7, 40, 200])
def test_counts(tmp_path: Path, count: int) -> None:
    images = read_frames(write_clip(tmp_path / "clip.mp4"), count)
    assert min(count, FRAMES) - 1 <= len(images) <= min(count, FRAMES)
    moments = [moment(image) for image in images]
    assert moments == sorted(moments)


def test_a_clip_of_one_frame(tmp_path: Path) -> None:
    assert len(read_frames(write_clip(tmp_path / "clip.mp4", frames=1))) == 1


def test_no_frames_wanted(tmp_path: Path) -> None:
    with pytest.raises(GeoclipError, match="ask for 1 or more"):
        read_frames(write_clip(tmp_path / "clip.mp4"), 0)


def test_short_side(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    assert read_frames(path, 1, short_side=32)[0].size == (48, 32)
    assert read_frames(path, 1, short_side=1000)[0].size == (96, 64)


def test_clips_filmed_upright(tmp_path: Path) -> None:
    """A phone stores the picture lying and a matrix that turns it a quarter to the right."""
    path = write_clip(tmp_path / "clip.mp4")
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    content[start : start + 36] = struct.pack(
        ">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30
    )
    path.write_bytes(content)
    image = read_frames(path, 1)[0]
    assert image.size == (64, 96)
    pixels = np.asarray(image).astype(int)
    # What lay on the left is above.
    assert pixels[5, 32, 0] - pixels[5, 32, 1] > 10 > abs(pixels[90, 32, 0] - pixels[90, 32, 1])


def test_position_time_and_camera(tmp_path: Path) -> None:
    found = read_metadata(write_clip(tmp_path / "clip.mp4"))
    assert found.gps is not None
    assert found.gps.trustworthy
    assert (found.gps.lat, found.gps.lon) == pytest.approx((45.76, 4.84))
    assert found.taken is not None
    assert found.taken.isoformat() == "2023-05-01T12:00:00"
    assert found.utc_offset is not None
    assert found.utc_offset.total_seconds() == 0
    assert found.camera == "Google Pixel 6"
    assert "location" in read_container_tags(tmp_path / "clip.mp4")


def test_statuses(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("This is no video.\n" * 100)
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.mp4", "JPEG")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert status_of(tmp_path / "absent.mp4") == "missing"
    assert status_of(tmp_path / "empty.mp4") == "empty"
    assert status_of(tmp_path / "text.mp4") == "not a photo"
    assert status_of(tmp_path / "photo.mp4") == "not a photo"
    assert status_of(tmp_path / "pipe.mp4") == "not a photo"
    assert status_of(tmp_path / "cut.mp4") == "truncated"


def test_sound_only(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert status_of(tmp_path / "sound.mp4") == "not a photo"


def test_playlists_lead_nowhere(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n"
    (tmp_path / "playlist.mp4").write_text(playlist)
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {clip}\n")
    assert status_of(tmp_path / "playlist.mp4") == "not a photo"
    assert status_of(tmp_path / "list.mp4") == "not a photo"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_damage_anywhere_ends_in_frames_or_a_status(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(3)
    path = write_clip(tmp_path / f"clip.{suffix}")
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(40):
        broken = whole.copy()
        broken[random.integers(0, len(broken), 30)] = random.integers(0, 256, 30)
        path.write_bytes(broken.tobytes())
        read_metadata(path)
        try:
            assert 1 <= len(read_frames(path, 3)) <= 3
        except PhotoError as problem:
            assert problem.status in STATUSES[1:]


def test_any_name_and_untouched_files(tmp_path: Path) -> None:
    for name in (b"line\nbreak.mp4", b"caf\xe9.MP4", b"http:a?b.mp4", b"-i.mp4"):
        path = tmp_path / os.fsdecode(name)
        write_clip(tmp_path / "clip.mp4").rename(path)
        before = path.read_bytes(), path.stat().st_mtime_ns
        assert len(read_frames(path, 2)) == 2
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
        assert is_video(path)


def test_videos_are_listed_when_wanted(tmp_path: Path) -> None:
    for name in ("a.MP4", "b.jpg", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_photos([tmp_path])] == ["b.jpg"]
    found = list_photos([tmp_path], PHOTO_SUFFIXES | VIDEO_SUFFIXES)
    assert [path.name for path in found] == ["a.MP4", "b.jpg"]
    assert not PHOTO_SUFFIXES & VIDEO_SUFFIXES
