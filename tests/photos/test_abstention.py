"""Pictures without evidence of a place are separated from others."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from geoclip.photos.abstention import (
    NO_PLACE,
    PLACE,
    Abstention,
    AbstentionCheck,
    AbstentionSettings,
    drawn_page,
    drawn_road,
)
from geoclip.photos.decoding import read_photo
from tests.small_world import FakeEncoder, hashed_vector


def noisy(image: Image.Image, sigma: float = 4.0, seed: int = 0) -> Image.Image:
    """As a camera sees it: noise, and vignetting to one side."""
    values = np.asarray(image, np.float32)
    light = np.linspace(1, 0.8, image.width)[None, :, None]
    noise = np.random.default_rng(seed).normal(0, sigma, values.shape)
    return Image.fromarray((values * light + noise).clip(0, 255).astype(np.uint8))


def screenshot(dark: bool) -> Image.Image:
    """A telephone's screen: flat colours, text, a button."""
    screen = Image.new("RGB", (540, 960), (22, 24, 30) if dark else (250, 250, 252))
    pen = ImageDraw.Draw(screen)
    pen.rectangle((0, 0, 540, 60), fill=(30, 90, 200))
    for top in range(100, 800, 60):
        pen.text((30, top), "Your parcel will arrive at 10", fill="white" if dark else "black")
    pen.rounded_rectangle((60, 840, 480, 910), 20, fill=(40, 180, 90))
    return screen


def scenery(seed: int = 0) -> Image.Image:
    """Sky above rough ground."""
    random = np.random.default_rng(seed)
    pixels = random.normal(110, 40, (240, 320, 3))
    pixels[:110] = np.linspace((140, 180, 230), (220, 230, 240), 110)[:, None]
    pixels += random.normal(0, 2, pixels.shape)
    soft = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return soft.filter(ImageFilter.GaussianBlur(1))


def compressed(image: Image.Image, quality: int = 80) -> Image.Image:
    """The image after JPEG compression."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def shaded(levels: np.ndarray) -> Image.Image:
    """Levels (H, W) with a little blue."""
    return Image.fromarray(np.stack([levels - 6, levels, levels + 8], -1).astype(np.uint8))


def calm_sea(seed: int) -> Image.Image:
    """A pale sea under a pale sky, poles and a bird: dark on pale everywhere, as print is."""
    random = np.random.default_rng(seed)
    levels = np.linspace(215, 170, 360)[:, None] + random.normal(0, 1.5, (360, 480))
    sea = shaded(levels)
    pen = ImageDraw.Draw(sea)
    for x in range(20, 470, 20 + 10 * (seed % 3)):
        top = int(random.integers(10, 180))
        pen.rectangle((x, top, x + int(random.integers(2, 7)), 350), fill=(60, 58, 60))
    pen.ellipse((200, 60, 225, 75), fill=(40, 40, 45))
    return compressed(sea.filter(ImageFilter.GaussianBlur(0.6)))


def bare_trees(seed: int) -> Image.Image:
    """Branches on a white sky."""
    random = np.random.default_rng(seed)
    sky = Image.new("RGB", (480, 360), (228, 230, 234))
    pen = ImageDraw.Draw(sky)
    waiting = [(x, 358.0, np.pi / 2, 75.0, 8.0) for x in range(40, 460, 50)]
    while waiting:
        x, y, angle, length, width = waiting.pop()
        end = x + length * np.cos(angle), y - length * np.sin(angle)
        pen.line((x, y, *end), fill=(50, 46, 42), width=max(1, int(width)))
        if length > 6:
            for turn in random.normal(0, 0.6, int(random.integers(2, 4))):
                waiting.append((*end, angle + turn, 0.75 * length, 0.65 * width))
    return compressed(noisy(sky.filter(ImageFilter.GaussianBlur(0.7))))


def hazy_mountain(seed: int) -> Image.Image:
    """A ridge hardly darker than the sky: most neighbours are alike, as on a screen."""
    levels = np.linspace(200, 180, 480)[:, None].repeat(640, axis=1)
    ridge = 260 + 40 * np.sin(np.linspace(0, 6 + seed, 640))
    levels[np.arange(480)[:, None] > ridge] -= 22
    levels += np.random.default_rng(seed).normal(0, 0.6, levels.shape)
    return compressed(shaded(levels).filter(ImageFilter.GaussianBlur(2)), 30 + 25 * (seed % 3))


CHECK = AbstentionCheck()


def kind_of(image: Image.Image) -> str:
    return CHECK.reason(CHECK.of_picture(image))


@pytest.mark.parametrize("colour", ["black", "white", "gray", "navy", "red"])
def test_blank_pictures(colour: str) -> None:
    flat = Image.new("RGB", (300, 200), colour)
    assert CHECK.of_picture(flat).score > 0.9
    assert kind_of(flat) == kind_of(noisy(Image.new("RGB", (300, 200), "black"))) == "blank"


@pytest.mark.parametrize("side", [224, 500])
def test_pages(side: int) -> None:
    page = drawn_page(side)
    assert kind_of(noisy(page)) == "document"
    assert kind_of(noisy(page).rotate(4, fillcolor="white")) == "document"
    assert kind_of(page) in {"document", "screen"}


@pytest.mark.parametrize("dark", [False, True])
def test_screenshots(dark: bool) -> None:
    assert kind_of(screenshot(dark)) == "screen"


def test_scenes_and_their_borders() -> None:
    for seed in range(5):
        scene = scenery(seed)
        assert kind_of(scene) == ""
        framed = Image.new("RGB", (900, 800), "black")
        framed.paste(scene, (290, 280))
        assert kind_of(framed) == ""


@pytest.mark.parametrize("made", [calm_sea, bare_trees, hazy_mountain])
@pytest.mark.parametrize("seed", range(3))
def test_pale_outdoor_photos_are_no_pages_and_no_screens(
    made: Callable[[int], Image.Image], seed: int
) -> None:
    """Types of the two real photos among a thousand awkward ones that pixels alone refused."""
    assert kind_of(made(seed)) == ""


@pytest.mark.parametrize("size", [9, 12, 16, 24, 32])
@pytest.mark.parametrize(
    "seen", [noisy, compressed, lambda page: noisy(page).rotate(90, expand=True)]
)
def test_pages_of_all_sizes_of_print(size: int, seen: Callable[[Image.Image], Image.Image]) -> None:
    page = Image.new("RGB", (600, 800), (235, 230, 220))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    line = "Invoice 12,50 EUR total of this page and so on for the rest of the line and beyond it"
    for number, top in enumerate(range(40, 760, int(1.4 * size))):
        shifted = line[number % 9 :]
        while pen.textlength(shifted, font) > 520:
            shifted = shifted[:-1]
        pen.text((40, top), shifted, fill=(40, 40, 40), font=font)
    assert kind_of(seen(page)) == "document"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("quality", [50, 95])
def test_screenshots_that_were_compressed(dark: bool, quality: int) -> None:
    assert kind_of(compressed(screenshot(dark), quality)) == "screen"


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (30_000, 10), (33, 33), (65, 65)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    assert 0 <= CHECK.of_picture(Image.fromarray(noise)).score <= 1


def test_settings() -> None:
    page = noisy(drawn_page())
    off = AbstentionCheck(AbstentionSettings(level="off"))
    assert off.reason(off.of_picture(page)) == ""
    assert off.reason(Abstention(1.0, "blank")) == ""
    strict = AbstentionCheck(AbstentionSettings(threshold=0.99))
    assert strict.reason(Abstention(0.98, "document")) == ""
    assert strict.reason(strict.of_picture(Image.new("RGB", (64, 64)))) == "blank"
    findings = Abstention(0.4, "blank"), Abstention(0.8, "screen"), Abstention(0.6, "drawing")
    assert CHECK.reason(*findings) == "screen"
    assert CHECK.reason() == ""


class WordlyEncoder(FakeEncoder):
    """Prompts of a class share a direction; pictures of the probes lie at their class."""

    def __init__(self, pictures: dict[bytes, str]) -> None:
        super().__init__(scale=100.0)
        for name, prompts in (NO_PLACE | PLACE).items():
            for prompt in prompts:
                self.known[prompt] = hashed_vector(name.encode())
        self.pictures = pictures

    def encode_images(self, images: object) -> np.ndarray:
        assert isinstance(images, list)
        names = [self.pictures[image.tobytes()] for image in images]
        return np.array([hashed_vector(name.encode()) for name in names], np.float32)


def probes(black: str, page: str, road: str) -> dict[bytes, str]:
    pictures = Image.new("RGB", (224, 224)), drawn_page(), drawn_road()
    return {p.tobytes(): name for p, name in zip(pictures, (black, page, road), strict=True)}


def test_prompts_are_used_where_the_encoder_knows_the_words() -> None:
    check = AbstentionCheck.of(WordlyEncoder(probes("blank", "document", "street")))
    names = ["close-up", "landscape", "screen", "inside"]
    values = np.array([hashed_vector(name.encode()) for name in names])
    findings = check.of_embeddings(values)
    assert [check.reason(finding) for finding in findings] == ["close-up", "", "screen", ""]
    assert all(0 <= finding.score <= 1 for finding in findings)
    assert check.of_embeddings(values[:0]) == []
    assert check.of_embeddings(np.empty((0, 0))) == []  # without embeddings the width is unknown


@pytest.mark.parametrize(
    "seen", [("street", "document", "street"), ("blank", "blank", "street"),
             ("blank", "document", "close-up")],
)  # fmt: skip
def test_an_encoder_that_mistakes_the_probes_is_not_asked(seen: tuple[str, str, str]) -> None:
    check = AbstentionCheck.of(WordlyEncoder(probes(*seen)))
    assert check.of_embeddings(np.ones((2, 16))) == [Abstention(0.0, "")] * 2


def test_prompts_only_where_they_are_wanted() -> None:
    encoder = WordlyEncoder(probes("blank", "document", "street"))
    assert AbstentionCheck.of(encoder, AbstentionSettings("pixels")).prototypes is None
    assert encoder.encoded == []
    assert AbstentionCheck.of(FakeEncoder()).prototypes is None


def test_odds_at_the_limit() -> None:
    """Nine to one against evidence is the limit, whatever the number of classes."""
    check = AbstentionCheck(None, np.array([[1.0, 0], [0, 1.0]]), ("blank", ""), scale=1.0)
    gap = np.log(9.0)
    (finding,) = check.of_embeddings(np.array([[gap, 0.0]]))
    assert finding.score == pytest.approx(0.5)
    assert finding.kind == "blank"


def test_photos_of_places_are_seldom_refused(shared_data: Path) -> None:
    with (shared_data / "photos.csv").open(encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file)][::25]
    refused = [p for p in paths if kind_of(read_photo(shared_data / p, short_side=224))]
    assert len(paths) > 150
    assert len(refused) < 0.02 * len(paths), refused
