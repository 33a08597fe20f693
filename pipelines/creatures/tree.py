"""The tree of invented creatures: five levels whose names describe a creature's looks.

Every name is two words, each a trait: an unseen species is a new pair of seen words. A family's own
traits (ornament, tail) are shared by its species, an order's (legs) by its families, and so on up
to the kingdom (habitat, time of day).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import pandas as pd

from pipelines.planet.climate import generator

LEVELS = ("kingdom", "class", "order", "family", "species")
WORDS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "kingdom": (
        {"Aquatica": "water", "Terrestria": "land"},
        {"diurna": "day", "nocturna": "night"},
    ),
    "class": (
        {"Globosa": "round", "Elongata": "long", "Quadrata": "square", "Triangula": "pointed"},
        {"magna": "large", "parva": "small"},
    ),
    "order": (
        {"Bipeda": "two-legged", "Quadrupeda": "four-legged", "Hexapoda": "six-legged"},
        {"brevis": "short-legged", "altipes": "long-legged"},
    ),
    "family": (
        {"Cornuta": "horned", "Aurita": "eared", "Antennata": "feelered", "Calva": "bald"},
        {"caudata": "long-tailed", "ecaudata": "tailless"},
    ),
    "species": (
        {
            "ruber": "red",
            "viridis": "green",
            "caeruleus": "blue",
            "flavus": "yellow",
            "albus": "white",
            "purpureus": "purple",
        },
        {"simplex": "plain", "striatus": "striped", "maculatus": "spotted"},
    ),
}
"""The first and the second words of each level, with their meanings."""
CHILDREN = {"kingdom": 4, "class": 3, "order": 2, "family": 3, "species": 6}
"""Number of children of a class, drawn among all pairs of words."""
HELD_OUT = {"kingdom": 1, "class": 1, "order": 2, "family": 6, "species": 40}
"""Classes of each level without training photos, not counting descendants of others."""


@dataclass(frozen=True)
class Kind:
    """A class of any level, by its names from the top; `seen` if it has training photos."""

    names: tuple[str, ...]
    seen: bool

    @property
    def place_id(self) -> str:
        """The id that `geoclip.places.level_table` makes."""
        return "/".join(self.names)

    @property
    def traits(self) -> dict[str, tuple[str, str]]:
        """The meanings of each level's words, in English."""
        return {
            level: (WORDS[level][0][first], WORDS[level][1][second])
            for level, (first, second) in zip(LEVELS, map(str.split, self.names), strict=False)
        }


def species_of(seed: int) -> list[Kind]:
    """All species, a few of each level held out of training, by seed."""
    kinds = [Kind((), True)]
    for level in LEVELS:
        kinds = _with_held_out(
            [child for kind in kinds for child in _children(kind, level, seed)], level, seed
        )
    return kinds


def _children(kind: Kind, level: str, seed: int) -> Iterator[Kind]:
    pairs = [" ".join(pair) for pair in product(*WORDS[level])]
    drawn = generator(seed, level, kind.place_id).permutation(len(pairs))[: CHILDREN[level]]
    return (Kind((*kind.names, pairs[i]), kind.seen) for i in sorted(drawn.tolist()))


def _with_held_out(kinds: list[Kind], level: str, seed: int) -> list[Kind]:
    """The same, with the level's number of classes held out of the trained ones."""
    seen = [kind for kind in kinds if kind.seen]
    chosen = generator(seed, "held out", level).permutation(len(seen))[: HELD_OUT[level]]
    out = {seen[i] for i in chosen.tolist()}
    return [Kind(kind.names, kind.seen and kind not in out) for kind in kinds]


def level_table(species: list[Kind]) -> pd.DataFrame:
    """The tree's table for `geoclip.places.level_table`, each class with two other names.

    These are the English name and a code.
    """
    rows = []
    for kind in species:
        row: dict[str, str] = {}
        for level, latin in zip(LEVELS, kind.names, strict=True):
            english = " ".join(kind.traits[level])
            row |= {level: latin, f"{level}:names": f"{english}|{code_of(level, latin)}"}
        rows.append(row)
    return pd.DataFrame(rows)


def code_of(level: str, name: str) -> str:
    """A code as in catalogues: SP-RUBSTR for the species ruber striatus."""
    first, second = name.split()
    return f"{level[:2]}-{first[:3]}{second[:3]}".upper()
