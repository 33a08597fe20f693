"""Evidence maps of a photo for captions, as one self-contained page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from geoclip.encoders import Encoder
from geoclip.encoders.evidence_maps import caption_logits, evidence_maps, seen_picture
from geoclip.encoders.loading import load_encoder
from geoclip.evaluation.html_page import heading, page, sentences, write_text
from geoclip.locator import Locator, default_device
from geoclip.photos.opening import read_pictures
from geoclip.places.captions import CaptionBook
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import Watch
from geoclip.support.paths import AnyPath, decode_path, encode_path

COUNTRIES = 3
"""Number of likeliest countries whose prompts are explained if no caption is given."""
SHOWN_SIDE = 320
RED, BLUE = (214, 40, 40), (40, 90, 214)
FOOTER = (
    "Red supports the caption, blue speaks against it, relative to the other captions. A map "
    "shows what this model's answer rests on, not the truth about the place."
)


@dataclass(frozen=True)
class Explained:
    """A photo as an encoder sees it, and its evidence (T, S, S) for T captions.

    `shares` (T,) are the captions' probabilities relative to one another.
    """

    path: str
    seen: Image.Image
    captions: list[str]
    shares: np.ndarray
    maps: np.ndarray


def explain_photo(
    photo: AnyPath,
    captions: Sequence[str] = (),
    model: str | Path | Encoder = "street-tiny",
    method: str = "occlusion",
    watch: Watch | None = None,
) -> Explained:
    """Evidence maps of a photo for `captions`, by default prompts of the likeliest countries.

    `watch` is told how far the index of places is where it must be made. Raises PhotoError for an
    unreadable photo, GeoclipError for a model that cannot be loaded.

    >>> encoder = load_encoder("street-tiny", for_photos=True)
    >>> explain_photo("holiday/grey.jpg", ["snow", "sand"], encoder, "gradient").maps.shape
    (2, 256, 256)
    """
    locator = None
    if not captions and not isinstance(model, Encoder):
        locator = Locator.from_pretrained(model, watch=watch)
        encoder = locator.encoder
    else:
        encoder = model if isinstance(model, Encoder) else load_encoder(model, default_device())
    file = decode_path(photo) if isinstance(photo, str) else photo
    picture = read_pictures(file, None, 1, encoder.image_size)[0]
    captions = list(captions) if locator is None else _likeliest(locator, picture, str(model))
    maps = evidence_maps(encoder, picture, captions, method)
    logits = caption_logits(encoder, picture, captions)
    shares = np.exp(logits - logits.max())
    seen = seen_picture(encoder, picture)
    return Explained(encode_path(photo), seen, captions, shares / shares.sum(), maps)


def _likeliest(locator: Locator, picture: Image.Image, model: str) -> list[str]:
    guesses = locator.guesses(locator.embed(picture), classes=True)
    codes = str(guesses["country_ranking"].iloc[0]).split()[:COUNTRIES]
    book = CaptionBook(locator.gazetteer, ModelSettings.of_model(model).captions)
    return [book.prompts(int(row))[0] for row in locator.gazetteer.rows(codes)]


def write_explained(explained: Explained, path: Path) -> None:
    """Write the maps over the photo as a page; raises GeoclipError where writing fails."""
    name = Path(explained.path).name
    parts = [heading("What the model sees"), '<div class="sheet">']
    parts.append(_figure(explained.seen, "the photo"))
    top = float(np.abs(explained.maps).max()) or 1.0
    for caption, share, one in zip(
        explained.captions, explained.shares, explained.maps, strict=True
    ):
        parts.append(_figure(overlay(explained.seen, one / top), f"{share:.0%} {caption}"))
    parts += ["</div>", sentences([FOOTER])]
    footer = "Anyone who gets this page sees this photo."
    write_text(path, page(f"What in {name} speaks for a caption", parts, footer, pictures=True))


def overlay(picture: Image.Image, evidence: np.ndarray) -> Image.Image:
    """The picture in grey under its evidence (S, S) from -1 (blue) to 1 (red)."""
    grey = np.asarray(picture.convert("L").convert("RGB"), dtype=float)
    colour = np.where(evidence[..., None] > 0, RED, BLUE)
    strength = 0.75 * np.abs(evidence).clip(0, 1)[..., None]
    return Image.fromarray(((1 - strength) * grey + strength * colour).astype(np.uint8))


def _figure(picture: Image.Image, caption: str) -> str:
    side = max(SHOWN_SIDE, picture.width)
    content = BytesIO()
    picture.resize((side, side), Image.Resampling.BICUBIC).save(content, "JPEG", quality=85)
    data = base64.b64encode(content.getvalue()).decode()
    image = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
