"""Whether a photo shows a place: documents, screens and blank pictures do not.

There are two tests; one is enough. Pixel statistics find blank pictures, pages of text and
screenshots, whatever the encoder. Prompts find these and close-ups too, zero-shot, for encoders
that know the words; drawn probes detect encoders that know place names alone.

Every check gives a score from 0 to 1, with 0.5 at its own limit, so that one threshold serves all
checks.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageDraw

from geoclip.photos.drawn_marks import INK, edge_share, lettered, untextured_share

if TYPE_CHECKING:
    from geoclip.encoders import Encoder

MIN_CONTRAST = 16.0  # grey levels between the 1st and 99th percentile; fog keeps about 30
MIN_WHITE = 28.0  # the 99th percentile of a lens cap; a street at night has lamps
PAGE_SHARE = 0.60  # blocks that look like print; facades and snow reach 0.53
FLAT_SHARE = 0.72  # neighbours of equal colour; clipped skies reach 0.71
EDGE_SHARE = 0.08  # neighbours that differ much, of those that differ; screens have 0.18 and more
UNTEXTURED_SHARE = 0.85  # blocks; ground below a clipped sky has a texture
PROMPT_ODDS = 9.0  # odds of no evidence: nine to one
_SIDE = 512
_BLOCKS = 8

NO_PLACE = {
    "document": ("a scanned document", "a page of printed text", "a photo of a receipt"),
    "screen": ("a screenshot of a phone", "a screenshot of a web page", "a photo of a screen"),
    "blank": ("a plain black picture", "a plain white picture", "a blurred picture of nothing"),
    "close-up": (
        "a close-up of an object indoors",
        "a close-up of a plate of food",
        "a product on a plain background",
        "a close-up of a face",
    ),
    "drawing": ("a logo", "a diagram", "a chart"),
}
PLACE = {
    "street": ("a photo of a street", "a road seen from a car", "a Street View photo"),
    "landscape": ("a photo of a landscape", "mountains and fields", "a forest", "a beach"),
    "buildings": ("a photo of a building", "a city skyline", "houses in a village"),
    "outdoors": ("people outdoors", "a photo taken on a journey", "a view from a window"),
    "inside": ("the inside of a church", "the inside of a station", "a market hall"),
}


@dataclass(frozen=True)
class AbstentionSettings:
    """When a photo is reported as "no evidence" and not guessed.

    `level` is the extent of the checks: "off" none, "pixels" pixel statistics, "prompts" also the
    prompts if the encoder knows the words. A score of at least `threshold` is no evidence: 0.5 is
    each check's own limit, a higher one abstains less.
    """

    level: Literal["off", "pixels", "prompts"] = "prompts"
    threshold: float = 0.5


@dataclass(frozen=True)
class Abstention:
    """How surely a picture shows no place, 0 to 1, and what it shows instead."""

    score: float
    kind: str


class AbstentionCheck:
    """Decides on abstention: which photos carry no evidence of a place.

    `prototypes` (C, d), unit length, and `kinds` (C,) are the prompts' means by class, "" for
    classes of places; `scale` is the encoder's logit scale. Without them only pixels are checked.
    """

    def __init__(
        self,
        settings: AbstentionSettings | None = None,
        prototypes: np.ndarray | None = None,
        kinds: tuple[str, ...] = (),
        scale: float = 100.0,
    ) -> None:
        self.settings = settings or AbstentionSettings()
        self.prototypes = prototypes
        self.kinds = kinds
        self.scale = scale

    @classmethod
    def of(
        cls, encoder: "Encoder", settings: AbstentionSettings | None = None
    ) -> "AbstentionCheck":
        """The check for an encoder; with prompts if the settings ask and it knows the words."""
        plain = cls(settings)
        if plain.settings.level != "prompts":
            return plain
        classes = [*NO_PLACE.values(), *PLACE.values()]
        means = np.stack([encoder.encode_texts(prompts).mean(axis=0) for prompts in classes])
        prototypes = means / np.linalg.norm(means, axis=1, keepdims=True)
        kinds = (*NO_PLACE, *("" for _ in PLACE))
        scale = float(encoder.log_logit_scale.detach().exp())
        full = cls(settings, prototypes, kinds, scale)
        return full if full._knows_the_words(encoder) else plain

    def of_picture(self, image: Image.Image) -> Abstention:
        """Judge an upright RGB image by its pixels: "blank", "document" or "screen".

        Takes about 2 ms; safe to call from several threads. `reason` draws the conclusion.
        """
        return max(
            Abstention(blank_score(image), "blank"),
            Abstention(page_score(image), "document"),
            Abstention(screen_score(image), "screen"),
            key=lambda finding: finding.score,
        )

    def of_embeddings(self, values: np.ndarray) -> list[Abstention]:
        """Judge image embeddings (N, d), unit length, by the prompts; score 0 without prompts."""
        if self.prototypes is None or not len(values):
            return [Abstention(0.0, "")] * len(values)
        logits = self.scale * values @ self.prototypes.T
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        is_kind = np.array([kind != "" for kind in self.kinds])
        none, place = weights[:, is_kind].sum(axis=1), weights[:, ~is_kind].sum(axis=1)
        scores = none / (none + PROMPT_ODDS * place)
        best = np.where(is_kind, weights, -1.0).argmax(axis=1)
        return [Abstention(float(s), self.kinds[b]) for s, b in zip(scores, best, strict=True)]

    def reason(self, *findings: Abstention) -> str:
        """The kind of the surest finding at or over the threshold; "" where there is evidence."""
        if self.settings.level == "off" or not findings:
            return ""
        surest = max(findings, key=lambda finding: finding.score)
        return surest.kind if surest.score >= self.settings.threshold else ""

    def _knows_the_words(self, encoder: "Encoder") -> bool:
        """Whether a black picture is blank, print a document and a drawn road none of these."""
        probes = [Image.new("RGB", (224, 224)), drawn_page(), drawn_road()]
        black, page, road = self.of_embeddings(encoder.encode_images(probes))
        named = (black.kind, page.kind) == ("blank", "document")
        return named and min(black.score, page.score) > 0.5 > road.score


PIXEL_CHECK = AbstentionCheck(AbstentionSettings("pixels"))


def blank_score(image: Image.Image) -> float:
    """1 for one colour, 0.5 at the least contrast or light of a photo of a place."""
    grey = np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BOX), np.float32)
    black, white = np.percentile(grey, (1, 99))
    contrast = float(white - black)
    if float(white) < MIN_WHITE:
        contrast = min(contrast, MIN_CONTRAST * float(white) / MIN_WHITE)
    return MIN_CONTRAST / (MIN_CONTRAST + contrast)


def page_score(image: Image.Image) -> float:
    """Share of blocks that look like print, as a score.

    A block of print is mostly one pale, colourless tone, which may vary from block to block as
    light falls off over a photographed page, plus a few much darker pixels. If most blocks are of
    this kind, those with strokes of letters count.
    """
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    if min(small.size) < 4 * _BLOCKS:
        return 0.0
    printed, pale = _are_print(_block_histograms(small))
    if printed.mean() >= PAGE_SHARE:
        grey = np.asarray(small.convert("L")).astype(np.int16)
        printed = printed & lettered(grey, pale.reshape(_BLOCKS, _BLOCKS)).ravel()
    return _score(float(printed.mean()), PAGE_SHARE)


def _block_histograms(image: Image.Image) -> np.ndarray:
    """Pixels of each block by grey level: (blocks, colourful or not, 256)."""
    red, green, blue = (np.asarray(channel) for channel in image.split())
    highest = np.maximum(np.maximum(red, green), blue)
    colour = highest - np.minimum(np.minimum(red, green), blue)
    level = (colour < 50) * np.uint16(256) + np.asarray(image.convert("L"))
    bins = _first_bins(*level.shape) + level
    return np.bincount(bins.ravel(), minlength=_BLOCKS**2 * 512).reshape(_BLOCKS**2, 2, 256)


@lru_cache(maxsize=8)
def _first_bins(height: int, width: int) -> np.ndarray:
    """The start of the 512 bins of each pixel's block; photos of a folder have few sizes."""
    rows, columns = (np.arange(side) * _BLOCKS // side for side in (height, width))
    return (rows[:, None] * _BLOCKS + columns) * 512


def _are_print(histograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mask of blocks with dark marks on pale colourless paper, and the paper's level."""
    colourless = histograms[:, 1].cumsum(axis=1)
    below = histograms.sum(axis=1).cumsum(axis=1)  # (blocks, 256), the level itself included
    size = below[:, -1]
    pale = (below < 0.9 * size[:, None]).sum(axis=1)

    def share_below(counts: np.ndarray, levels: np.ndarray) -> np.ndarray:
        at = np.maximum(levels - 1, 0)[:, None]
        share: np.ndarray = np.take_along_axis(counts, at, axis=1)[:, 0] / size
        return share

    ink, paper = share_below(below, pale - INK), 1 - share_below(below, pale - 20)
    plain = colourless[:, -1] / size - share_below(colourless, pale - 20)
    printed: np.ndarray = (pale > 140) & (plain > paper / 2) & (paper > 0.5)
    return printed & (ink > 0.01) & (ink < 0.45), pale


def screen_score(image: Image.Image) -> float:
    """Share of neighbouring pixels of exactly one colour, as a score.

    Sensors and JPEG leave noise everywhere; computer graphics are flat. Added borders around a
    photo are ignored. Where most is flat, as in compressed haze and skies, strong edges and a lack
    of texture mark a screen.
    """
    colours = np.asarray(image.convert("RGB"))
    pixels = np.asarray(image.convert("RGB").convert("RGBA")).view(np.uint32)[..., 0]
    across = _without_borders(_changes(pixels))
    down = _without_borders(_changes(pixels.T))
    if min(across.size, down.size) < 64 * 64:
        return 0.0
    changing = sum(np.count_nonzero(lines) / lines.size for lines in (across, down))
    flat = _score(1 - changing / 2, FLAT_SHARE)
    if flat < 0.5:
        return flat
    edges = _score(edge_share(colours), EDGE_SHARE)
    return min(flat, edges, _score(untextured_share(colours), UNTEXTURED_SHARE))


def _changes(lines: np.ndarray, most: int = 256) -> np.ndarray:
    """Whether colour changes between pixels along lines (m, n); reads at most about `most`."""
    sample = lines[:: max(1, len(lines) // most)]
    changing: np.ndarray = sample[:, 1:] != sample[:, :-1]
    return changing


def _without_borders(changes: np.ndarray) -> np.ndarray:
    """Cut away lines and columns at the edges without any change."""
    for _ in range(2):
        changing = np.flatnonzero(changes.any(axis=1))
        if not len(changing):
            return changes[:0]
        changes = changes[changing[0] : changing[-1] + 1].T
    return changes


def _score(value: float, limit: float) -> float:
    """0 at 0, 0.5 at the limit and 1 at 1."""
    if value <= limit:
        return 0.5 * value / limit
    return 0.5 + 0.5 * (value - limit) / (1 - limit)


def drawn_page(side: int = 224) -> Image.Image:
    """Lines of print on white."""
    page = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(page)
    words = "This is a page of printed text, as in a book or in a letter. " * (side // 100)
    for top in range(12, side - 12, 14):
        pen.text((12, top), words[top % 7 :], fill="black")
    pen.rectangle((side - 12, 0, side, side), fill="white")
    return page


def drawn_road() -> Image.Image:
    """A road between meadows under a blue sky."""
    side = 224
    picture = Image.new("RGB", (side, side), (120, 170, 225))
    pen = ImageDraw.Draw(picture)
    middle = side // 2
    pen.polygon([(0, middle), (side // 4, side // 3), (middle, middle)], fill=(110, 120, 130))
    pen.rectangle((0, middle, side, side), fill=(80, 135, 60))
    pen.polygon([(middle, middle), (side // 5, side), (side - side // 5, side)], fill="dimgray")
    pen.line([(middle, middle), (middle, side)], fill="white", width=3)
    return picture
