"""Small pictures of photos for pages: without metadata, and never larger than given."""

import base64
from io import BytesIO

from geoclip.errors import PhotoError
from geoclip.photos.opening import opened
from geoclip.support.paths import decode_path


def thumbnail(path: str, side: int, quality: int = 80) -> tuple[str, str]:
    """A photo's JPEG in base64, its longer side `side` pixels, and its time (ISO 8601).

    `path` is text of a table. Both are "" for an unreadable photo, the time also where the photo
    states none. A video gives its first sampled frame.
    """
    try:
        with opened(decode_path(path)) as photo:
            taken = photo.metadata().taken
            picture = photo.pictures(1, side)[0].convert("RGB")
    except PhotoError:
        return "", ""
    picture.thumbnail((side, side))
    picture.info.clear()  # PIL would write the camera's notes
    content = BytesIO()
    picture.save(content, "JPEG", quality=quality)
    data = base64.b64encode(content.getvalue()).decode()
    return data, "" if taken is None else taken.isoformat(timespec="minutes")
