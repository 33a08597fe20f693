"""The continent, country, region and city of true points and of guessed places."""

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geoclip.places.country_names import code_or_word
from geoclip.places.gazetteer import NO_ROW, Gazetteer
from geoclip.places.labels import places_and_abroad
from geoclip.places.place import CONTINENTS, LEVELS

CLASS_LEVELS = ("continent", *LEVELS)
DEPTH = {name: depth for depth, name in enumerate(("none", *CLASS_LEVELS))} | {"spot": 4}
CONTINENT_CODES = {name: code for code, name in CONTINENTS.items()} | {
    code: code for code in CONTINENTS
}


@cache
def packaged_gazetteer() -> Gazetteer:
    """The packaged gazetteer, read once."""
    return Gazetteer.default()


def true_classes(truth: pd.DataFrame, gazetteer: Gazetteer) -> pd.DataFrame:
    """Classes of n true points: columns `CLASS_LEVELS` of continent code, country code and ids.

    `truth` has photo_id, lat and lon in degrees, and optionally country_code. A point without a
    code has the country around it, see `places.labels.place_rows`; at sea its classes are "",
    unknown. A code outside the gazetteer stays unchanged; the other classes of its photo are
    unknown.
    """
    given = truth["country_code"].map(code_or_word) if "country_code" in truth else ""
    photos = truth[["photo_id", "lat", "lon"]].assign(country_code=given)
    countries = gazetteer.ids[gazetteer.level_rows("country")]
    strange = ((photos["country_code"] != "") & ~photos["country_code"].isin(countries)).to_numpy()
    rows = np.full(len(photos), NO_ROW)
    places, abroad = places_and_abroad(photos[~strange], gazetteer)
    rows[~strange] = np.where(abroad, NO_ROW, places)
    classes = _classes_of_rows(rows, gazetteer)
    classes["country"] = classes["country"].where(~strange, photos["country_code"].to_numpy())
    return classes


def place_classes(guesses: pd.DataFrame, gazetteer: Gazetteer) -> pd.DataFrame:
    """Classes (n rows) of each guess's place and its ancestors; "" for none.

    `guesses` has the columns of `guesses.schema`; its continent may be a code, too.
    """
    rows = gazetteer_rows(guesses["place_id"], gazetteer)
    # SA is South America, and Saudi Arabia.
    rows[guesses["level"].isin(["continent", "none"]).to_numpy(dtype=bool)] = NO_ROW
    classes = _classes_of_rows(rows, gazetteer)
    code = guesses["country_code"].str.strip().str.upper().to_numpy(dtype=object)
    classes["country"] = np.where(code != "", code, classes["country"])
    country_rows = gazetteer_rows(classes["country"], gazetteer)
    by_country = _classes_of_rows(country_rows, gazetteer)["continent"]
    by_name = guesses["continent"].map(CONTINENT_CODES.get).fillna("").to_numpy(dtype=object)
    classes["continent"] = np.where(by_name != "", by_name, by_country)
    return classes.astype(object)


def named_depth(guesses: pd.DataFrame, gazetteer: Gazetteer) -> NDArray[np.int64]:
    """The level (n,) to which each guess names its place: 0 none, 1 continent, 2 country, 3 region,
    4 city.

    It comes from the column `level`; if that is empty, from the level of its place_id, else 2 if a
    country_code is given.
    """
    rows = gazetteer_rows(guesses["place_id"], gazetteer)
    by_place = np.where(rows == NO_ROW, 0, gazetteer.levels[rows] + 2)
    by_code = np.where(guesses["country_code"] != "", 2, 0)
    stated = guesses["level"].map(DEPTH.get).astype(float).to_numpy()
    unstated = np.where(rows == NO_ROW, by_code, by_place)
    return np.where(np.isnan(stated), unstated, stated).astype(np.int64)


def gazetteer_rows(ids: pd.Series, gazetteer: Gazetteer) -> NDArray[np.int64]:
    """Rows (n,) of place ids, -1 for ids outside the gazetteer."""
    known = ids.map(lambda one: one in gazetteer).to_numpy(dtype=bool)
    rows = np.full(len(ids), NO_ROW, dtype=np.int64)
    rows[known] = gazetteer.rows(ids[known])
    return rows


def _classes_of_rows(rows: NDArray[np.int64], gazetteer: Gazetteer) -> pd.DataFrame:
    """Classes of gazetteer rows (n,); "" for -1."""
    known = rows != NO_ROW
    columns = {"continent": np.where(known, gazetteer.continents[rows], "")}
    for number, level in enumerate(LEVELS):
        above = gazetteer.ancestors[rows, number]
        columns[level] = np.where(known & (above != NO_ROW), gazetteer.ids[above], "")
    return pd.DataFrame(columns, dtype=object)
