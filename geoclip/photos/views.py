"""Views of a location: photos that share a `location_id` stay together in any split of the list."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

import pandas as pd


def location_keys(location_ids: Iterable[object]) -> list[Hashable]:
    """A key for each photo, shared by its views; a photo without an id is its own location.

    Missing ids are None, NaN and the empty text.

    >>> location_keys(["a", "", "a", None])
    ['a', ('alone', 1), 'a', ('alone', 3)]
    """
    return [
        ("alone", i) if pd.isna(own) or own == "" else own for i, own in enumerate(location_ids)
    ]


def side_by_side(keys: Sequence[Hashable]) -> list[int]:
    """The order of photos in which the views of a location follow its first one.

    >>> side_by_side(["a", "b", "a", "c"])
    [0, 2, 1, 3]
    """
    first: dict[Hashable, int] = {}
    rank = [first.setdefault(key, i) for i, key in enumerate(keys)]
    return sorted(range(len(keys)), key=rank.__getitem__)


def slices(keys: Sequence[Hashable], size: int) -> Iterator[slice]:
    """Slices of about `size` photos that split no location; its views must be adjacent.

    >>> list(slices(["a", "a", "a", "b"], 2))
    [slice(0, 3, None), slice(3, 4, None)]
    """
    start = 0
    while start < len(keys):
        stop = min(start + size, len(keys))
        while stop < len(keys) and keys[stop] == keys[stop - 1]:
            stop += 1
        yield slice(start, stop)
        start = stop
