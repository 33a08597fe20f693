"""Augmentation: seeded, within its bounds, mirrored only where that is asked for."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geoclip.training.augment import AUGMENTATION, Augmentation, augment, random_box, to_pixels


def gradient_image(width=60, height=40):
    """Red grows to the right, green downwards."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, np.full_like(x, 90)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


@given(
    st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**32), st.sampled_from([0.1, 0.5, 1])
)
def test_boxes_lie_inside_the_image_and_keep_enough_of_it(width, height, seed, least):
    rng = np.random.default_rng(seed)
    left, upper, right, lower = random_box((width, height), rng, (least, 1.0))
    assert 0 <= left < right <= width * (1 + 1e-9)
    assert 0 <= upper < lower <= height * (1 + 1e-9)
    if 3 / 4 <= width / height <= 4 / 3:
        assert (right - left) * (lower - upper) >= 0.9 * least * 0.75 * width * height


def test_the_same_generator_gives_the_same_image_and_another_another():
    image = gradient_image()
    first, again, other = (
        np.asarray(augment(image, 32, np.random.default_rng(seed))) for seed in (7, 7, 8)
    )
    assert first.shape == (32, 32, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_by_default_never_mirrored():
    image = gradient_image()
    for seed in range(60):
        pixels = np.asarray(augment(image, 24, np.random.default_rng(seed))).astype(float)
        red, green = pixels[..., 0], pixels[..., 1]
        assert red[:, -6:].mean() > red[:, :6].mean()
        assert green[-6:].mean() > green[:6].mean()


def test_every_second_photo_is_mirrored_where_that_is_asked_for():
    image, change = gradient_image(), Augmentation(mirror=True)
    mirrored = 0
    for seed in range(60):
        changed, plain = (
            np.asarray(augment(image, 24, np.random.default_rng(seed), c))
            for c in (change, AUGMENTATION)
        )
        mirrored += not np.array_equal(changed, plain)
        assert np.array_equal(changed, plain) or np.array_equal(changed, plain[:, ::-1])
    assert 15 < mirrored < 45


def test_without_crop_and_colour_a_photo_of_the_right_shape_is_only_scaled():
    image = gradient_image(40, 40)
    for seed in range(20):
        kept = augment(image, 40, np.random.default_rng(seed), Augmentation((1.0, 1.0), 0.0))
        box = random_box((40, 40), np.random.default_rng(seed), (1.0, 1.0))
        expected = image.resize((40, 40), Image.Resampling.BICUBIC, box=box)
        assert np.array_equal(np.asarray(kept), np.asarray(expected))


def test_colours_vary_as_far_as_they_may():
    image = Image.new("RGB", (20, 20), (100, 100, 100))
    for colour in (0.1, 0.5):
        change = Augmentation((1.0, 1.0), colour)
        values = [
            np.asarray(augment(image, 8, np.random.default_rng(seed), change)).mean()
            for seed in range(80)
        ]
        # Of one grey, contrast and saturation change nothing.
        assert 100 * (1 - colour) - 1 <= min(values) < 100 * (1 - 0.8 * colour)
        assert 100 * (1 + 0.8 * colour) < max(values) <= 100 * (1 + colour) + 1


def test_the_original_stays_as_it_was():
    image = gradient_image()
    before = image.tobytes()
    augment(image, 16, np.random.default_rng(0))
    assert image.tobytes() == before


def test_pixels_are_normalised_channel_by_channel():
    image = Image.new("RGB", (4, 4), (255, 0, 51))
    pixels = to_pixels(image, ((0.5, 0.25, 0.2), (0.5, 0.25, 0.1)))
    assert pixels.shape == (3, 4, 4) and pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[:, 0, 0], torch.tensor([1.0, -1.0, 0.0]), atol=1e-6, rtol=0)
