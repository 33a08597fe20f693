"""The style of streets: some thirty numbers a place, smooth over the globe, shared by neighbours.

A place's trait is  field(lat, lon) + offset of its country + offset of its admin-1 region.  The
field has the wavelength given in `WAVELENGTHS_KM` and standard deviation 1. A country's offset is
half its own and half the mean of its neighbours'; its own part has standard deviation 0.4. A
region's offset has standard deviation 0.15.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.planet.climate import Climate, SmoothField, generator
from pipelines.planet.facts import CountryFacts, facts_of

Array = NDArray[np.float64]

# Long waves tell the part of the world, short ones the region within a country. `warm`, `green`
# and `light` are the three directions in which a surface's colour moves.
WAVELENGTHS_KM: Mapping[str, float] = {
    "wall_warm": 14000,
    "wall_green": 9000,
    "wall_light": 5000,
    "roof_warm": 12000,
    "roof_green": 7000,
    "roof_light": 3500,
    "sign_warm": 10000,
    "sign_green": 6000,
    "sign_light": 2500,
    "leaf_warm": 11000,
    "leaf_light": 5000,
    "soil_warm": 8000,
    "soil_light": 4000,
    "road_warm": 6000,
    "road_light": 3000,
    "verge_warm": 9000,
    "verge_green": 5000,
    "verge_light": 2000,
    "trim_warm": 2500,
    "trim_green": 1500,
    "fence_warm": 1200,
    "fence_green": 800,
    "fence_light": 400,
    "pole_warm": 4000,
    "pole_light": 2000,
    "pole_height": 6000,
    "pole_arms": 3000,
    "roof_pitch": 7000,
    "storeys": 4000,
    "windows": 3000,
}
NAMES: tuple[str, ...] = tuple(WAVELENGTHS_KM)
COUNTRY_DEVIATION = 0.4
REGION_DEVIATION = 0.15


@dataclass(frozen=True)
class SceneTraits:
    """All inputs of one place's scenes, apart from chance."""

    facts: CountryFacts
    climate: Climate
    style: Mapping[str, float]


def country_offsets(country_code: str, facts: Mapping[str, CountryFacts], seed: int) -> Array:
    """Offsets (len(NAMES),) of a country's traits: half its own, half its neighbours' mean."""
    own = _draw(seed, "country", country_code)
    near = facts_of(facts, country_code).neighbours
    if not near:
        return COUNTRY_DEVIATION * own
    around: Array = np.mean([_draw(seed, "country", code) for code in near], axis=0)
    return COUNTRY_DEVIATION * 0.5 * (own + around)


def style_of_places(
    lat: ArrayLike,
    lon: ArrayLike,
    country_codes: Sequence[str],
    region_ids: Sequence[str],
    *,
    facts: Mapping[str, CountryFacts],
    seed: int = 0,
) -> Array:
    """Traits (n, len(NAMES)) of n places; an empty region id has no offset of its own."""
    fields = [SmoothField(seed, name, WAVELENGTHS_KM[name])(lat, lon) for name in NAMES]
    offsets = {code: country_offsets(code, facts, seed) for code in set(country_codes)}
    regions = {
        region: REGION_DEVIATION * _draw(seed, "region", region) for region in set(region_ids)
    }
    regions[""] = np.zeros(len(NAMES))
    rows = [offsets[c] + regions[r] for c, r in zip(country_codes, region_ids, strict=True)]
    return np.stack(fields, axis=-1) + np.array(rows).reshape(-1, len(NAMES))


def _draw(seed: int, level: str, place_id: str) -> Array:
    return generator(seed, level, place_id).normal(size=len(NAMES))
