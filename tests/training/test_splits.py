"""Held-out countries and blocks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.training.splits import (
    HELD_BACK,
    PSEUDO_SEEN,
    PSEUDO_UNSEEN,
    SEEN,
    TRAIN,
    UNSEEN,
    hold_back,
    with_splits,
)

NAN = float("nan")


def world_photos(n: int = 6000, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Photos in 300 countries of one 5° x 10° cell each."""
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(-50, 25, n), rng.uniform(-180, 180, n)
    codes = [f"{int(a // 5)}_{int(b // 10)}" for a, b in zip(lat, lon, strict=True)]
    frame = pd.DataFrame({"photo_id": [f"{i}" for i in range(n)], "lat": lat, "lon": lon})
    return frame.assign(split=""), np.array(codes, dtype=object)


def test_no_country_and_no_block_stands_in_two_splits():
    photos, codes = world_photos()
    table = with_splits(photos, codes, seed=1)
    kinds = table.assign(held=table["split"] == UNSEEN).groupby(codes)["held"].nunique()
    assert (kinds == 1).all()
    blocks = [np.floor(table["lat"]), np.floor(table["lon"])]
    assert (table.groupby(blocks)["split"].nunique() == 1).all()
    assert set(table["split"]) == {TRAIN, SEEN, UNSEEN}


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_about_the_share_is_held_out(share):
    photos, codes = world_photos(20_000)
    table = with_splits(photos, codes, seed=0, share=share)
    unseen = table.assign(code=codes).groupby("code")["split"].first() == UNSEEN
    assert unseen.mean() == pytest.approx(share, abs=0.05)
    others = table[table["split"] != UNSEEN]
    assert (others["split"] == SEEN).mean() == pytest.approx(share, abs=0.03)


def test_nothing_and_everything():
    photos, codes = world_photos(200)
    assert set(with_splits(photos, codes, share=0)["split"]) == {TRAIN}
    assert set(with_splits(photos, codes, share=1)["split"]) == {UNSEEN}


def test_the_split_of_a_photo_depends_on_its_place_and_the_seed_alone():
    photos, codes = world_photos(1000)
    table = with_splits(photos, codes, seed=3)
    order = np.random.default_rng(0).permutation(1000)[:400]
    part = with_splits(photos.iloc[order], codes[order], seed=3)
    assert part["split"].tolist() == table["split"].iloc[order].tolist()
    assert with_splits(photos, codes, seed=4)["split"].tolist() != table["split"].tolist()
    assert (photos["split"] == "").all()


@given(st.integers(0, 50))
def test_signs_and_turns_of_a_longitude_do_not_matter(seed):
    rows = [(0.0, 0.5), (-0.0, 0.5), (12.5, 180.0), (12.5, -180.0), (3.0, 0.0), (3.0, -0.0)]
    photos = pd.DataFrame(rows, columns=["lat", "lon"]).assign(photo_id="p", split="")
    split = with_splits(photos, ["AA"] * 6, seed, share=0.5)["split"].tolist()
    assert split[0::2] == split[1::2]


def test_photos_without_coordinates_follow_their_country():
    codes = np.array([f"{i:03}" for i in range(200)] * 2, dtype=object)
    lat = np.r_[np.full(200, NAN), np.zeros(200)]
    photos = pd.DataFrame({"photo_id": "p", "lat": lat, "lon": lat, "split": ""})
    split = with_splits(photos, codes)["split"].to_numpy()
    assert set(split[:200]) == {TRAIN, UNSEEN}
    assert np.array_equal(split[:200] == UNSEEN, split[200:] == UNSEEN)


def test_given_splits_are_kept():
    photos = pd.DataFrame({"photo_id": ["a", "b"], "lat": 0.0, "lon": 0.0, "split": ["x", "train"]})
    assert with_splits(photos, ["AA", "BB"])["split"].tolist() == ["x", "train"]


def test_half_given_splits_are_refused():
    photos = pd.DataFrame({"photo_id": ["a", "b"], "lat": 0.0, "lon": 0.0, "split": ["x", ""]})
    with pytest.raises(GeoclipError, match="1 of 2 photos have an empty split, the first is b"):
        with_splits(photos, ["AA", "BB"])


def test_no_photos():
    photos, codes = world_photos(0)
    assert len(with_splits(photos, codes)) == 0


def test_the_views_of_a_location_have_one_split():
    views = pd.DataFrame(
        {
            "photo_id": list("abcd"),
            "lat": [np.nan, 10.00001, 9.99999, 9.5],
            "lon": [np.nan, 20.0, 20.0, 20.0],
            "location_id": ["L", "L", "L", "M"],
            "split": "",
        }
    )
    drawn = [with_splits(views, ["FR"] * 4, seed)["split"].tolist() for seed in range(200)]
    assert all(len(set(split[:3])) == 1 for split in drawn)
    assert any(split[0] != split[3] for split in drawn)
    alone = views.drop(columns="location_id")
    assert any(
        len(set(with_splits(alone, ["FR"] * 4, seed)["split"][:3])) > 1 for seed in range(200)
    )


def test_a_location_in_two_held_out_splits_is_refused():
    views = pd.DataFrame(
        {"photo_id": ["a", "b"], "location_id": ["L", "L"], "split": ["seen", "unseen"]}
    )
    with pytest.raises(GeoclipError, match="'L' is in the splits seen and unseen"):
        with_splits(views, ["FR", "FR"])
    for fine in (
        views.assign(location_id=["L", "M"]),
        views.assign(split=["train", "seen"]),  # explicit splits may do that
    ):
        assert with_splits(fine, ["FR", "FR"]) is fine


def held_back_world(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Photos with splits, then the same with some held back, and their `code`."""
    photos, codes = world_photos()
    split = with_splits(photos, codes, seed=5).assign(code=codes)
    return split, hold_back(split, codes, seed)


def test_what_is_held_back_is_whole_and_was_to_be_trained_on():
    before, after = held_back_world()
    kept = before["split"] != TRAIN
    assert after.loc[kept, "split"].tolist() == before.loc[kept, "split"].tolist()
    assert set(after.loc[~kept, "split"]) == {TRAIN, *HELD_BACK}
    drawn = set(after.loc[after["split"] == PSEUDO_UNSEEN, "code"])
    assert not drawn & set(after.loc[after["split"].isin([TRAIN, PSEUDO_SEEN]), "code"])
    train = after[~kept]
    blocks = [np.floor(train["lat"]), np.floor(train["lon"])]
    assert (train["split"].groupby(blocks).nunique() == 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_tenth_of_the_countries_is_held_back_at_most(seed):
    before, after = held_back_world(seed)
    train = before[before["split"] == TRAIN]
    unseen = after[after["split"] == PSEUDO_UNSEEN]
    assert unseen["code"].nunique() == pytest.approx(0.1 * train["code"].nunique(), abs=3)
    assert len(unseen) <= 0.1 * len(train)
    others = after["split"].isin([TRAIN, PSEUDO_SEEN])
    share = (after.loc[others, "split"] == PSEUDO_SEEN).mean()
    assert share == pytest.approx(0.05, abs=0.02)


def test_other_photos_say_nothing_of_what_is_held_back():
    before, after = held_back_world()
    train = before["split"] == TRAIN
    moved = before.assign(lat=before["lat"].where(train, 0.0), lon=before["lon"].where(train, 0.0))
    codes = before["code"].where(train, "ZZ")
    again = hold_back(moved, codes)
    assert again["split"].tolist() == after["split"].tolist()
    alone = hold_back(before[train], before.loc[train, "code"])
    assert alone["split"].tolist() == after.loc[train, "split"].tolist()


def test_countries_of_a_fitting_size_are_held_back():
    """Not the giant, and none of one location as long as there are others."""
    codes = ["GIANT"] * 900 + [f"{i:02}" for i in range(40) for _ in range(3)]
    codes += [f"tiny{i}" for i in range(200)]
    n = len(codes)
    lat = np.linspace(-80, 80, n)
    photos = pd.DataFrame({"photo_id": range(n), "lat": lat, "lon": lat, "split": TRAIN})
    for seed in range(20):
        after = hold_back(photos, codes, seed)
        drawn = set(np.array(codes)[after["split"] == PSEUDO_UNSEEN])
        assert len(drawn) == 4
        assert not any(code.startswith(("GIANT", "tiny")) for code in drawn)


def test_nothing_is_held_back_of_few_countries_or_for_no_share():
    photos, codes = world_photos(600)
    photos = photos.assign(split=TRAIN)
    few = np.array([f"{i % 20}" for i in range(600)], dtype=object)
    assert set(hold_back(photos, few)["split"]) == {TRAIN}
    assert set(hold_back(photos, codes, share=0.0)["split"]) == {TRAIN}


def test_views_are_held_back_together():
    photos, codes = world_photos()
    places = np.array([f"{a:.0f} {b:.0f} {c}" for a, b, c in
                       zip(photos["lat"], photos["lon"], codes, strict=True)])  # fmt: skip
    after = hold_back(photos.assign(split=TRAIN, location_id=places), codes)
    assert (after["split"].groupby(places).nunique() == 1).all()
    assert set(after["split"]) == {TRAIN, *HELD_BACK}


def test_photos_of_stated_places_are_held_out_by_place_and_by_location():
    """Classes of a table of levels have no coordinates and no country."""
    n = 6000
    photos = pd.DataFrame({"photo_id": [f"{i}.jpg" for i in range(n)], "lat": NAN, "lon": NAN})
    photos = photos.assign(split="", country_code="", location_id=[str(i // 2) for i in range(n)])
    classes = np.array([f"class {i // 20}" for i in range(n)], dtype=object)
    table = with_splits(photos, classes, seed=0, share=0.2)
    unseen = (table["split"] == UNSEEN).groupby(classes).mean()
    assert set(unseen) == {0, 1}
    assert unseen.mean() == pytest.approx(0.2, abs=0.06)
    others = table[table["split"] != UNSEEN]
    assert (others["split"] == SEEN).mean() == pytest.approx(0.2, abs=0.03)
    assert (table.groupby("location_id")["split"].nunique() == 1).all()
    of_countries = with_splits(photos.assign(country_code="FR"), classes, seed=0, share=0.2)
    assert set(of_countries["split"]) == {TRAIN, UNSEEN}
