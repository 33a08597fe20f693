"""How well photos and captions find each other: retrieval, and a compositional probe."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoclip.evaluation.retrieval import recall_both_ways
from geoclip.places.captions import TRUE, CaptionBook, distinct, truth_matrix
from geoclip.places.place import COUNTRY
from geoclip.support.seeds import seeded_uniforms

EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts → embeddings (C, d) of unit length."""
MOST_PROBED = 300
"""Most photos of a split for the compositional probe, so that it costs seconds."""


def remembering(encode: EncodeTexts) -> EncodeTexts:
    """`encode`, with each text encoded once."""
    known: dict[str, NDArray[np.float32]] = {}

    def encode_once(texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, encode(new), strict=True))
        return np.stack([known[text] for text in texts]) if texts else encode([])

    return encode_once


def retrieval_figures(
    images: NDArray[np.float32],
    rows: NDArray[np.int64],
    book: CaptionBook,
    encode: EncodeTexts,
) -> dict[str, Any]:
    """Recall of N photos among the captions of their places, and the other way round.

    `images` (N, d) are unit vectors, `rows` (N,) the gazetteer rows of the photos' places. See
    `recall_both_ways`; it adds `n_photos` and `n_captions`, distinct by text.
    """
    captions = distinct([book.caption(int(row)) for row in rows])
    texts = encode([caption.text for caption in captions])
    true = truth_matrix(rows, captions, book.gazetteer.ancestors) == TRUE
    counts = {"n_photos": len(rows), "n_captions": len(captions)}
    return {**recall_both_ways(images @ texts.T, true), **counts}


def composition_figures(
    images: NDArray[np.float32],
    rows: NDArray[np.int64],
    book: CaptionBook,
    encode: EncodeTexts,
    seed: int = 0,
) -> dict[str, Any]:
    """Percent of N photos that recognise how a true caption is composed.

    A photo's true caption (its city in its country) competes with its city in another country and
    another country's city in its own. Both combine the names of two photos of the split, drawn by
    `seed`, so that neither name alone gives the answer (as in Winoground; Thrush et al. 2022, arXiv
    2204.03162). A photo counts if the true caption is more similar to it than the caption of the
    `wrong_country`, of the `wrong_city`, or `both`. Chance is 50, 50 and 33 (25 where a name says
    the same in every caption). The figures are None where all photos lie in one country.
    """
    taken, others = _pairs(rows, book, seed)
    places, partners = rows[taken].tolist(), rows[others].tolist()
    true = [book.text(row) for row in places]
    swapped = [
        [_moved(book, row, other) for row, other in zip(places, partners, strict=True)],
        [_moved(book, other, row) for row, other in zip(places, partners, strict=True)],
    ]
    embedded = encode([*true, *swapped[0], *swapped[1]]).reshape(3, len(true), images.shape[1])
    right, country, city = np.einsum("nd,tnd->tn", images[taken], embedded)
    won = {
        "wrong_country": right > country,
        "wrong_city": right > city,
        "both": right > np.maximum(country, city),
    }
    figures = {name: 100 * float(hits.mean()) if len(hits) else None for name, hits in won.items()}
    return {**figures, "n": len(taken)}


def _pairs(
    rows: NDArray[np.int64], book: CaptionBook, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Photos of known city, at most MOST_PROBED, each with a photo of another country."""
    ancestors = book.gazetteer.ancestors[rows]
    known = np.flatnonzero(ancestors[:, -1] >= 0)
    order = np.argsort([seeded_uniforms(1, "probe", seed, int(i))[0] for i in known])
    taken, others = [], []
    for photo in known[order][:MOST_PROBED]:
        foreign = known[ancestors[known, COUNTRY] != ancestors[photo, COUNTRY]]
        if len(foreign):
            chance = seeded_uniforms(1, "partner", seed, int(photo))[0]
            taken.append(photo)
            others.append(foreign[int(chance * len(foreign))])
    return np.array(taken, dtype=np.int64), np.array(others, dtype=np.int64)


def _moved(book: CaptionBook, row: int, other: int) -> str:
    """The caption of the city in `row`, moved to the country of `other`."""
    return book.text(row).removesuffix(_ending(book, row)) + _ending(book, other)


def _ending(book: CaptionBook, row: int) -> str:
    """The end of a caption: the phrase of its country, or of another first level."""
    phrase, level = book.wording.phrases[0], book.wording.levels[0]
    return phrase.replace(f"{{{level}}}", book.country_phrase(row)) + "."
