"""Auxiliary losses, which a run adds to the contrastive loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from geoclip.encoders import Encoder


@dataclass(frozen=True)
class GlobalFeatures:
    """The features of the global batch of N photos and C captions, known to every worker.

    `images` (N, d) and `texts` (C, d) are unit vectors with a gradient, as from the towers
    (bfloat16 in mixed precision). `readable` (N,) is False for an unreadable photo, and `rows` (N,)
    are the gazetteer rows of the photos' places. `logit_scale` is the multiplier itself.
    `images_by` gives the photos' features (N, d) by another encoder, without a gradient, and
    `pictures` the photos' pixels averaged down to (N, 3, side, side); all workers must call them.
    """

    images: Tensor
    texts: Tensor
    readable: Tensor
    rows: np.ndarray
    logit_scale: Tensor
    images_by: Callable[[Encoder], Tensor]
    pictures: Callable[[int], Tensor]


class AuxiliaryLoss(Protocol):
    """A term of the loss: `weight` times a scalar that is reported under `name`.

    All workers compute the same value from the same global features.
    """

    @property
    def name(self) -> str:
        """The column of losses.csv."""

    @property
    def weight(self) -> float:
        """Factor beside the contrastive loss."""

    def value(self, features: GlobalFeatures) -> Tensor:
        """The scalar before weighting, a mean over the readable photos, 0 without any."""


@dataclass(frozen=True)
class Distillation:
    """Feature distillation: image embeddings stay near those of a teacher, a frozen encoder."""

    teacher: Encoder
    weight: float
    name: str = "distillation"

    def value(self, features: GlobalFeatures) -> Tensor:
        """Mean cosine distance between the photos' features and the teacher's."""
        # In bfloat16 a cosine near 1 has no digits left.
        ours = at_least_float32(features.images)
        theirs = at_least_float32(features.images_by(self.teacher))
        distances = (1 - cosine_similarity(ours, theirs))[features.readable]
        return distances.sum() / max(len(distances), 1)


@dataclass(frozen=True)
class Reconstruction:
    """A small picture of each photo is predicted from its embedding.

    The decoder is the ridge regression from the embeddings of all other photos of the batch to
    their pictures, which has a closed form: only the encoder learns, and remembering a photo does
    not help. PubMedCLIP has a similar term in its denoising autoencoder (Eslami et al. 2023); this
    one needs no decoder's weights.
    """

    weight: float
    side: int = 8
    ridge: float = 0.1
    name: str = "reconstruction"

    def value(self, features: GlobalFeatures) -> Tensor:
        """Unexplained share of the pictures' variance: 1 for uninformative embeddings.

        0 without two readable photos.
        """
        wanted = features.pictures(self.side).flatten(1)[features.readable]
        given = at_least_float32(features.images)[features.readable]
        if len(given) < 2:
            return given.sum() * 0
        wanted = (wanted - wanted.mean(dim=0)).to(given.dtype)
        given = given - given.mean(dim=0)
        # A share of the embeddings' own variance, so that their scale does not matter.
        size = self.ridge * given.square().sum() / given.shape[1] + torch.finfo(given.dtype).tiny
        gram = given.T @ given + size * torch.eye(given.shape[1]).to(given)
        half = torch.linalg.solve(gram, given.T)
        # A photo's own contribution to its fit; the shared mean adds 1 / n.
        own = (given * half.T).sum(dim=1) + 1 / len(given)
        left = (wanted - given @ (half @ wanted)) / (1 - own)[:, None]
        variance = wanted.square().sum().clamp(min=torch.finfo(wanted.dtype).tiny)
        untold: Tensor = left.square().sum() / variance
        return untold


def at_least_float32(features: Tensor) -> Tensor:
    """Widen features: logits in bfloat16 would lose most differences between captions."""
    return features.to(torch.promote_types(features.dtype, torch.float32))
