"""Photos in folders of classes, and the accuracy of a classifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.photos.listing import list_photos
from geoclip.support.tables import read_text_table, refuse_rows, require_columns

TOP = (1, 3, 5)
MOST_RETRIEVED = 100
PROMPT = "a photo of a {}."
"""CLIP's own template (Radford et al. 2021)."""


@dataclass(frozen=True)
class ClassFolders:
    """N photos of C classes: `names` (C,) are the folders' names, `labels` (N,) their numbers."""

    names: list[str]
    photos: list[Path]
    labels: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path, names: Sequence[str] = ()) -> "ClassFolders":
        """The photos below each folder of `folder`; a folder's name is its class (ImageFolder).

        `names` are the known classes, if given. Raises GeoclipError for a path that is no such
        folder, for a class without a photo, and for one outside `names`.
        """
        if not folder.is_dir():
            raise GeoclipError(f"{folder} is no folder: name one with a folder per class.")
        found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not found:
            raise GeoclipError(f"{folder} holds no folders: put the photos of each class into one.")
        classes = list(names) or [one.name for one in found]
        unknown = next((one for one in found if one.name not in classes), None)
        if unknown is not None:
            raise GeoclipError(f"{unknown} is none of the {len(classes)} classes: rename it.")
        photos, labels = list[Path](), list[int]()
        for one in found:
            own = list_photos([one])
            if not own:
                raise GeoclipError(f"{one} holds no photo: put some there or remove the folder.")
            photos += own
            labels += [classes.index(one.name)] * len(own)
        return cls(classes, photos, np.array(labels, dtype=np.int64))


def prompts_of(
    names: Sequence[str], templates: Sequence[str] = (), table: Path | None = None
) -> list[list[str]]:
    """The prompts of each class: `templates` with its name for {}, and those of a CSV table.

    `_` in a folder's name stands for a space. The table has the columns class and prompt; a class
    may have several rows. Raises GeoclipError for a template without {}, an unknown class in the
    table, and a class without a row or template.
    """
    bad = next((text for text in templates if text.count("{}") != 1), None)
    if bad is not None:
        raise GeoclipError(f"The prompt {bad!r} has no place for the class: write {{}} once in it.")
    if table is None:
        templates = templates or [PROMPT]
    found = [[text.replace("{}", name.replace("_", " ")) for text in templates] for name in names]
    if table is not None:
        frame = read_text_table(table)
        require_columns(frame, ["class", "prompt"], table)
        unknown = ~frame["class"].isin(names)
        refuse_rows(table, unknown, "there is no class {}", "name a folder", frame["class"])
        for name, text in zip(frame["class"], frame["prompt"], strict=True):
            found[names.index(name)].append(text)
    missing = next((name for name, own in zip(names, found, strict=True) if not own), None)
    if missing is not None:
        raise GeoclipError(f"{table} has no prompt for {missing}: add one, or give --prompt.")
    return found


def class_figures(
    scores: NDArray[np.floating[Any]], labels: NDArray[np.int64], names: Sequence[str]
) -> dict[str, Any]:
    """Figures of scores (N, C) for photos of the classes `labels` (N,), in percent.

    `accuracy` is top-1, `balanced` its mean over the classes with photos, `top_k` by k; `classes`
    has for each class its photos `n`, `recall`, `precision` (None if never predicted) and the class
    that it was most often `taken_for` ("" if none).
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    guessed = order[:, 0] if len(order) else np.empty(0, dtype=np.int64)
    hits = order == labels[:, None]
    classes = {
        name: _one_class(guessed, labels, number, names)
        for number, name in enumerate(names)
        if (labels == number).any()
    }
    return {
        "n": len(labels),
        "accuracy": _percent(guessed == labels),
        "balanced": float(np.mean([one["recall"] for one in classes.values()] or [0.0])),
        "top_k": {str(k): _percent(hits[:, :k].any(axis=1)) for k in TOP if k <= len(names)},
        "classes": classes,
    }


def retrieval_figures(
    similarity: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
    known: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, Any]:
    """How many of the known photos most similar to a photo show its class, in percent.

    `similarity` (N, K) is that of photos of the classes `labels` (N,) to those of `known` (K,). The
    keys are those of `class_figures`: `accuracy` is the mean share of a photo's class among as many
    known photos as the class has, at most 100 (R-precision; image retrieval in TTI-Eval), `recall`
    that of a class; `top_k` is how often one is among the first k. A class without a known photo
    counts as 0.
    """
    order = np.argsort(-similarity, axis=1, kind="stable")
    same = known[order] == labels[:, None]
    wanted = np.minimum(same.sum(axis=1), MOST_RETRIEVED)
    among = same & (np.arange(len(known)) < wanted[:, None])
    shares = 100 * among.sum(axis=1) / np.maximum(wanted, 1)
    classes = {
        name: {"n": int(own.sum()), "recall": float(shares[own].mean()), "precision": None,
               "taken_for": ""}
        for number, name in enumerate(names)
        if (own := labels == number).any()
    }  # fmt: skip
    return {
        "n": len(labels),
        "accuracy": float(shares.mean()) if len(shares) else 0.0,
        "balanced": float(np.mean([one["recall"] for one in classes.values()] or [0.0])),
        "top_k": {str(k): _percent(same[:, :k].any(axis=1)) for k in TOP if k <= len(names)},
        "classes": classes,
    }


def _one_class(
    guessed: NDArray[np.int64], labels: NDArray[np.int64], number: int, names: Sequence[str]
) -> dict[str, Any]:
    own, called = labels == number, guessed == number
    wrong = np.bincount(guessed[own & ~called], minlength=len(names))
    return {
        "n": int(own.sum()),
        "recall": _percent(called[own]),
        "precision": _percent(own[called]) if called.any() else None,
        "taken_for": names[int(wrong.argmax())] if wrong.any() else "",
    }


def _percent(hits: NDArray[np.bool_]) -> float:
    return 100 * float(hits.mean()) if len(hits) else 0.0
