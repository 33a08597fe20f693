"""A video file → a few upright RGB frames, spread over the clip.

A few frames say nearly as much about a whole clip as all of them (CLIPBert, Lei et al. 2021), and
cost little more than as many photos.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from PIL import Image

from geoclip.errors import GeoclipError, PhotoError
from geoclip.photos.decoding import check_file, open_file
from geoclip.photos.listing import VIDEO_SUFFIXES
from geoclip.photos.refusals import MAX_PIXELS, refuse, refuse_damage, refuse_size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FRAMES = 4
"""Frames sampled from each video."""

# Containers of cameras and phones only: playlists would open other files.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,ogg,asf,flv"
_LONGEST_SEARCH = 600
"""Frames decoded, at most, on the way to a key frame, and from it unless the moment is exact."""


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file's ending is that of a video."""
    return os.path.splitext(os.fspath(path))[1].lower() in VIDEO_SUFFIXES  # noqa: PTH122


def read_frames(
    path: str | os.PathLike[str],
    count: int = FRAMES,
    short_side: int | None = None,
    content: bytes | None = None,
) -> list[Image.Image]:
    """Up to `count` upright RGB frames at even distances over a video, in order of time.

    If possible, a frame is the key frame before its moment, which is cheap to reach. With
    `short_side` (pixels) larger frames are scaled down to it. A clip of fewer frames gives fewer;
    damage in the middle loses only the frames there. `content` is as for `read_photo`. Raises
    PhotoError with the statuses of `read_photo`, and GeoclipError where `count` is below 1.
    """
    name = os.fspath(path)
    with open_video(name, content) as container:
        return frames_of(container, name, count, short_side)


def read_moments(
    path: str | os.PathLike[str], count: int, short_side: int | None = None
) -> list[tuple[float, Image.Image]]:
    """As `read_frames`, of the very moments, each with its second since the clip's start.

    This decodes all that lies between a key frame and its moment.
    """
    name = os.fspath(path)
    with open_video(name) as container:
        return _moments_of(container, name, count, short_side, exact=True)


def frames_of(
    container: "InputContainer", name: str, count: int, short_side: int | None = None
) -> list[Image.Image]:
    """The frames of an open video; see `read_frames`."""
    return [picture for _, picture in _moments_of(container, name, count, short_side, exact=False)]


def _moments_of(
    container: "InputContainer", name: str, count: int, short_side: int | None, *, exact: bool
) -> list[tuple[float, Image.Image]]:
    if count < 1:
        raise GeoclipError(f"{count} frames of a video were asked for; ask for 1 or more.")
    stream = _video_stream(container, name)
    moments = [
        (second, _upright_rgb(frame, short_side))
        for second, frame in _sparse(container, stream, count, exact)
    ]
    if not moments:
        refuse(name, "no frame of the video can be decoded; copy it again", "truncated")
    return moments


def read_container_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts in a video's header, keys in lower case; raises PhotoError."""
    with open_video(os.fspath(path)) as container:
        return container_tags(container)


def container_tags(container: "InputContainer") -> dict[str, str]:
    """The texts of an open video; see `read_container_tags`."""
    streams = [stream.metadata for stream in container.streams]
    merged = {k: v for tags in [*streams, container.metadata] for k, v in tags.items()}
    return {key.lower(): value for key, value in merged.items()}


@contextmanager
def open_video(name: str, content: bytes | None = None) -> "Iterator[InputContainer]":
    """Open a video without opening files it refers to; errors become PhotoError."""
    import av  # noqa: PLC0415

    if content is None:
        check_file(name)
    rules = {"format_whitelist": _FORMATS, "protocol_whitelist": "", "export_xmp": "1"}
    recognised = True
    with open_file(name, content) as file:
        try:
            recognised = file.read(12)[4:8] == b"ftyp"
            file.seek(0)
            with av.open(
                _Unnamed(file), "r", metadata_errors="replace", options=rules
            ) as container:
                recognised = True
                yield container
        except PhotoError:
            raise
        except MemoryError:
            refuse_size(name)
        except Exception as problem:  # decoders of damaged files raise almost anything
            if recognised:
                refuse_damage(name, problem)
            refuse(name, "the content is not a video in a known format; name videos", "not a photo")


class _Unnamed:
    """An open file that hides its name from the decoder."""

    def __init__(self, file: Any) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _video_stream(container: "InputContainer", name: str) -> "VideoStream":
    # The cover picture of a sound file counts as a stream of one frame.
    if not container.streams.video:
        refuse(name, "the file holds sound only; name photos and videos", "not a photo")
    stream = container.streams.video[0]
    if stream.width * stream.height > MAX_PIXELS:
        refuse_size(name)
    return stream


def _sparse(
    container: "InputContainer", stream: "VideoStream", count: int, exact: bool
) -> "Iterator[tuple[float, VideoFrame]]":
    """Frames of the middles of `count` equal parts of the clip and their seconds; see `_frame_at`.

    Seconds are counted from the clip's start.
    """
    start, length = stream.start_time or 0, _length(container, stream)
    last = -1.0
    for part in range(count):
        moment = start + int(length * (part + 0.5) / count)
        frame = _frame_at(container, stream, moment, last, exact)
        if frame is not None and frame.pts is not None and frame.pts > last:
            last = frame.pts
            yield float((frame.pts - start) * (stream.time_base or 0)), frame


def _length(container: "InputContainer", stream: "VideoStream") -> int:
    """Duration in the stream's time base; for live recordings the whole file is read."""
    import av  # noqa: PLC0415

    if stream.duration:
        return stream.duration
    if container.duration and stream.time_base:
        return int(container.duration / av.time_base / stream.time_base)
    start = end = stream.start_time or 0
    try:
        for packet in container.demux(stream):
            end = max(end, packet.pts or start)
    except av.FFmpegError:
        pass  # damage: the clip is taken as long as it can be read
    return end - start


def _frame_at(
    container: "InputContainer", stream: "VideoStream", moment: int, last: float, exact: bool
) -> "VideoFrame | None":
    """The frame shown at `moment`.

    Unless `exact`, it is the key frame before if that is later than `last`.
    """
    import av  # noqa: PLC0415

    found = None
    try:
        for decoded, (shown, frame) in enumerate(_decoded_from(container, stream, moment)):
            if found is not None and shown > moment:
                break
            found = frame
            late = decoded >= _LONGEST_SEARCH
            if not exact and (late or (frame.key_frame and shown > last)):
                break
    except av.FFmpegError:
        pass  # damage here: the last decoded frame is used
    return found


def _decoded_from(
    container: "InputContainer", stream: "VideoStream", moment: int
) -> "Iterator[tuple[int, VideoFrame]]":
    """Undamaged frames from the key frame before `moment` on, with the times when they are shown.

    MPEG streams have no index: a search in them ends anywhere, so it goes further and further back.
    """
    start, back = stream.start_time or 0, 0
    while True:
        whole = moment - back <= start
        container.seek(0 if whole else moment - back, stream=stream, backward=True)
        decoded = container.decode(stream)
        frames = ((f.pts, f) for f in decoded if f.pts is not None and not f.is_corrupt)
        near = islice(frames, _LONGEST_SEARCH)
        first = next((one for one in near if whole or one[1].key_frame or one[0] > moment), None)
        if whole or (first is not None and first[0] <= moment):
            return chain([] if first is None else [first], frames)
        back = 4 * back or max(1, int(1 / (stream.time_base or 1)))  # a second


def _upright_rgb(frame: "VideoFrame", short_side: int | None) -> Image.Image:
    width, height = frame.width, frame.height
    scale = min(1.0, (short_side or min(width, height)) / min(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image: Image.Image = frame.to_image(width=size[0], height=size[1])  # type: ignore[no-untyped-call]
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
