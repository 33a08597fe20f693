"""Search photos in memory by words."""

from collections.abc import Sequence

import numpy as np

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.photos.embedding import Embeddings
from geoclip.photos.photo_sheet import PhotoTable


def described_by(
    encoder: Encoder, texts: Sequence[str], photos: Embeddings, top: int
) -> PhotoTable:
    """The `top` photos of largest cosine with each text: query, rank, path, similarity.

    It is zero-shot retrieval (Radford et al. 2021). Unreadable photos are left out. Raises
    GeoclipError without a text or for `top` below 1.
    """
    if not texts or not all(texts) or top < 1:
        raise GeoclipError("Say in a few words what to search for, and ask for 1 photo or more.")
    ok = np.flatnonzero(photos.ok)
    cosines = encoder.encode_texts(texts) @ photos.values[ok].T
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :top]
    rows = [
        (text, rank, photos.paths[ok[at]], float(cosines[i, at]))
        for i, text in enumerate(texts)
        for rank, at in enumerate(best[i], 1)
    ]
    return PhotoTable(rows, columns=["query", "rank", "path", "similarity"])
