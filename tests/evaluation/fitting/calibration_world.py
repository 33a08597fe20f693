"""A world whose posterior is known: true places are drawn from it, at temperatures of choice."""

import numpy as np
from small_world import place_table

from geoclip.evaluation.fitting.known_photos import KnownPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import RankingSettings

WIDTH = 24
CONTINENTS = ("AF", "AS", "EU")


def known_world(
    seed: int,
    photos: int,
    settings: RankingSettings,
    scale: float = 9.0,
    sources: int = 3,
) -> tuple[PlaceRanker, KnownPhotos]:
    """A ranker with default settings and photos whose true places follow `settings`."""
    rng = np.random.default_rng(seed)
    gazetteer = _gazetteer(rng)
    places = _unit(rng.normal(size=(len(gazetteer), WIDTH)))
    ranker = PlaceRanker(PlaceIndex(places, "key"), gazetteer, scale)
    values = _unit(rng.normal(size=(photos, WIDTH)))
    log_p = ranker.with_settings(settings).posterior(values).log_cities
    h = ranker.hierarchy
    city = np.array(
        [rng.choice(len(h.cities), p=row / row.sum()) for row in np.exp(log_p, dtype=float)]
    )
    return ranker, KnownPhotos(
        values,
        h.lat[city],
        h.lon[city],
        h.country_codes[h.city_country[city]].astype(object),
        np.array([f"source {i % sources}" for i in range(photos)], dtype=object),
        np.array([f"place {i}" for i in range(photos)], dtype=object),
    )


def _gazetteer(rng: np.random.Generator) -> Gazetteer:
    countries, regions, cities = [], [], []
    for k in range(12):
        code = f"{'ABCDEFGHIJKL'[k]}X"
        countries.append((code, code, CONTINENTS[k % 3], code))
        lat, lon = rng.uniform(-50, 50), rng.uniform(-170, 170)
        for r in range(4):
            regions.append((f"{code}.{r}", f"{code}.{r}"))
            for c in range(1 + k % 5):
                where = lat + rng.uniform(-5, 5), lon + rng.uniform(-5, 5)
                cities.append((f"{code}{r}{c}", "name", f"{code}.{r}", *where, 10_000))
    return Gazetteer(place_table(countries, regions, cities))


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
