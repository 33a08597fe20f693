"""The answers of a moving clip along time: where each moment of a video was filmed."""

from pathlib import Path
from uuid import uuid4

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.guesses.geo_table import to_geodataframe
from geoclip.guesses.writer import GuessWriter
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.photos.videos import is_video, read_moments
from geoclip.support.paths import AnyPath, encode_path

SECONDS = "seconds"
MOMENTS, WINDOW = 16, 3


def locate_clip(
    clip: AnyPath,
    locator: Locator,
    *,
    moments: int = MOMENTS,
    window: int = WINDOW,
    top_k: int = 1,
) -> gpd.GeoDataFrame:
    """Locate `moments` frames at even distances over a video, in order of time.

    Each answer uses the mean embedding of `window` neighbouring moments (odd; 1 for itself alone),
    since one frame may show nothing but a wall. The rows are those of `Locator.guesses`; `path` is
    the clip's with #t=SECOND (a media fragment, W3C 2012), and a column `seconds` follows the
    schema's. Raises PhotoError as `read_frames` does, GeoclipError for a file that is no video and
    for an even window.

    >>> track = locate_clip("drive.mp4", Locator.from_pretrained(), moments=2, window=1)
    >>> track["path"].tolist(), track["rank"].tolist()
    (['drive.mp4#t=0.50', 'drive.mp4#t=1.50'], [1, 1])
    """
    if window < 1 or window % 2 == 0:
        raise GeoclipError(f"The window is {window} moments; use an odd number, such as {WINDOW}.")
    name = encode_path(clip)
    if not is_video(name):
        raise GeoclipError(
            f"{name} is no video: name a clip, or locate photos with geoclip locate."
        )
    seconds, pictures = zip(*read_moments(clip, moments, locator.encoder.image_size), strict=True)
    found = locator.embed(list(pictures))
    values = _moving_mean(found.values, window // 2)
    paths = [f"{name}#t={second:.2f}" for second in seconds]
    table = locator.guesses(Embeddings(paths, values, found.status, found.messages), top_k)
    table[SECONDS] = table["path"].map(dict(zip(paths, seconds, strict=True)))
    return to_geodataframe(table, {SECONDS: "float64"})


def write_track(track: gpd.GeoDataFrame, path: Path) -> None:
    """Write a track in the format of the ending of `path`, like guesses, with `seconds` last.

    Raises GeoclipError where the file cannot be written.
    """
    with GuessWriter(path, path.with_name(f".{uuid4().hex}"), {SECONDS: "float64"}) as writer:
        writer.write(track)


def _moving_mean(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Unit means of each embedding (N, d) and of up to `reach` neighbours on either side."""
    count = len(values)
    near = np.abs(np.arange(count)[:, None] - np.arange(count)) <= reach
    means = near.astype(values.dtype) @ values
    unit: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit
