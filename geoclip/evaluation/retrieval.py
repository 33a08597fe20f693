"""Recall@k: how often a true item is among the first k results."""

from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECALL_AT = (1, 5, 10)


def recall_both_ways(
    similarity: NDArray[np.floating[Any]], true: NDArray[np.bool_]
) -> dict[str, dict[str, dict[str, float]]]:
    """Recall in percent for N photos and C captions, from similarities and truths (N, C).

    `image_to_text` is the share of photos with a true caption among the k most similar ones, of the
    photos that have one; `text_to_image` is that of captions among photos. Each has its "recall"
    and that of "chance", by k of `RECALL_AT`. CLIP-RSICD and PLIP report these.
    """
    ways = {
        "image_to_text": (similarity, true),
        "text_to_image": (similarity.T, true.T),
    }
    return {name: _recall(*way) for name, way in ways.items()}


def _recall(
    similarity: NDArray[np.floating[Any]], true: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    asked = true.any(axis=1)
    similarity, true = similarity[asked], true[asked]
    # A true one is among the first k if fewer than k others are more similar than the best true
    # one.
    best = np.where(true, similarity, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    ahead = (~true & (similarity >= best)).sum(axis=1)
    count = true.sum(axis=1).tolist()
    return {
        "recall": {str(k): _percent(ahead < k) for k in RECALL_AT},
        "chance": {
            str(k): _percent([chance_of_recall(true.shape[1], n, k) for n in count])
            for k in RECALL_AT
        },
    }


def chance_of_recall(count: int, true: int, k: int) -> float:
    """The probability that k of `count` items, drawn without replacement, include a true one.

    >>> chance_of_recall(4, 1, 1)
    0.25
    """
    return 1 - comb(count - true, k) / comb(count, min(k, count))


def _percent(shares: Any) -> float:
    return 100 * float(np.mean(shares)) if len(shares) else 0.0
