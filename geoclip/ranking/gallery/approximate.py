"""An approximate index of a large gallery: faiss's inverted lists, tuned to a set recall.

Every gallery photo is in the list of its nearest of some thousand centres, in float16, and a search
reads only the lists nearest to a photo (Sivic and Zisserman 2003). Their number is tuned on photos
of the gallery itself. Where the number is too large to save time, as for random vectors, there is
no index and every photo is compared.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geoclip.errors import GeoclipError
from geoclip.ranking.gallery.neighbours import Neighbours, exact_neighbours
from geoclip.ranking.gallery.photo_gallery import Gallery
from geoclip.support.files import write_whole

INDEX_FILE, ABOUT_FILE = "index.faiss", "index.json"
LEAST_ROWS = 100_000
"""Below this number every photo is compared: that is as fast, and exact."""
RECALL, RECALL_AT = 0.995, 10
"""Target on photos of the gallery, so that new ones reach 0.99."""
TUNED_PHOTOS = 512
MOST_SEARCHED = 1 / 8
"""Share of the lists above which comparing every photo, by matrix products, is as fast."""
_LISTS_BY_ROOT, _TRAINED_A_LIST, _TRAINING_ROUNDS = 4, 40, 10


@dataclass(frozen=True)
class Tuning:
    """Index of the first `rows` of a gallery; `probes` lists are searched, 0 if none saves time.

    `recall` is the share of the ten true neighbours then found, measured on gallery photos.
    """

    rows: int
    lists: int
    probes: int
    recall: float


class ApproximateIndex:
    """A tuned faiss index of a gallery's first rows."""

    def __init__(self, index: Any, tuning: Tuning) -> None:
        self.index = index
        self.tuning = tuning
        self._faiss = _faiss()
        self._wanted = self._faiss.SearchParametersIVF(nprobe=tuning.probes)

    @classmethod
    def open(cls, folder: Path) -> ApproximateIndex | None:
        """The index beside a gallery, mapped into memory; None without a usable one.

        Raises GeoclipError for a damaged index.
        """
        tuning = read_tuning(folder)
        if tuning is None or not tuning.probes or not can_index():
            return None
        faiss = _faiss()
        try:
            # Not IO_FLAG_MMAP: its lists are unaligned, and searches take half as long again.
            index = faiss.read_index(str(folder / INDEX_FILE), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise GeoclipError(
                f"{folder / INDEX_FILE} is damaged ({str(error).splitlines()[0]}); delete it and "
                "give the command that built the gallery again."
            ) from None
        return cls(index, tuning)

    def neighbours(self, photos: np.ndarray, k: int) -> Neighbours:
        """The k indexed photos of largest cosine to each embedding (N, d), nearly exact."""
        self._faiss.omp_set_num_threads(torch.get_num_threads())
        values = np.ascontiguousarray(photos, np.float32)
        similarity, rows = self.index.search(values, k, params=self._wanted)
        similarity[rows < 0] = -np.inf
        return Neighbours(rows, similarity)


def can_index() -> bool:
    """Whether faiss is installed; not on macOS, where it and torch conflict."""
    return find_spec("faiss") is not None


def _faiss() -> Any:
    """The library, imported late; its types accept less than it takes."""
    return import_module("faiss")


def read_tuning(folder: Path) -> Tuning | None:
    """The stored tuning of the index in a folder; None without one."""
    file = folder / ABOUT_FILE
    if not file.is_file():
        return None
    try:
        return Tuning(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise GeoclipError(f"{file} is not readable ({error}); delete it.") from None


def update_index(gallery: Gallery, least_rows: int = LEAST_ROWS) -> Tuning | None:
    """Index a gallery of `least_rows` or more, and write it beside; None without an index.

    An index of at least half of the photos gets the others; else a new one is made.
    """
    if len(gallery) < least_rows or not can_index():
        return None
    before = read_tuning(gallery.folder)
    if before is not None and before.rows == len(gallery):
        return before
    index = None
    if before is not None and before.probes and 2 * before.rows >= len(gallery):
        index = _read_to_add(gallery.folder)
    if index is None:
        index = _trained(gallery)
    for _, block in gallery.blocks(index.ntotal):
        index.add(np.array(block, np.float32))
    tuning = _tuned(index, gallery)
    _write(gallery.folder, index, tuning)
    return tuning


def _read_to_add(folder: Path) -> Any:
    faiss = _faiss()
    try:
        return faiss.read_index(str(folder / INDEX_FILE))
    except RuntimeError:  # a new one is made
        return None


def _trained(gallery: Gallery) -> Any:
    """An empty index with centres from gallery photos drawn by a fixed seed."""
    faiss = _faiss()
    lists = 1 << int(np.log2(_LISTS_BY_ROOT * np.sqrt(len(gallery))))
    index = faiss.index_factory(
        gallery.about.width, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT
    )
    faiss.omp_set_num_threads(torch.get_num_threads())
    index.cp.niter = _TRAINING_ROUNDS
    drawn = np.random.default_rng(0).permutation(len(gallery))[: _TRAINED_A_LIST * lists]
    index.train(gallery.take(np.sort(drawn)))
    return index


def _tuned(index: Any, gallery: Gallery) -> Tuning:
    """The fewest lists with which gallery photos find their own neighbours.

    A search finds a true neighbour if and only if it reads its list, so the order of the centres
    tells what each number of lists finds, without searching.
    """
    drawn = np.sort(np.random.default_rng(1).permutation(len(gallery))[:TUNED_PHOTOS])
    photos = gallery.take(drawn)
    rows = exact_neighbours(gallery, photos, RECALL_AT + 1).rows
    others = (rows != drawn[:, None]) & (rows >= 0)  # the photo itself is no neighbour
    order = index.quantizer.search(photos, index.nlist)[1]
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(index.nlist)[None], axis=1)
    lists = index.quantizer.search(gallery.take(rows[others]), 1)[1].ravel()
    needed = np.sort(place[np.nonzero(others)[0], lists]) + 1
    probes = int(needed[int(np.ceil(RECALL * len(needed))) - 1])
    if probes > MOST_SEARCHED * index.nlist:
        return Tuning(len(gallery), index.nlist, 0, 1.0)
    return Tuning(len(gallery), index.nlist, probes, float(np.mean(needed <= probes)))


def _write(folder: Path, index: Any, tuning: Tuning) -> None:
    """Write the index, if any list is to be searched, and its tuning last."""
    faiss = _faiss()
    file, about = folder / INDEX_FILE, folder / ABOUT_FILE
    draft = folder / f".{INDEX_FILE}"
    try:
        about.unlink(missing_ok=True)  # or the old tuning would be read for the new index
        if tuning.probes:
            faiss.write_index(index, os.fspath(draft))
            draft.replace(file)
        else:
            file.unlink(missing_ok=True)
        text = json.dumps(asdict(tuning)) + "\n"
        write_whole(about, lambda out: out.write(text.encode()))
    except (OSError, RuntimeError) as problem:
        draft.unlink(missing_ok=True)
        raise GeoclipError(
            f"The index of {folder} cannot be written ({str(problem).splitlines()[0]}); make room "
            "and give the same command again."
        ) from None
