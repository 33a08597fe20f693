"""Sums, softmaxes and best columns of segments: consecutive slices of columns.

`starts` (G,) are the first columns of the segments of a table (N, M).
"""

import numpy as np

_SAFE_SUM = 1e-34
"""A sum of exponentials above this has full float32 precision."""


def log_softmax_in_segments(
    logits: np.ndarray, starts: np.ndarray, log_totals: np.ndarray | float = 0.0
) -> np.ndarray:
    """Log softmax (N, M) inside each segment, plus the segment's own log probability (N, G).

    A logit of -inf excludes a column.

    >>> logits = np.log([[1.0, 3.0, 5.0]])
    >>> np.exp(log_softmax_in_segments(logits, np.array([0, 2]))).round(2).tolist()
    [[0.25, 0.75, 1.0]]
    """
    totals = logsumexp_of_segments(logits, starts)
    totals[np.isneginf(totals)] = 0  # of excluded columns alone, which stay at -inf
    # All columns of a segment take the same step: one pass instead of one per term.
    steps: np.ndarray = np.repeat(log_totals - totals, _sizes(starts, logits.shape[1]), axis=1)
    steps += logits
    return steps


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log softmax (N, M) of each row; -inf excludes a column, and a row of only these gives NaN.

    It equals scipy's, bit for bit. Importing scipy would delay a first answer.

    >>> np.exp(log_softmax(np.log([[1.0, 3.0]]))).round(2).tolist()
    [[0.25, 0.75]]
    """
    top = logits.max(axis=1, keepdims=True)
    top[~np.isfinite(top)] = 0
    shifted = logits - top
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def logsumexp_of_segments(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Log of the summed exponentials of each segment, (N, G); -inf where all are -inf.

    scipy's `logsumexp` has no segments. A row is shifted by its own maximum unless a segment's sum
    then vanishes, which saves the slow search for each segment's; the sum of a segment excluded in
    all rows should vanish.
    """
    top = values.max(axis=1, keepdims=True)
    top[np.isneginf(top)] = 0
    sums = np.add.reduceat(_exp(values, top), starts, axis=1)
    vanished = ~(sums > _SAFE_SUM)
    if vanished.any():
        open_somewhere = np.logical_or.reduceat(values.max(axis=0) > -np.inf, starts)
        vanished &= open_somewhere
    if vanished.any():
        top = np.maximum.reduceat(values, starts, axis=1)
        top[np.isneginf(top)] = 0
        shift = np.repeat(top, _sizes(starts, values.shape[1]), axis=1)
        sums = np.add.reduceat(_exp(values, shift), starts, axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray(top + np.log(sums))


def cells_of_segments(
    starts: np.ndarray, width: int, chosen: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Rows and columns (C,) of the cells of the `chosen` (N, G) segments of a table `width` wide.

    They come row by row and segment by segment; also returns each segment's start.

    >>> (rows, columns), first = cells_of_segments(np.array([0, 2]), 5, np.array([[0, 1], [1, 1]]))
    >>> rows.tolist(), columns.tolist(), first.tolist()
    ([0, 0, 0, 1, 1, 1, 1, 1], [2, 3, 4, 0, 1, 2, 3, 4], [0, 3, 5])
    """
    row, segment = np.divmod(np.flatnonzero(chosen), chosen.shape[1])  # faster than `nonzero`
    sizes = _sizes(starts, width)[segment]
    first = np.cumsum(sizes) - sizes
    columns = np.arange(sizes.sum()) + np.repeat(starts[segment] - first, sizes)
    return (np.repeat(row, sizes), columns), first


def best_in_segments(values: np.ndarray, starts: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Columns (N, m) of the largest value in each of some segments (N, m); the first of equal ones.

    >>> values = np.array([[1.0, 2.0, 2.0, 5.0, 4.0]])
    >>> best_in_segments(values, np.array([0, 3]), np.array([[1, 0]])).tolist()
    [[3, 1]]
    """
    first, size = starts[chosen], _sizes(starts, values.shape[1])[chosen]
    step = np.arange(size.max(initial=1))
    column = np.minimum(first[:, :, None] + step, values.shape[1] - 1)  # (N, m, largest size)
    inside = values[np.arange(len(values))[:, None, None], column]
    inside[step >= size[:, :, None]] = -np.inf
    return np.asarray(first + inside.argmax(axis=2))


def top_columns(values: np.ndarray, k: int) -> np.ndarray:
    """Columns (N, k) of each row's k largest values, largest first; equal ones by position.

    >>> top_columns(np.array([[3.0, 7.0, 3.0, 7.0]]), 3).tolist()
    [[1, 3, 0]]
    """
    k = min(k, values.shape[1])
    floor = _kth_largest_at_least(values, k)
    candidate = values >= np.maximum(floor, np.finfo(values.dtype).min)
    candidate[:, :k] = True  # where fewer than k are finite, the first columns fill up
    row, column = np.divmod(np.flatnonzero(candidate), values.shape[1])  # faster than `nonzero`
    # Candidates come by row and column, and the sort is stable, so ties go by column.
    order = np.lexsort((-values[row, column], row))
    first = np.searchsorted(row, np.arange(len(values)))
    return np.asarray(column[order[first[:, None] + np.arange(k)]])


def kth_largest(values: np.ndarray, k: int) -> np.ndarray:
    """Each row's k-th largest value, (N, 1); the smallest if there are fewer."""
    k = min(k, values.shape[1])
    return np.asarray(np.partition(values, -k, axis=1)[:, [-k]])


def _kth_largest_at_least(values: np.ndarray, k: int) -> np.ndarray:
    """A lower bound (N, 1) of each row's k-th largest value, close to it where k is small.

    It is the k-th largest of the maxima of k or more disjoint sets of columns. It takes one pass; a
    partition of all columns takes five times as long.
    """
    size = max(values.shape[1] // max(8 * k, 1024), 1)
    sets = values.shape[1] // size
    maxima = values[:, : sets * size].reshape(len(values), size, sets).max(axis=1)
    return kth_largest(maxima, k)


def _sizes(starts: np.ndarray, width: int) -> np.ndarray:
    return np.asarray(np.diff(starts, append=width))


def _exp(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    weights: np.ndarray = values - shift
    np.exp(weights, out=weights)
    return weights
