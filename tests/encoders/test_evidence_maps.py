"""Evidence maps against a loop, against exact sums, and on scenes with known answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import clip_encoder, timm_encoder
from torch import Tensor, nn

from geoclip.encoders import Encoder
from geoclip.encoders.evidence_maps import (
    METHODS,
    caption_logits,
    evidence_maps,
    seen_picture,
    strongest,
)
from geoclip.errors import GeoclipError
from pipelines.planet.climate import Climate
from pipelines.planet.facts import CountryFacts
from pipelines.planet.traits import NAMES, SceneTraits
from pipelines.planet.twins import draw_twins

CAPTIONS = ["a photo of Lyon", "a photo of Paris", "a town"]
MILD = Climate(temperature=16.0, aridity=0.2, hilliness=0.3, sun=0.7)


def picture(seed: int = 0, side: int = 32) -> Image.Image:
    base = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(base).resize((side, side), Image.Resampling.BICUBIC)


class PaintSeer(Encoder):
    """Sees how much of a picture is orange paint, and nothing else; 64 pixels."""

    def __init__(self) -> None:
        model = nn.Module()
        model.logit_scale = nn.Parameter(torch.tensor(100.0).log())
        super().__init__("paint", model, self._pixels, 64)

    @staticmethod
    def _pixels(image: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        return (0, 0, 0), (1, 1, 1)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([["orange" in text] for text in texts])

    def raw_text_features(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens.float(), 1 - tokens.float()], dim=1)

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        red, green, blue = pixels.unbind(dim=1)
        orange = (torch.minimum(red, green) - blue - 0.24).relu().mean(dim=(1, 2))
        return torch.stack([orange, torch.full_like(orange, 0.01)], dim=1)

    def tower_parameters(self, tower: str) -> list[nn.Parameter]:
        return []

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError


PLAIN = {"centre_line": "white", "edge_line": "none", "script": "latin", "plate": "white"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("fact", "value", "least"),
    [("script", "devanagari", 0.7), ("plate", "yellow", 0.5), ("centre_line", "yellow", 0.7)],
)
def test_maps_point_at_the_object_that_decides(
    fact: str, value: str, least: float, method: str
) -> None:
    """Pointing game: the strongest pixel lies in the box of the object, at least twice as often.

    A plate is much smaller than occlusion's window.
    """
    facts = CountryFacts("XX", **{**PLAIN, fact: value})
    encoder, hits, shares = PaintSeer(), [], []
    for view in range(16):
        style = dict.fromkeys(NAMES, 0.0)
        traits = SceneTraits(facts, MILD, style)
        twins = draw_twins(traits, ("pointing", view), **{fact: PLAIN[fact]})
        if twins.box is None:
            continue
        maps = evidence_maps(encoder, twins.scene, ["an orange board", "none"], method)
        hits.append(twins.hits(*strongest(maps[0])))
        shares.append(twins.share)
        assert maps[0] == pytest.approx(
            -maps[1], abs=1e-4
        )  # evidence for one is evidence against the other
    assert len(hits) >= 8
    assert np.mean(hits) >= 2 * np.mean(shares)
    assert np.mean(hits) >= least


def test_of_pixels_alike_the_one_in_the_middle_is_the_strongest() -> None:
    evidence = np.zeros((9, 9))
    evidence[2:5, 3:8] = 1.0
    assert strongest(evidence) == (3, 5)
    evidence[8, 0] = 1.01
    assert strongest(evidence) == (8, 0)


def test_twins_differ_in_the_box_alone() -> None:
    traits = SceneTraits(CountryFacts("XX"), MILD, dict.fromkeys(NAMES, 0.0))
    twins = draw_twins(traits, ("twins", 1), 64, script="arabic")
    assert twins.box is not None and 0.01 < twins.share < 0.2
    left, top, right, bottom = twins.box
    change = np.abs(np.asarray(twins.scene).astype(int) - np.asarray(twins.twin)).max(axis=2)
    outside = change.copy()
    outside[top:bottom, left:right] = 0
    assert outside.max() <= 24 < change[top:bottom, left:right].max()
    assert twins.hits(top, left) and not twins.hits(bottom, left)
    same = draw_twins(traits, ("twins", 1), 64)
    assert same.box is None and same.share == 0 and not same.hits(top, left)


def test_occlusion_is_that_of_a_slow_loop() -> None:
    encoder, image = clip_encoder(), picture()
    encoder.model.eval()
    side, window = 32, 8
    texts = torch.from_numpy(encoder.encode_texts(CAPTIONS))
    pixels = encoder.preprocess(image)
    plain = pixels.mean(dim=(1, 2))

    def evidence(one: Tensor) -> np.ndarray:
        with torch.no_grad():
            logits = encoder.log_logit_scale.exp() * texts @ encoder.image_features(one[None])[0]
        return np.array([float(logits[i] - np.delete(logits, i).mean()) for i in range(3)])

    lost, times = np.zeros((3, side, side)), np.zeros((side, side))
    starts = np.linspace(-4, side - 4, 13).round().astype(int)
    for top in starts:
        for left in starts:
            hidden = pixels.clone()
            for row in range(max(0, top), min(side, top + window)):
                for column in range(max(0, left), min(side, left + window)):
                    hidden[:, row, column] = plain
            rows, columns = slice(max(0, top), top + window), slice(max(0, left), left + window)
            lost[:, rows, columns] += (evidence(pixels) - evidence(hidden))[:, None, None]
            times[rows, columns] += 1
    expected = lost / times
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(evidence_maps(encoder, image, CAPTIONS), expected, atol=2e-4)


@pytest.mark.parametrize("make", [clip_encoder, timm_encoder])
def test_integrated_gradients_sum_to_the_evidence(make) -> None:
    """Completeness (Sundararajan et al. 2017); smoothing loses a little at the edges."""
    encoder, image = make(), picture(1)
    plain = Image.new("RGB", image.size, tuple(np.asarray(image).mean(axis=(0, 1)).astype(int)))
    logits = [caption_logits(encoder, one, CAPTIONS) for one in (image, plain)]
    margins = [one - (one.sum() - one) / 2 for one in logits]
    sums = evidence_maps(encoder, image, CAPTIONS, "gradient").sum(axis=(1, 2))
    assert np.abs(margins[0] - margins[1]).max() > 1e-3
    np.testing.assert_allclose(sums, margins[0] - margins[1], rtol=0.35, atol=0.02)


def test_one_caption_alone_is_its_logit() -> None:
    encoder, image = clip_encoder(), picture()
    both = evidence_maps(encoder, image, CAPTIONS[:2])
    alone = [evidence_maps(encoder, image, [caption])[0] for caption in CAPTIONS[:2]]
    np.testing.assert_allclose(both[0], alone[0] - alone[1], atol=1e-4)


def test_what_is_seen_is_the_middle_of_a_photo() -> None:
    encoder, image = clip_encoder(), picture(2, 32)
    wide = Image.new("RGB", (96, 32))
    wide.paste(image, (32, 0))
    seen = seen_picture(encoder, wide)
    assert seen.size == (32, 32)
    assert np.abs(np.asarray(seen).astype(int) - np.asarray(image)).max() <= 1


def test_bad_arguments_are_refused() -> None:
    encoder, image = clip_encoder(), picture()
    for captions, method in (([], "occlusion"), (CAPTIONS, "saliency")):
        with pytest.raises(GeoclipError, match="need a caption and a method of occlusion"):
            evidence_maps(encoder, image, captions, method)
