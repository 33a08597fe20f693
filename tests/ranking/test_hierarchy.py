"""A gazetteer's parents as arrays."""

import numpy as np
import pytest
from small_world import CITIES, COUNTRIES, REGIONS, place_table

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.place import CITY, COUNTRY, REGION
from geoclip.ranking.hierarchy import Hierarchy


def check(hierarchy: Hierarchy, gazetteer: Gazetteer) -> None:
    """Every array against the gazetteer's own ancestors."""
    h, chains = hierarchy, gazetteer.ancestors[hierarchy.cities]
    assert sorted(h.cities) == gazetteer.level_rows("city").tolist()
    assert np.array_equal(chains[:, CITY], h.cities)
    assert np.array_equal(h.countries[h.group_country[h.city_group]], chains[:, COUNTRY])
    region = h.group_region[h.city_group]
    rows = np.append(h.regions, -1)[region]
    assert np.array_equal(rows, chains[:, REGION])
    assert np.array_equal(h.countries[h.region_country], gazetteer.parents[h.regions])
    assert set(h.countries) == set(chains[:, COUNTRY])
    sizes = np.diff([*h.group_starts, len(h.cities)])
    assert np.array_equal(np.repeat(np.arange(len(h.group_starts)), sizes), h.city_group)
    assert (np.diff(h.region_country) >= 0).all()
    starts = [np.flatnonzero(h.region_country == k)[0] for k in np.unique(h.region_country)]
    assert h.region_starts.tolist() == starts
    for column in ("lat", "lon", "population"):
        assert np.array_equal(getattr(h, column), getattr(gazetteer, column)[h.cities])


def test_small_world(small_gazetteer):
    hierarchy = Hierarchy.of(small_gazetteer)
    check(hierarchy, small_gazetteer)
    assert repr(hierarchy) == "Hierarchy(5 countries, 5 regions, 10 cities)"
    assert "BV" not in small_gazetteer.ids[hierarchy.countries]
    without_region = small_gazetteer.ids[hierarchy.cities][
        hierarchy.group_region[hierarchy.city_group] < 0
    ]
    assert set(without_region) == {"kowloon", "central", "shenzhen"}


def test_packaged_world(world):
    hierarchy = Hierarchy.of(world)
    check(hierarchy, world)
    assert len(hierarchy.countries) == 244
    per_country = np.bincount(hierarchy.group_country[hierarchy.city_group])
    assert (per_country == 1).sum() == 48


def test_no_regions_at_all():
    flat = [(i, name, code.split(".")[0], *rest) for i, name, code, *rest in CITIES]
    gazetteer = Gazetteer(place_table(COUNTRIES, [], flat))
    hierarchy = Hierarchy.of(gazetteer)
    check(hierarchy, gazetteer)
    assert len(hierarchy.regions) == len(hierarchy.region_starts) == 0


def test_one_city():
    gazetteer = Gazetteer(place_table(COUNTRIES[:1], REGIONS[:2], CITIES[:1]))
    hierarchy = Hierarchy.of(gazetteer)
    check(hierarchy, gazetteer)
    assert gazetteer.ids[hierarchy.regions].tolist() == ["FR.84"]  # the other has no city


def test_a_gazetteer_without_cities_is_refused():
    with pytest.raises(GeoclipError, match="no city to rank"):
        Hierarchy.of(Gazetteer(place_table(COUNTRIES, REGIONS, [])))


def test_bare_cities_of_a_mixed_country_count_as_one_more_region(world: Gazetteer) -> None:
    h = Hierarchy.of(world)
    share = np.exp(h.group_log_share())
    codes = world.ids[h.countries][h.group_country]
    assert (share[codes == "SG"] == 1).all()  # no city of Singapore has a region
    assert (share[codes == "FR"] == 1).all()
    hungary = codes == "HU"
    bare = h.group_region[hungary] < 0
    parts = hungary.sum()
    np.testing.assert_allclose(share[hungary][bare], 1 / parts)
    np.testing.assert_allclose(share[hungary][~bare], (parts - 1) / parts)
