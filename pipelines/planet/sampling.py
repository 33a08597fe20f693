"""Choose countries to hold out of training, and the number of places of each country."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from pipelines.planet.climate import generator
from pipelines.planet.facts import CountryFacts, facts_of

FEWEST_CITIES = 3  # of a country that may be held out
GIANT_SHARE = 0.015  # a country with more of the world's cities than this is always trained on
VAST = frozenset(("AR", "AU", "BR", "CA", "CN", "IN", "KZ", "RU", "US"))  # always trained on, too


def hold_out_countries(
    n_cities: Mapping[str, int],
    continents: Mapping[str, str],
    facts: Mapping[str, CountryFacts],
    count: int,
    seed: int,
) -> tuple[str, ...]:
    """`count` countries to hold out, sorted; each continent gives about the same share of its own.

    The keys of `n_cities` and `continents` are country codes. A country qualifies when it has at
    least three cities, is neither a giant nor vast, and has a trained neighbour in the end. Raises
    GeoclipError when fewer than `count` qualify.
    """
    held: list[str] = []
    for code in _candidates(n_cities, continents, seed):
        if len(held) == count:
            break
        if all(_trained_neighbour(c, {*held, code}, n_cities, facts) for c in [*held, code]):
            held.append(code)
    if len(held) < count:
        raise GeoclipError(
            f"The gazetteer has only {len(held)} countries that can be held out with a trained "
            f"neighbour, {count} were asked for: set held_out_countries to {len(held)} or less."
        )
    return tuple(sorted(held))


def _candidates(n_cities: Mapping[str, int], continents: Mapping[str, str], seed: int) -> list[str]:
    """Countries of fitting size in random order; continents take turns in proportion to size."""
    giant = max(10.0, GIANT_SHARE * sum(n_cities.values()))
    fitting = sorted(
        code for code, n in n_cities.items() if FEWEST_CITIES <= n <= giant and code not in VAST
    )
    order = generator(seed, "hold out").permutation(len(fitting))
    by_continent: dict[str, list[str]] = {}
    for index in order:
        by_continent.setdefault(continents[fitting[index]], []).append(fitting[index])
    turns = [
        ((turn + 0.5) / len(codes), code)
        for codes in by_continent.values()
        for turn, code in enumerate(codes)
    ]
    return [code for _, code in sorted(turns)]


def _trained_neighbour(
    code: str, held: set[str], n_cities: Mapping[str, int], facts: Mapping[str, CountryFacts]
) -> bool:
    return any(
        n_cities.get(near, 0) and near not in held for near in facts_of(facts, code).neighbours
    )


def shares(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """How many of `total` places each country gives, (n,) for sizes (n,): about √size, capped.

    Every country with a city gives at least one while `total` allows; none gives more than it
    has. The sum is min(total, sum(sizes)). Each next place goes to the country with the least
    filled share, so the result is the same on every machine.

    >>> shares(np.array([100, 25, 1]), 10)
    array([6, 3, 1])
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    given = np.zeros(len(sizes), dtype=np.int64)
    weights = np.sqrt(np.maximum(sizes, 1))
    for _ in range(min(total, int(sizes.sum()))):
        filled = np.where(given < sizes, given / weights, np.inf)
        # Among countries that have given nothing yet, the larger ones come first.
        given[np.lexsort((-weights, filled))[0]] += 1
    return given
