"""Rankings, stated positions and failures → rows of the table of guesses.

Every function returns a frame with an `order` column, which sorts the rows of a block.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from geoclip.guesses.schema import GPS, MODEL
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.labels import places_and_abroad
from geoclip.places.place import CONTINENTS
from geoclip.ranking.confidence import Level
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.level_ranking import LevelRanking
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import Ranking

NAMED_COUNTRIES = 5
CLASS_COLUMNS = ["country_id", "region_id", "city_id", "country_ranking", "continent_ranking"]


def ranked_rows(
    ranker: PlaceRanker,
    order: np.ndarray,
    paths: np.ndarray,
    ranking: LevelRanking,
    top_k: int,
    source: str = MODEL,
) -> pd.DataFrame:
    """Up to `top_k` rows for each of N photos of one source; `order` and `paths` are (N,).

    Places of probability 0 are left out.
    """
    g, h = ranker.gazetteer, ranker.hierarchy
    n, k = len(ranking.level), min(top_k, ranking.places.shape[1])
    listed = ranking.listed[:, :k].reshape(-1)
    places = ranking.places[:, :k].reshape(-1, 4)[listed]
    probabilities = ranking.probabilities[:, :k]
    rank = np.tile(np.arange(1, k + 1), n)[listed]
    photo = np.repeat(np.arange(n), k)[listed]
    main = h.cities[ranker.main_cities.of_places(places)]
    best, point = rank == 1, h.cities[ranking.points[photo]]
    levels = (h.countries, h.regions, h.cities)
    rows = [_rows_at(all_rows, at) for all_rows, at in zip(levels, places.T[1:], strict=True)]
    level = ranking.level[photo]
    named = _named(g, h.continents[places[:, 0]], *rows)
    named["place_id"] = np.where(level == Level.none, "", named["place_id"])
    frame = {
        "order": order[photo],
        "path": paths[photo],
        "rank": rank,
        "source": source,
        "level": np.array([name.name for name in Level], dtype=object)[level],
        **named,
        **_probabilities(probabilities.reshape(n * k, -1)[listed], level),
        "lat": g.lat[np.where(best, point, main)],
        "lon": g.lon[np.where(best, point, main)],
        "place_lat": g.lat[main],
        "place_lon": g.lon[main],
        "radius_km": np.where(best, ranking.radius[photo], np.nan),
        "radius_90_km": np.where(best, ranking.radius_90[photo], np.nan),
        "status": "ok",
    }
    return pd.DataFrame(frame)


def _rows_at(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Gazetteer rows (n,) at positions of a level, -1 for -1."""
    return np.asarray(np.append(rows, -1)[positions])


def _named(
    gazetteer: Gazetteer,
    continents: np.ndarray,
    countries: np.ndarray,
    regions: np.ndarray,
    cities: np.ndarray,
) -> dict[str, np.ndarray]:
    """Ids and names of places from continents' codes and gazetteer rows, -1 for none."""
    g = gazetteer
    ids, names, codes = (np.append(texts, "") for texts in (g.ids, g.names, g.country_codes))
    deepest = np.where(cities >= 0, cities, np.where(regions >= 0, regions, countries))
    return {
        "place_id": np.where(deepest < 0, continents, ids[deepest]),
        "continent": np.array([CONTINENTS.get(code, code) for code in continents], dtype=object),
        "country": names[countries],
        "country_code": codes[countries],
        "region": names[regions],
        "city": names[cities],
    }


def _probabilities(p: np.ndarray, level: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of probabilities (n, 4 or 5) of rows of levels (n,); NaN without a place."""
    own = p[np.arange(len(p)), np.maximum(level, Level.continent) - 1]
    named = (Level.continent, Level.country, Level.region, Level.city)
    columns = {f"{name.name}_probability": p[:, name - 1] for name in named}
    return {"probability": np.where(level == Level.none, np.nan, own), **columns}


def gps_rows(
    gazetteer: Gazetteer, order: np.ndarray, paths: np.ndarray, lat: np.ndarray, lon: np.ndarray
) -> pd.DataFrame:
    """One row for each photo of known position, with the nearest city of its country as its place.

    Its level is city, or country where the gazetteer has no city of it. The place is empty and the
    level none at sea and if the gazetteer has no place in the point's country.
    """
    located = pd.DataFrame({"photo_id": paths, "lat": lat, "lon": lon, "country_code": ""})
    rows, abroad = places_and_abroad(located, gazetteer)
    chains = gazetteer.ancestors[rows].T
    places = pd.DataFrame(_named(gazetteer, gazetteer.continents[rows], *chains))
    places.loc[abroad] = ""
    certain = {
        f"{name}_probability": np.where(places[name] == "", np.nan, 1.0)
        for name in ("continent", "country", "region", "city")
    }
    level = np.where(places["city"] == "", np.where(abroad, "none", "country"), "city")
    return pd.DataFrame(
        {
            "order": order,
            "path": paths,
            "rank": 1,
            "source": GPS,
            "level": level,
            **places,
            "probability": np.where(abroad, np.nan, 1.0),
            **certain,
            "lat": lat,
            "lon": lon,
            "place_lat": np.where(abroad, np.nan, gazetteer.lat[rows]),
            "place_lon": np.where(abroad, np.nan, gazetteer.lon[rows]),
            "radius_km": np.nan,
            "radius_90_km": np.nan,
            "status": "ok",
        }
    )


def rows_without_place(order: np.ndarray, paths: np.ndarray, status: Sequence[str]) -> pd.DataFrame:
    """One row without a place for each photo; `status` says why."""
    rows = {"order": order, "path": paths, "rank": 1, "source": "", "status": status}
    return pd.DataFrame(rows)


def class_rows(gazetteer: Gazetteer, hierarchy: Hierarchy, ranking: Ranking) -> pd.DataFrame:
    """The classes of N photos in `CLASS_COLUMNS`.

    Country and region are the most probable ones, the city is the first listed (for models with a
    point by region, the reported one). Continents are ranked by the probabilities of the countries
    in `Ranking.countries`: the long tail of all others says little about a photo.
    """
    g, h = gazetteer, hierarchy
    countries = h.countries[ranking.countries]
    region_ids = np.append(g.ids[h.regions], "")  # position -1: no region
    codes = [" ".join(g.ids[row[:NAMED_COUNTRIES]]) for row in countries]
    of_row = zip(g.continents[countries], ranking.country_probabilities, strict=True)
    continents = [" ".join(_by_probability(names, p)) for names, p in of_row]
    values = (
        g.ids[countries[:, 0]],
        region_ids[ranking.regions],
        g.ids[h.cities[ranking.cities[:, 0]]],
        np.array(codes, object),
        np.array(continents, object),
    )
    return pd.DataFrame(dict(zip(CLASS_COLUMNS, values, strict=True)))


def _by_probability(names: np.ndarray, probabilities: np.ndarray) -> list[str]:
    """Distinct names by the sum of their probabilities, largest first, ties by first mention."""
    totals: dict[str, float] = dict.fromkeys(names, 0.0)
    for name, p in zip(names, probabilities, strict=True):
        totals[name] += p
    return sorted(totals, key=lambda name: -totals[name])
