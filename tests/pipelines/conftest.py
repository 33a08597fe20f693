"""A small planet on a small gazetteer, and one Ray for all tests of the pipelines."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from loopback_s3 import make_bucket, s3_server

from geoclip.places.gazetteer import Gazetteer
from geoclip.places.gazetteer_tables import default_folder
from geoclip.training.settings import TrainingSettings
from pipelines import addresses, storage
from pipelines.cluster import ray_session
from pipelines.planet.planet import Planet, PlanetSettings

CITIES_A_COUNTRY = 4
SMALL = PlanetSettings(
    train_places=60, train_views=2, seen_places=16, unseen_places=16, held_out_countries=12
)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket `photos` on an S3-compatible server, as a URI."""
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        _forget_servers()
        yield make_bucket("photos")
    _forget_servers()


def _forget_servers() -> None:
    """Close the files of another server, which have the same names."""
    storage._remote.cache_clear()
    addresses._opened.cache_clear()


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
    """Ray on this machine with two fake GPUs, shared by the tests of the pipelines."""
    with ray_session(cpus=2, gpus=2):
        yield


@pytest.fixture(scope="session")
def run_settings() -> TrainingSettings:
    """A few steps of training."""
    return TrainingSettings(epochs=2, batch_size=32, learning_rate=1e-3, text_learning_rate=0.0)


@pytest.fixture(scope="session")
def run(
    few_places: Path,
    planet_photos: Path,
    run_settings: TrainingSettings,
    ray_on_two_cpus: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The outputs of the main job for the small planet, trained on two workers.

    It asks for GPUs that Ray counts and PyTorch does not see, where there are no real ones: the
    CPUs compute, and the tests compare the results with those without Ray.
    """
    from pipelines.end_to_end import end_to_end

    out, use_gpu = tmp_path_factory.mktemp("run"), not torch.cuda.is_available()
    options = {"gazetteer": few_places, "workers": 2, "use_gpu": use_gpu}
    end_to_end(out, [planet_photos], settings=run_settings, **options)
    return out
