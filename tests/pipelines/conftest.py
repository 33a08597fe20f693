"""A small planet on a small gazetteer, and one Ray for all tests of the pipelines."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from geoclip.demo import Planet, PlanetSettings
from geoclip.gazetteer import Gazetteer
from geoclip.gazetteer_tables import default_folder
from pipelines.cluster import ray_session

CITIES_A_COUNTRY = 4
SMALL = PlanetSettings(
    train_places=60, train_views=2, seen_places=16, unseen_places=16, held_out_countries=12
)


@pytest.fixture(scope="session")
def few_places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged gazetteer with no more than the largest cities of each country."""
    folder, source = tmp_path_factory.mktemp("gazetteer"), default_folder()
    tables = {
        name: pd.read_csv(source / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in ("countries", "regions", "cities")
    }
    cities = tables["cities"]
    largest = cities["population"].astype(int).sort_values(ascending=False).index
    cities = cities.loc[largest].groupby("country_code").head(CITIES_A_COUNTRY)
    regions = tables["regions"]
    tables["regions"] = regions[regions["place_id"].isin(cities["region_id"])]
    tables["cities"] = cities
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def planet_photos(few_places: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos.csv of a small planet."""
    planet = Planet(Gazetteer.read(few_places), SMALL)
    return planet.write(tmp_path_factory.mktemp("planet"))


@pytest.fixture(scope="session")
def ray_on_two_cpus() -> Iterator[None]:
    """Ray on this machine, shared by the tests of the pipelines."""
    with ray_session(cpus=2):
        yield
