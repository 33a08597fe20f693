"""Drawn marks, which separate print and screens from calm seas, poles, bare trees and haze.

Checked only where a picture's tones are those of a page or a screen.
"""

import numpy as np

LETTER_EXTENT = 0.25  # of the picture's longer side: words and lines run together; trees are larger
INK = 50  # levels below the paper
STROKES = 2.0  # dark runs in a line across a block of print; poles and horizons have one
EDGE = 24  # levels between neighbours; haze and its compression stay below
TEXTURED = 0.6  # of neighbours differ: a block of a photo rather than of a screen


def lettered(grey: np.ndarray, pale: np.ndarray) -> np.ndarray:
    """Mask (blocks, blocks) of blocks with strokes like those of letters.

    `grey` (H, W) are levels, `pale` (blocks, blocks) is the paper's level in each block.
    """
    from scipy import ndimage  # noqa: PLC0415  (few pictures come here)

    rows, columns = (_starts(side, len(pale)) for side in grey.shape)
    paper = np.repeat(pale, _sizes(rows, grey.shape[0]), axis=0)
    ink = grey < np.repeat(paper, _sizes(columns, grey.shape[1]), axis=1) - INK
    labels, _ = ndimage.label(ink)
    extents = [max(s.stop - s.start for s in found) for found in ndimage.find_objects(labels)]
    is_small = np.array([False, *(e <= LETTER_EXTENT * max(grey.shape) for e in extents)])
    marks = is_small[labels]
    strokes = np.maximum(_strokes(marks, rows, columns), _strokes(marks.T, columns, rows).T)
    mostly = _sums(marks, rows, columns) > _sums(ink, rows, columns) / 2
    found: np.ndarray = mostly & (strokes >= STROKES)
    return found


def _starts(side: int, blocks: int) -> np.ndarray:
    """The start of each block along a side."""
    return np.searchsorted(np.arange(side) * blocks // side, np.arange(blocks))


def _sizes(starts: np.ndarray, side: int) -> np.ndarray:
    return np.diff(np.append(starts, side))


def _sums(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    whole = values.astype(np.int64)
    summed: np.ndarray = np.add.reduceat(np.add.reduceat(whole, rows, 0), columns, 1)
    return summed


def _strokes(marks: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Runs of marks per row, averaged over a block's rows with marks."""
    begins = marks.copy()
    begins[:, 1:] &= ~marks[:, :-1]
    has_any = np.add.reduceat(marks.astype(np.int64), columns, 1) > 0
    inked = np.add.reduceat(has_any.astype(np.int64), rows, 0)
    mean: np.ndarray = _sums(begins, rows, columns) / np.maximum(inked, 1)
    return mean


def edge_share(pixels: np.ndarray, most: int = 256) -> float:
    """The share of large differences among neighbours that differ in pixels (H, W, 3)."""
    differing = strong = 0
    for lines in (pixels, pixels.transpose(1, 0, 2)):
        sample = lines[:: max(1, len(lines) // most)].astype(np.int16)
        steps = np.abs(np.diff(sample, axis=1)).max(axis=2)
        differing += int(np.count_nonzero(steps))
        strong += int(np.count_nonzero(steps >= EDGE))
    return strong / max(differing, 1)


def untextured_share(pixels: np.ndarray, blocks: int = 8) -> float:
    """The share of blocks of pixels (H, W, 3) in which most neighbours are equal."""
    differ = (pixels[:, 1:] != pixels[:, :-1]).any(axis=2)
    rows, columns = (_starts(side, blocks) for side in differ.shape)
    size = np.outer(_sizes(rows, len(differ)), _sizes(columns, differ.shape[1]))
    return float((_sums(differ, rows, columns) <= TEXTURED * size).mean())
