"""A small world, tiny encoders and synthetic photos for the tests of training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import clip_encoder, timm_encoder

from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.training.photo_set import PhotoSet
from pipelines.embedded_models.cached_activations import with_mlp_projection

COUNTRIES = """place_id,name,iso3,continent,sovereign,lat,lon,population
FR,France,FRA,EU,FR,45.7,4.8,67000000
BE,Belgium,BEL,EU,BE,50.8,4.3,11000000
NA,Namibia,NAM,AF,NA,-22.5,17.0,2500000
SG,Singapore,SGP,AS,SG,1.3,103.8,5600000
BV,Bouvet Island,BVT,AN,BV,-54.4,3.4,0
"""
REGIONS = """place_id,name,ascii_name,country_code,lat,lon,population
FR.84,Auvergne-Rhône-Alpes,Auvergne-Rhone-Alpes,FR,45.7,4.8,520000
FR.11,Île-de-France,Ile-de-France,FR,48.9,2.3,2100000
BE.BRU,Brussels,Brussels,BE,50.8,4.3,1000000
NA.21,Khomas,Khomas,NA,-22.5,17.0,260000
"""
CITIES = """place_id,name,ascii_name,region_id,country_code,lat,lon,population
1,Lyon,Lyon,FR.84,FR,45.75,4.85,520774
2,Villeurbanne,Villeurbanne,FR.84,FR,45.77,4.88,150000
3,Paris,Paris,FR.11,FR,48.85,2.35,2138551
4,Saint-Denis,Saint-Denis,FR.11,FR,48.94,2.36,110000
5,Saint-Denis,Saint-Denis,FR.84,FR,45.9,5.1,20000
6,Brussels,Brussels,BE.BRU,BE,50.85,4.35,1019022
7,Windhoek,Windhoek,NA.21,NA,-22.56,17.08,268132
8,Singapore,Singapore,,SG,1.29,103.85,5638700
9,Woodlands,Woodlands,,SG,1.44,103.79,252530
"""


@pytest.fixture(scope="session")
def tiny_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `tiny_world`."""
    folder = tmp_path_factory.mktemp("gazetteer")
    for name, text in (("countries", COUNTRIES), ("regions", REGIONS), ("cities", CITIES)):
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_world(tiny_tables: Path) -> Gazetteer:
    """Five countries, one of them without a city, and two cities of one name in France."""
    return Gazetteer.read(tiny_tables)


@pytest.fixture(scope="session")
def book(tiny_world: Gazetteer) -> CaptionBook:
    return CaptionBook(tiny_world)


@pytest.fixture
def encoder() -> OpenClipEncoder:
    return clip_encoder()


@pytest.fixture
def start() -> OpenClipEncoder:
    """An encoder of a timm trunk whose projection is untrained."""
    return with_mlp_projection(timm_encoder())


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos: smooth colour fields with noise, each another."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(12):
        base = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
        image = Image.fromarray(base).resize((48, 40), Image.Resampling.BICUBIC)
        image.save(folder / f"{i}.png")
    return folder


@pytest.fixture
def photos(tiny_world: Gazetteer, photo_folder: Path) -> PhotoSet:
    """The twelve photos at Lyon, Paris, Brussels and so on; one known only to be in France."""
    places = ["1", "1", "2", "3", "3", "4", "5", "6", "7", "8", "9", "FR"]
    ids = [f"{i}.png" for i in range(12)]
    return PhotoSet(ids, [str(photo_folder / i) for i in ids], tiny_world.rows(places))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors lose more by waiting for threads than they gain."""
    torch.set_num_threads(1)
