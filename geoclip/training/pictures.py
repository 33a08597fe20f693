"""Training photos as shown: read, cropped and recoloured. This needs no model."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from geoclip.encoders import Encoder
from geoclip.errors import PhotoError
from geoclip.photos.decoding import read_photo
from geoclip.photos.opening import Fetch
from geoclip.support.paths import decode_path
from geoclip.support.seeds import seeded_generator
from geoclip.training.augment import AUGMENTATION, Augmentation, augment, to_pixels


@dataclass(frozen=True)
class Showing:
    """One showing of a photo.

    `path` is the text of a table. `key` seeds its augmentation (see
    `support.seeds.seeded_generator`); without a key it is not augmented.
    """

    path: str
    key: tuple[object, ...] | None = None


@dataclass(frozen=True)
class PictureReader:
    """Reads photos for an encoder of image size `size`; it can be sent to other processes.

    `fetch` gives the bytes of photos outside this machine.
    """

    size: int
    change: Augmentation = AUGMENTATION
    fetch: Fetch | None = None

    def __call__(self, showing: Showing) -> Image.Image | None:
        """The picture, of (size, size) pixels if augmented; None if unreadable."""
        path = showing.path
        try:
            content = None if self.fetch is None else self.fetch(path)
            image = read_photo(decode_path(path) if content is None else path, self.size, content)
        except PhotoError:
            return None
        if showing.key is None:
            return image
        return augment(image, self.size, seeded_generator(*showing.key), self.change)


def picture_pixels(encoder: Encoder, picture: Image.Image | None, augmented: bool) -> Tensor | None:
    """Pixels (3, S, S) of a reader's picture; None for an unreadable one."""
    if picture is None:
        return None
    if augmented:
        return to_pixels(picture, encoder.normalization)
    return encoder.preprocess(picture)
