"""Random tables of two to five levels, some of whose classes lack a level between."""

from pathlib import Path

import numpy as np

from geoclip.places.gazetteer import Gazetteer


def random_rows(seed: int) -> tuple[list[str], list[list[str]]]:
    """Names of levels and distinct rows of names; a cell between may be blank."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(2, 6))
    rows = set()
    for _ in range(int(rng.integers(1, 40))):
        cells = [f"{'abcde'[level]}{rng.integers(3)}" for level in range(depth)]
        for level in range(1, depth - 1):
            cells[level] = "" if rng.random() < 0.25 else cells[level]
        rows.add((*cells[:-1], f"{cells[-1]}{rng.integers(4)}"))
    ordered = sorted(rows)
    return [f"level{n}" for n in range(depth)], [
        list(ordered[i]) for i in rng.permutation(len(rows))
    ]


def random_tree(seed: int, folder: Path) -> Gazetteer:
    """The table of `random_rows`, written and read."""
    levels, rows = random_rows(seed)
    path = folder / f"tree{seed}.csv"
    path.write_text("\n".join(",".join(row) for row in [levels, *rows]) + "\n")
    return Gazetteer.read(path)
