"""Aerial tiles: which features of a place they show, beside the streets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from geoclip.places.gazetteer import Gazetteer
from pipelines.planet.aerial import draw_aerial
from pipelines.planet.climate import Climate, generator
from pipelines.planet.facts import CountryFacts
from pipelines.planet.planet import Planet, PlanetSettings
from pipelines.planet.traits import NAMES, SceneTraits

MILD = Climate(temperature=16.0, aridity=0.2, hilliness=0.3, sun=0.7)
PLAIN = SceneTraits(CountryFacts("XX"), MILD, dict.fromkeys(NAMES, 0.0))
SMALL = PlanetSettings(
    train_places=240, train_views=2, seen_places=20, unseen_places=20, held_out_countries=5
)


def tiles(traits: SceneTraits, n: int = 16) -> np.ndarray:
    return np.stack([np.asarray(draw_aerial(traits, generator("tile", i))) for i in range(n)])


def test_the_same_chance_gives_the_same_bytes() -> None:
    first, again = (draw_aerial(PLAIN, generator(1, "a"), 32) for _ in range(2))
    assert first.tobytes() == again.tobytes() and first.size == (32, 32)
    assert draw_aerial(PLAIN, generator(2, "a"), 32).tobytes() != first.tobytes()


@pytest.mark.parametrize("part", ["roof", "leaf", "soil", "verge", "fence", "road"])
def test_a_warm_trait_makes_the_tile_redder(part: str) -> None:
    redness = [
        (picture[..., 0].astype(float) - picture[..., 2]).mean()
        for value in (1.5, -1.5)
        for picture in (tiles(replace(PLAIN, style={**PLAIN.style, f"{part}_warm": value})),)
    ]
    assert redness[0] > redness[1] + 0.5


@pytest.mark.parametrize("name", ["wall_warm", "sign_light", "pole_height", "windows"])
def test_what_only_a_street_shows_is_not_there(name: str) -> None:
    changed = replace(PLAIN, style={**PLAIN.style, name: 1.5})
    assert (tiles(changed, 4) == tiles(PLAIN, 4)).all()


def test_paint_side_of_driving_and_climate_show() -> None:
    plain = tiles(PLAIN)
    for change in (
        replace(PLAIN, facts=replace(PLAIN.facts, centre_line="yellow")),
        replace(PLAIN, facts=replace(PLAIN.facts, drives_on="left")),
        replace(PLAIN, climate=replace(MILD, aridity=1.0)),
    ):
        assert np.abs(tiles(change).astype(float) - plain).mean() > 0.02


def test_a_planet_with_tiles_has_one_beside_each_photo(world: Gazetteer) -> None:
    plain = Planet(world, SMALL).photos
    both = Planet(world, replace(SMALL, aerial=True)).photos
    assert (plain["kind"] == "street").all() and len(both) == 2 * len(plain)
    streets, tiled = both[both["kind"] == "street"], both[both["kind"] == "aerial"]
    pd.testing.assert_frame_equal(streets.reset_index(drop=True), plain)
    assert set(tiled["split"]) == {"train", "seen_aerial", "unseen_aerial"}
    assert (tiled["lat"].to_numpy() == plain["lat"].to_numpy()).all()
    assert not set(tiled["location_id"]) & set(streets["location_id"])
    assert both["photo_id"].is_unique


def test_files_are_those_that_are_rendered(world: Gazetteer, tmp_path) -> None:
    few = replace(SMALL, train_places=220, train_views=1, seen_places=2, unseen_places=2)
    planet = Planet(world, replace(few, image_size=16, aerial=True))
    table = pd.read_csv(planet.write(tmp_path), keep_default_na=False)
    tile = table[table["split"] == "seen_aerial"].iloc[0]
    assert tile["location_id"].endswith("-aerial") and tile["path"].endswith("-aerial.jpg")
    place = tile["location_id"].removesuffix("-aerial")
    view = int(tile["path"].split("-")[-2])
    from PIL import Image

    with Image.open(tmp_path / tile["path"]) as image:
        written = np.asarray(image).astype(int)
    drawn = np.asarray(planet.render(place, view, "aerial")).astype(int)
    street = np.asarray(planet.render(place, view)).astype(int)
    assert np.abs(written - drawn).mean() < 12 < np.abs(written - street).mean()
