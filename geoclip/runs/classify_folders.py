"""Compare models on folders of classes: by prompts, and by photos of known class.

TTI-Eval (Encord 2024) compares CLIPs on one's own data by these four: zero-shot by prompts, a
weighted vote of the nearest training photos, a linear probe on the embeddings, and image retrieval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.evaluation.class_folders import ClassFolders, class_figures, retrieval_figures
from geoclip.photos.embedding import embed_named

NEIGHBOURS = 5
PENALTY = 1e-3
"""Weight of the linear probe's squared weights, beside the mean cross entropy."""


@dataclass(frozen=True)
class Classified:
    """Figures of a model by method, see `classify_folders`; reasons of the photos not read."""

    methods: dict[str, dict[str, Any]]
    unread: dict[str, str]


def classify_folders(
    encoder: Encoder,
    photos: ClassFolders,
    prompts: Sequence[Sequence[str]],
    train: ClassFolders | None = None,
) -> Classified:
    """Classify photos by the mean embedding of each class's `prompts`, and by `train` photos.

    The methods are "zero-shot" and, with `train`, "nearest", "linear probe" and "image retrieval",
    which classifies nothing: see `retrieval_figures`. Unreadable photos do not enter the figures.
    Raises GeoclipError where none is readable.
    """
    texts = zero_shot_weights(encoder, prompts)
    images, labels, unread = _embedded(encoder, photos, texts.shape[1])
    scores, retrieved = {"zero-shot": images @ texts.T}, {}
    if train is not None:
        known, classes, more = _embedded(encoder, train, texts.shape[1])
        unread |= more
        scores["nearest"] = nearest_votes(images, known, classes, len(photos.names))
        scores["linear probe"] = linear_probe(images, known, classes, len(photos.names))
        found = retrieval_figures(images @ known.T, labels, classes, photos.names)
        retrieved = {"image retrieval": found}
    figures = {name: class_figures(s, labels, photos.names) for name, s in scores.items()}
    return Classified(figures | retrieved, unread)


def zero_shot_weights(encoder: Encoder, prompts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """Unit vectors (C, d): the mean embedding of each class's prompts."""
    embedded = encoder.encode_texts([text for own in prompts for text in own])
    ends = np.cumsum([len(own) for own in prompts])[:-1]
    means = np.stack([part.mean(axis=0) for part in np.split(embedded, ends)])
    weights: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return weights


def nearest_votes(
    images: NDArray[np.float32],
    known: NDArray[np.float32],
    classes: NDArray[np.int64],
    count: int,
) -> NDArray[np.float64]:
    """Votes (N, C) of the `NEIGHBOURS` nearest known photos, weighed by exp(cosine / 0.07).

    As in instance discrimination (Wu et al. 2018, arXiv 1805.01978).
    """
    cosines = images @ known.T
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
    weights = np.exp(np.take_along_axis(cosines, nearest, axis=1).astype(float) / 0.07)
    votes = np.zeros((len(images), count))
    rows = np.repeat(np.arange(len(images)), nearest.shape[1])
    np.add.at(votes, (rows, classes[nearest].ravel()), weights.ravel())
    return votes


def linear_probe(
    images: NDArray[np.float32],
    known: NDArray[np.float32],
    classes: NDArray[np.int64],
    count: int,
) -> NDArray[np.float64]:
    """Logits (N, C) of a logistic regression fitted to the known photos."""
    inputs, labels = torch.from_numpy(known).double(), torch.from_numpy(classes)
    weights = torch.zeros(known.shape[1], count, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    fit = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        fit.zero_grad()
        value = cross_entropy(inputs @ weights + bias, labels) + PENALTY * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    fit.step(loss)  # type: ignore[no-untyped-call]
    logits: NDArray[np.float64] = images @ weights.detach().numpy() + bias.detach().numpy()
    return logits


def _embedded(
    encoder: Encoder, photos: ClassFolders, width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], dict[str, str]]:
    found = embed_named(encoder, [(path, None) for path in photos.photos], width)
    if not found.ok.any():
        reason = next(iter(found.messages.values()))
        raise GeoclipError(f"None of the {len(photos.photos):,} photos can be read ({reason}).")
    return found.values[found.ok], photos.labels[found.ok], dict(found.messages)
