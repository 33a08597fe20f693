"""Small pictures of photos for pages: without metadata, and never larger than asked for."""

import base64
from io import BytesIO

from geoclip.errors import PhotoError
from geoclip.photos.opening import opened
from geoclip.support.paths import decode_path


def thumbnail(path: str, side: int, quality: int = 80) -> tuple[str, str]:
    """A photo's JPEG in base64, its longer side `side` pixels, and when it was taken (ISO 8601).

    `path` is text of a table. Both are "" where the photo cannot be read, the time where it states
    none. Of a video it is the first frame looked at.
    """
    try:
        with opened(decode_path(path)) as photo:
            taken = photo.metadata().taken
            picture = photo.pictures(1, side)[0].convert("RGB")
    except PhotoError:
        return "", ""
    picture.thumbnail((side, side))
    picture.info.clear()  # PIL would write what the camera wrote
    content = BytesIO()
    picture.save(content, "JPEG", quality=quality)
    data = base64.b64encode(content.getvalue()).decode()
    return data, "" if taken is None else taken.isoformat(timespec="minutes")
