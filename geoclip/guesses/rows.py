"""Rankings, stated positions and failures → rows of the table of guesses.

Every function gives a frame with an `order` column, by which the rows of a block are sorted.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from geoclip.guesses.schema import GPS, MODEL
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.labels import places_and_abroad
from geoclip.places.place import CITY, COUNTRY, REGION
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.ranking import Ranking

NAMED_COUNTRIES = 5
CLASS_COLUMNS = ["country_id", "region_id", "city_id", "country_ranking", "continent_ranking"]


def ranked_rows(
    gazetteer: Gazetteer,
    hierarchy: Hierarchy,
    order: np.ndarray,
    paths: np.ndarray,
    ranking: Ranking,
    top_k: int,
    source: str | np.ndarray = MODEL,
) -> pd.DataFrame:
    """Up to `top_k` rows for each of N photos; `order`, `paths` and `source` are (N,).

    Places of probability 0 are left out.
    """
    k = min(top_k, ranking.cities.shape[1])
    n = len(ranking.cities)
    rows = hierarchy.cities[ranking.cities[:, :k].reshape(-1)]
    probabilities = ranking.probabilities[:, :k].reshape(-1)
    point = rows.copy()
    point[::k] = hierarchy.cities[ranking.points]
    radius = np.full(len(rows), np.nan)
    radius[::k] = ranking.radius
    sources = np.full(n, source, dtype=object) if isinstance(source, str) else source
    frame = {
        "order": np.repeat(order, k),
        "path": np.repeat(paths, k),
        "rank": np.tile(np.arange(1, k + 1), n),
        "source": np.repeat(sources, k),
        **place_columns(gazetteer, rows),
        "lat": gazetteer.lat[point],
        "lon": gazetteer.lon[point],
        "probability": probabilities,
        "radius_km": radius,
        "status": "ok",
    }
    return pd.DataFrame(frame)[probabilities > 0]


def gps_rows(
    gazetteer: Gazetteer, order: np.ndarray, paths: np.ndarray, lat: np.ndarray, lon: np.ndarray
) -> pd.DataFrame:
    """One row for each photo of known position, with the nearest city of its country as its place.

    The place is empty where the gazetteer has none in the country that the point lies in.
    """
    located = pd.DataFrame({"photo_id": paths, "lat": lat, "lon": lon, "country_code": ""})
    rows, abroad = places_and_abroad(located, gazetteer)
    places = pd.DataFrame(place_columns(gazetteer, rows))
    names = ["place_id", "city", "region", "country", "country_code"]
    places.loc[abroad, names] = ""
    places.loc[abroad, ["place_lat", "place_lon"]] = np.nan
    return pd.DataFrame(
        {
            "order": order,
            "path": paths,
            "rank": 1,
            "source": GPS,
            **places,
            "lat": lat,
            "lon": lon,
            "probability": np.where(abroad, np.nan, 1.0),
            "radius_km": np.nan,
            "status": "ok",
        }
    )


def rows_without_place(order: np.ndarray, paths: np.ndarray, status: Sequence[str]) -> pd.DataFrame:
    """One row without a place for each photo; `status` says why."""
    rows = {"order": order, "path": paths, "rank": 1, "source": "", "status": status}
    return pd.DataFrame(rows)


def place_columns(gazetteer: Gazetteer, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Ids, names and coordinates of places by gazetteer row; "" for levels below them."""
    g, chains = gazetteer, gazetteer.ancestors[rows]
    return {
        "place_id": g.ids[rows],
        "city": np.where(chains[:, CITY] >= 0, g.names[chains[:, CITY]], ""),
        "region": np.where(chains[:, REGION] >= 0, g.names[chains[:, REGION]], ""),
        "country": g.names[chains[:, COUNTRY]],
        "country_code": g.country_codes[rows],
        "place_lat": g.lat[rows],
        "place_lon": g.lon[rows],
    }


def class_rows(gazetteer: Gazetteer, hierarchy: Hierarchy, ranking: Ranking) -> pd.DataFrame:
    """The classes of N photos in `CLASS_COLUMNS`.

    Country and region are the most probable ones, the city is the first listed (of models that
    choose their point by region the reported one). Continents are ranked by the probabilities of
    the countries in `Ranking.countries`: the long tail of all others says little of a photo.
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
