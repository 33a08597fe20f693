"""Evidence maps: which parts of a picture speak for a caption, and which against it.

The evidence for a caption is its logit minus the other captions' mean logit; with one caption it is
the logit alone. Occlusion (Zeiler and Fergus 2014, arXiv 1311.2901) hides a part and measures how
much evidence is lost; FashionCLIP was examined in this way (Chia et al. 2022, arXiv 2204.03972).
Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) sum the gradient on the path from
a plain picture to this one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from geoclip.encoders.encoder import Encoder
from geoclip.errors import GeoclipError

METHODS = ("occlusion", "gradient")
BATCH = 32
WINDOW, STEPS_A_WINDOW = 0.25, 3
"""Side of the hidden window, as a share of the picture's, and steps within one window's side."""
PATH = 24
"""Pictures on the path from the plain one."""
SMOOTHING = 1 / 8
"""Side of the square over which gradients are averaged, as a share of the picture's."""


def evidence_maps(
    encoder: Encoder, image: Image.Image, captions: Sequence[str], method: str = "occlusion"
) -> np.ndarray:
    """Evidence (T, S, S) for T captions in each pixel of an RGB image as the encoder sees it.

    S is `encoder.image_size`; `seen_picture` shows the same pixels. Above 0 a pixel speaks for
    the caption, below 0 against it. For "occlusion" the unit is logits lost with a window around
    the pixel; for "gradient", logits per pixel, which sum to about the evidence minus that of a
    plain picture. Raises GeoclipError without a caption and for another method.

    >>> from geoclip import load_encoder
    >>> encoder = load_encoder("street-tiny", for_photos=True)
    >>> evidence_maps(encoder, Image.new("RGB", (64, 64)), ["snow", "sand"], "gradient").shape
    (2, 256, 256)
    """
    if not captions or method not in METHODS:
        raise GeoclipError(
            f"Evidence maps need a caption and a method of {', '.join(METHODS)}; {len(captions)} "
            f"captions and {method!r} were given."
        )
    encoder.model.eval()
    pixels = encoder.preprocess(image).to(encoder.device)
    directions = _directions(encoder, captions)
    maps = _occlusion if method == "occlusion" else _integrated_gradients
    values: np.ndarray = maps(encoder, pixels, directions).float().cpu().numpy()
    return values


def caption_logits(encoder: Encoder, image: Image.Image, captions: Sequence[str]) -> np.ndarray:
    """Logits (T,) of captions for an RGB image."""
    scale = float(encoder.log_logit_scale.detach().exp())
    logits: np.ndarray = scale * encoder.encode_texts(captions) @ encoder.encode_images([image])[0]
    return logits


def seen_picture(encoder: Encoder, image: Image.Image) -> Image.Image:
    """The S × S pixels that the encoder sees of an image, as a picture."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in encoder.normalization)
    values = (encoder.preprocess(image).float() * std + mean).clamp(0, 1) * 255
    return Image.fromarray(values.round().byte().permute(1, 2, 0).numpy())


def strongest(evidence: np.ndarray) -> tuple[int, int]:
    """The pixel (row, column) of a map (S, S) that speaks most for its caption.

    Of several alike, as occlusion leaves them, it is the one in their middle.
    """
    pixels = np.argwhere(np.isclose(evidence, evidence.max(), rtol=1e-5, atol=0))
    row, column = pixels[np.square(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()]
    return int(row), int(column)


def _directions(encoder: Encoder, captions: Sequence[str]) -> Tensor:
    """For each caption the vector (d,) whose product with an image embedding is its evidence."""
    texts = torch.from_numpy(encoder.encode_texts(captions)).to(encoder.device)
    if len(texts) > 1:
        texts = (len(texts) * texts - texts.sum(dim=0)) / (len(texts) - 1)
    return encoder.log_logit_scale.detach().exp() * texts


@torch.no_grad()
def _occlusion(encoder: Encoder, pixels: Tensor, directions: Tensor) -> Tensor:
    """Lost evidence (T, S, S), the mean over the windows that hide a pixel."""
    side = pixels.shape[-1]
    window = max(1, round(WINDOW * side))
    count = STEPS_A_WINDOW * round(1 / WINDOW)
    # Windows reach beyond the edges, so that a corner is hidden as often as the middle.
    starts = torch.linspace(-window / 2, side - window / 2, count + 1).round().int().tolist()
    corners = [(top, left) for top in starts for left in starts]
    plain = pixels.mean(dim=(1, 2))
    whole = encoder.image_features(pixels[None]) @ directions.T
    lost = torch.zeros(len(directions), side, side, device=pixels.device)
    times = torch.zeros(side, side, device=pixels.device)
    for first in range(0, len(corners), BATCH):
        some = [_square(corner, window) for corner in corners[first : first + BATCH]]
        hidden = pixels.repeat(len(some), 1, 1, 1)
        for picture, square in zip(hidden, some, strict=True):
            picture[:, *square] = plain[:, None, None]
        drops = whole - encoder.image_features(hidden) @ directions.T
        for drop, square in zip(drops, some, strict=True):
            lost[:, *square] += drop[:, None, None]
            times[square] += 1
    return lost / times


def _square(corner: tuple[int, int], window: int) -> tuple[slice, slice]:
    top, left = corner
    return slice(max(0, top), top + window), slice(max(0, left), left + window)


def _integrated_gradients(encoder: Encoder, pixels: Tensor, directions: Tensor) -> Tensor:
    """Attributions (T, S, S), smoothed."""
    plain = pixels.mean(dim=(1, 2), keepdim=True).expand_as(pixels)
    sums = torch.zeros(len(directions), *pixels.shape, device=pixels.device)
    shares = (torch.arange(PATH, device=pixels.device) + 0.5) / PATH
    for share in torch.split(shares, BATCH // 4):
        on_the_way = plain + share.view(-1, 1, 1, 1) * (pixels - plain)
        on_the_way.requires_grad_()
        evidence = (encoder.image_features(on_the_way) @ directions.T).sum(dim=0)
        for number, one in enumerate(evidence):
            (gradient,) = torch.autograd.grad(one, on_the_way, retain_graph=True)
            sums[number] += gradient.sum(dim=0)
    maps = (sums / PATH * (pixels - plain)).sum(dim=1, keepdim=True)
    width = 2 * round(SMOOTHING * pixels.shape[-1] / 2) + 1
    for _ in range(2):  # twice, so that the smoothing kernel has one peak
        maps = F.avg_pool2d(maps, width, stride=1, padding=width // 2)
    return maps[:, 0]
