"""Views of a location stay together in any split of the list."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from geoclip.photos.views import location_keys, side_by_side, slices

ids = st.lists(st.sampled_from(["a", "b", "c", "", None]), max_size=30)


@given(ids, st.integers(1, 8))
def test_no_location_is_cut_and_nothing_is_lost(location_ids: list[object], size: int) -> None:
    keys = location_keys(location_ids)
    order = side_by_side(keys)
    assert sorted(order) == list(range(len(keys)))
    ordered = [keys[i] for i in order]
    parts = [ordered[part] for part in slices(ordered, size)]
    assert [key for part in parts for key in part] == ordered
    for before, after in pairwise(parts):
        assert not set(before) & set(after)
        assert len(before) >= size


@given(ids)
def test_photos_keep_their_order_but_follow_the_first_of_their_location(
    location_ids: list[object],
) -> None:
    keys = location_keys(location_ids)
    order = side_by_side(keys)
    first = {key: keys.index(key) for key in keys}
    assert order == sorted(range(len(keys)), key=lambda i: (first[keys[i]], i))


def test_a_missing_id_is_a_location_of_its_own() -> None:
    keys = location_keys(["", None, float("nan"), 1, "1", "", 1])
    assert len(set(keys)) == 6
    assert keys[3] == keys[6]
