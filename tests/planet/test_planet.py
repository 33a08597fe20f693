import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import great_circle_km
from pipelines.planet.planet import Planet, PlanetSettings

SMALL = PlanetSettings(
    train_places=240, train_views=2, seen_places=21, unseen_places=30, held_out_countries=12
)
COLUMNS = ["photo_id", "place_id", "lat", "lon", "country_code", "location_id", "split", "view"]
COLUMNS += ["kind"]
PARIS = "2988507"


@pytest.fixture(scope="module")
def gazetteer() -> Gazetteer:
    return Gazetteer.default()


@pytest.fixture(scope="module")
def planet(gazetteer) -> Planet:
    return Planet(gazetteer, SMALL)


@pytest.fixture(scope="module")
def world(gazetteer) -> Planet:
    """The planet of the default size; its tables only, nothing is drawn."""
    return Planet(gazetteer)


def test_sizes_and_columns(planet):
    assert [len(planet.train), len(planet.seen), len(planet.unseen)] == [480, 21, 30]
    for split in ("train", "seen", "unseen"):
        table = getattr(planet, split)
        assert list(table.columns) == COLUMNS and set(table["split"]) == {split}
    assert planet.photos["photo_id"].is_unique
    assert "480 train, 21 seen, 30 unseen photos, 12 countries held out" in repr(planet)


def test_default_sizes(world):
    assert [len(world.train), len(world.seen), len(world.unseen)] == [6000, 600, 600]
    assert world.train["country_code"].nunique() >= 150
    assert world.train["country_code"].value_counts(normalize=True).iloc[0] < 0.05


def test_countries_held_out_are_never_trained_on(world):
    trained = set(world.train["country_code"])
    assert len(world.held_out) == 40
    assert set(world.unseen["country_code"]) == set(world.held_out)
    assert not set(world.held_out) & trained
    assert set(world.seen["country_code"]) <= trained
    for code in world.held_out:
        assert set(world.facts[code].neighbours) & trained


def test_countries_held_out_are_spread_over_the_continents(world):
    continents = dict(zip(world.gazetteer.country_codes, world.gazetteer.continents, strict=True))
    counts = pd.Series([continents[code] for code in world.held_out]).value_counts()
    assert {"AF", "AS", "EU", "NA", "SA"} <= set(counts.index) and counts.max() <= 20


def test_half_of_seen_are_new_views_of_trained_places(planet):
    known = planet.seen["place_id"].isin(planet.train["place_id"])
    assert known.sum() == 10
    assert (planet.seen.loc[known, "view"] == SMALL.train_views).all()
    assert (planet.seen.loc[~known, "view"] == 0).all()


def test_photos_are_taken_near_their_city(planet):
    photos = planet.photos
    rows = planet.gazetteer.rows(photos["place_id"].tolist())
    lat, lon = planet.gazetteer.lat[rows], planet.gazetteer.lon[rows]
    km = great_circle_km(lat, lon, photos["lat"], photos["lon"])
    assert 0.5 < np.median(km) < 3 and km.max() < 10
    nearest, _ = planet.gazetteer.nearest(photos["lat"].to_numpy(), photos["lon"].to_numpy())
    assert (nearest == photos["place_id"].to_numpy()).mean() > 0.75


def digest(planet: Planet, place_id: str, view: int) -> str:
    return hashlib.sha256(planet.render(place_id, view).tobytes()).hexdigest()


def test_scenes_do_not_depend_on_order_or_on_the_size_of_the_planet(planet, world):
    shots = [(PARIS, 0), (PARIS, 1), (planet.unseen["place_id"].iloc[0], 0)]
    forwards = [digest(planet, *shot) for shot in shots]
    backwards = [digest(world, *shot) for shot in reversed(shots)]
    assert forwards == backwards[::-1] and len(set(forwards)) == 3


def test_another_process_draws_the_same(planet):
    program = (
        "import hashlib; from geoclip.places.gazetteer import Gazetteer;"
        "from pipelines.planet.planet import Planet;"
        f"image = Planet(Gazetteer.default()).render('{PARIS}', 5);"
        "print(hashlib.sha256(image.tobytes()).hexdigest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env
    )
    assert answer.stdout.strip() == digest(planet, PARIS, 5)


def test_another_seed_is_another_planet(planet, gazetteer):
    other = Planet(gazetteer, PlanetSettings(seed=1, train_places=240, held_out_countries=12))
    assert digest(other, PARIS, 0) != digest(planet, PARIS, 0)
    assert other.held_out != planet.held_out
    assert set(other.train["place_id"]) != set(planet.train["place_id"])
    styles = [p.traits_of(PARIS).style["wall_warm"] for p in (planet, other)]
    assert abs(styles[0] - styles[1]) > 0.01


def test_the_scene_drives_on_the_countrys_side(planet):
    assert planet.traits_of(PARIS).facts.drives_on == "right"
    assert planet.traits_of("2643743").facts.drives_on == "left"  # London


@pytest.mark.parametrize("place_id", ["FR", "FR.11", "no such place"])
def test_only_cities_have_scenes(planet, place_id):
    with pytest.raises(GeoclipError, match=place_id):
        planet.render(place_id)


def test_scenes_tell_where_they_are(planet):
    """Nearest neighbour by true traits: far better than chance, also for untrained countries."""
    trained = planet.train.drop_duplicates("place_id")
    known = np.array([list(planet.traits_of(p).style.values()) for p in trained["place_id"]])
    for table in (planet.seen[10:], planet.unseen):
        asked = np.array([list(planet.traits_of(p).style.values()) for p in table["place_id"]])
        best = ((asked[:, None] - known) ** 2).sum(-1).argmin(1)
        lat, lon = (trained[axis].to_numpy()[best] for axis in ("lat", "lon"))
        assert np.median(great_circle_km(lat, lon, table["lat"], table["lon"])) < 1200


def test_written_photos_read_back(planet, tmp_path):
    tiny = Planet(
        planet.gazetteer,
        PlanetSettings(
            train_places=20, train_views=1, seen_places=4, unseen_places=6, held_out_countries=5
        ),
    )
    listed = tiny.write(tmp_path / "one")
    table = pd.read_csv(listed, dtype={"location_id": str}, keep_default_na=False)
    assert list(table.columns) == ["path", "lat", "lon", "country_code", "location_id", "split"]
    assert table["split"].value_counts().to_dict() == {"train": 20, "unseen": 6, "seen": 4}
    assert table["lat"].tolist() == tiny.photos["lat"].tolist()
    assert set(table["location_id"]) <= set(tiny.gazetteer.ids)
    for path, place_id, view in zip(
        table["path"], tiny.photos["place_id"], tiny.photos["view"], strict=True
    ):
        photo, scene = Image.open(listed.parent / path), tiny.render(place_id, view)
        assert photo.size == (64, 64) and photo.mode == "RGB"
        assert np.abs(np.asarray(photo).astype(int) - np.asarray(scene)).mean() < 12


def test_two_processes_write_the_same_files(planet, tmp_path):
    settings = PlanetSettings(
        train_places=10, train_views=1, seen_places=2, unseen_places=2, held_out_countries=2
    )
    tiny = Planet(planet.gazetteer, settings)
    folders = [tiny.write(tmp_path / str(jobs), jobs=jobs).parent for jobs in (1, 2)]
    contents = [
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in folders
    ]
    assert contents[0] == contents[1] and len(contents[0]) == 15


def test_no_process_at_all_is_refused(planet, tmp_path):
    with pytest.raises(GeoclipError, match="jobs is 0"):
        planet.write(tmp_path, jobs=0)
