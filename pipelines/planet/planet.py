"""The demonstration planet: photos of invented streets at real places.

A scene of a city is drawn from facts about its country (`facts`), a rough climate (`climate`),
thirty traits of style (`traits`) and chance. It depends only on (seed, place id, view): it is the
same on every machine and in every order of drawing, to the byte with the same versions of Pillow
and numpy.

What a scene shows:

- the country or a group of countries: side of driving, paint of the lines, plate, script;
- the climate: light of the sky, trees, grass, soil and snow follow latitude, deserts and mountains;
- the part of the world down to the region: colours of walls, roofs, boards, verges, fences and
  poles, and shapes, are smooth fields over the globe with wavelengths from 14,000 to 400 km;
- the country again: its offset from these fields, half of it shared with its neighbours;
- the admin-1 region: a smaller offset. Only the fields tell two cities of one region apart.

These hide it: each view shifts all traits by 0.2 of the fields' standard deviation, and each house
its own by another 0.2; light, tint and pixel noise; the camera's aim; cars, trees and dark things
in front; a tenth of the boards is missing; JPEG. A country held out in training may have a script
or a plate that no trained country has (Bengali at seed 0). Its fields, its climate and half of its
offset still lie between those of its trained neighbours.

The limit at seed 0: an ideal observer reads the thirty traits of a view exactly (with its shift of
0.2, without errors of houses and pixels) and answers the city with the nearest traits. If it knows
all cities, its median error is 6 km for seen and 3 km for unseen places, and 76 and 78 % lie within
25 km. If it knows only the trained cities: 12 and 236 km, 62 and 1 %. From pixels:

| seed 0, default sizes                                    | seen       | unseen     |
|----------------------------------------------------------|------------|------------|
| best constant answer, median km                          | 4,617      | 3,670      |
| ridge regression on 16 x 16 pixels, median km            | 1,627      | 1,748      |
| small convolutional net, a minute on one core, median km | 438        | 604        |
| the same, within 200 / 750 / 2,500 km, %                 | 17, 78, 99 | 11, 59, 95 |

These learners regress coordinates from the 6,000 training photos. They show the information in the
images, not what a contrastive encoder learns from them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import wrap_longitude
from pipelines.planet.climate import Climates, climate_at, generator
from pipelines.planet.facts import facts_of, read_facts
from pipelines.planet.planet_files import AERIAL, DRAWN, STREET, SceneFile, draw_files
from pipelines.planet.sampling import hold_out_countries, shares
from pipelines.planet.traits import NAMES, SceneTraits, style_of_places

KM_PER_DEGREE = 111.195
JITTER_KM = 1.5  # standard deviation of a photo's place around the city, to north and to east

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class PlanetSettings:
    """Size of the planet.

    There are `train_places * train_views` training photos. Half of `seen_places` are trained cities
    in a new view; the other half are other cities of trained countries. `unseen_places` are cities
    of the `held_out_countries` countries, which have no training photo. Each place of both kinds
    gets one view. A country gives about as many places as the square root of its number of cities.
    With `aerial` each photo has an aerial tile beside it, in training of the same split, else of
    the split seen_aerial or unseen_aerial; to a location its tiles are another one.
    """

    seed: int = 0
    image_size: int = 64
    train_places: int = 2000
    train_views: int = 3
    seen_places: int = 600
    unseen_places: int = 600
    held_out_countries: int = 40
    aerial: bool = False


@dataclass(frozen=True)
class _Split:
    """Rows of the gazetteer for each purpose."""

    train: list[int]
    seen_again: list[int]
    seen_new: list[int]
    unseen: list[int]


class Planet:
    """Photos of the demonstration planet for the cities of a gazetteer.

    `train`, `seen` and `unseen` are tables of photos with the columns photo_id, place_id, lat,
    lon, country_code, location_id (the city), split, view and kind (STREET or AERIAL).
    """

    def __init__(self, gazetteer: Gazetteer, settings: PlanetSettings | None = None) -> None:
        self.gazetteer = gazetteer
        self.settings = settings or PlanetSettings()
        self.facts = read_facts()

    def __repr__(self) -> str:
        held = len(self.held_out)
        sizes = f"{len(self.train)} train, {len(self.seen)} seen, {len(self.unseen)} unseen photos"
        return f"<Planet seed {self.settings.seed}: {sizes}, {held} countries held out>"

    @cached_property
    def held_out(self) -> tuple[str, ...]:
        """Codes of the countries without a training photo, sorted."""
        sizes = {code: len(rows) for code, rows in self._cities.items()}
        continent = dict(zip(self.gazetteer.country_codes, self.gazetteer.continents, strict=True))
        count = self.settings.held_out_countries
        return hold_out_countries(sizes, continent, self.facts, count, self.settings.seed)

    @cached_property
    def train(self) -> pd.DataFrame:
        """Photos to train on: `train_views` views of each trained city."""
        views = range(self.settings.train_views)
        return self._table("train", [(row, view) for row in self._split.train for view in views])

    @cached_property
    def seen(self) -> pd.DataFrame:
        """New views of trained cities, then first views of other cities of trained countries."""
        new_view = self.settings.train_views
        again = [(row, new_view) for row in self._split.seen_again]
        return self._table("seen", again + [(row, 0) for row in self._split.seen_new])

    @cached_property
    def unseen(self) -> pd.DataFrame:
        """First views of cities in the countries held out."""
        return self._table("unseen", [(row, 0) for row in self._split.unseen])

    @property
    def photos(self) -> pd.DataFrame:
        """All three tables, one after another."""
        return pd.concat([self.train, self.seen, self.unseen], ignore_index=True)

    def traits_of(self, place_id: str) -> SceneTraits:
        """All inputs of a city's scenes, apart from chance.

        Raises GeoclipError for an id that is not a city of the gazetteer.
        """
        row = int(self.gazetteer.rows([place_id])[0])
        if row not in self._style_index:
            raise GeoclipError(f"{place_id} is not a city: scenes are drawn for cities only.")
        index = self._style_index[row]
        style = dict(zip(NAMES, self._styles[index].tolist(), strict=True))
        code = self.gazetteer.country_codes[row]
        return SceneTraits(facts_of(self.facts, code), self._climates[index], style)

    def render(self, place_id: str, view: int = 0, kind: str = STREET) -> Image.Image:
        """One scene of a city, RGB; it depends only on (seed, place_id, view, kind)."""
        traits, key = self.traits_of(place_id), self._key(place_id, view, kind)
        return DRAWN[kind](traits, generator(*key), self.settings.image_size)

    def write(self, folder: Path | str, jobs: int = 1) -> Path:
        """Draw all photos into `folder`/images and list them in `folder`/photos.csv.

        The list has the columns path (relative to it), lat, lon, country_code, location_id and
        split. `jobs` processes draw in parallel; the files are the same for any number.
        """
        folder = Path(folder)
        photos = self.photos
        paths = ("images/" + photos["split"] + "/" + photos["photo_id"] + ".jpg").tolist()
        for split in photos["split"].unique():
            (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        draw_files(self._files(photos, [folder / path for path in paths]), jobs)
        columns = ["lat", "lon", "country_code", "location_id", "split"]
        table = photos[columns]
        table.insert(0, "path", paths)
        table.to_csv(folder / "photos.csv", index=False, lineterminator="\n")
        return folder / "photos.csv"

    @cached_property
    def _cities(self) -> dict[str, list[int]]:
        """Rows of each country's cities, in a random order that depends only on seed and ids."""
        rows_of: dict[str, list[int]] = {}
        rows = self.gazetteer.level_rows("city")
        for row in rows[np.argsort(self.gazetteer.ids[rows])].tolist():
            rows_of.setdefault(self.gazetteer.country_codes[row], []).append(row)
        for code in sorted(rows_of):
            generator(self.settings.seed, "cities", code).shuffle(rows_of[code])
        return rows_of

    @cached_property
    def _split(self) -> _Split:
        settings = self.settings
        trained = sorted(set(self._cities) - set(self.held_out))
        train, left = _take([self._cities[code] for code in trained], settings.train_places)
        whole = [len(self._cities[code]) for code in trained]
        left = [rest for rest, n in zip(left, whole, strict=True) if len(rest) < n]
        seen_new, _ = _take(left, settings.seen_places - settings.seen_places // 2)
        rng = generator(settings.seed, "seen again")
        again = rng.permutation(len(train))[: settings.seen_places // 2]
        unseen, _ = _take([self._cities[code] for code in self.held_out], settings.unseen_places)
        return _Split(train, [train[i] for i in sorted(again.tolist())], seen_new, unseen)

    @cached_property
    def _style_index(self) -> dict[int, int]:
        """Row of a city in the gazetteer -> its position in the arrays of traits."""
        return {row: i for i, row in enumerate(self.gazetteer.level_rows("city").tolist())}

    @cached_property
    def _styles(self) -> NDArray[np.float64]:
        gazetteer, rows = self.gazetteer, self.gazetteer.level_rows("city")
        regions = ["" if r < 0 else str(gazetteer.ids[r]) for r in gazetteer.ancestors[rows, 1]]
        codes = gazetteer.country_codes[rows].tolist()
        lat, lon = gazetteer.lat[rows], gazetteer.lon[rows]
        return style_of_places(lat, lon, codes, regions, facts=self.facts, seed=self.settings.seed)

    @cached_property
    def _climates(self) -> Climates:
        rows = self.gazetteer.level_rows("city")
        lat, lon = self.gazetteer.lat[rows], self.gazetteer.lon[rows]
        return climate_at(lat, lon, self.settings.seed)

    def _key(self, place_id: str, view: int, kind: str = STREET) -> tuple[object, ...]:
        key = (self.settings.seed, place_id, view)
        return key if kind == STREET else (*key, kind)

    def _table(self, split: str, shots: list[tuple[int, int]]) -> pd.DataFrame:
        """The table of photos for (row of the city, view) pairs."""
        rows = np.array([row for row, _ in shots], dtype=np.int64)
        views = np.array([view for _, view in shots], dtype=np.int64)
        place_ids = self.gazetteer.ids[rows]
        lat, lon = self._camera(rows, place_ids, views)
        table = pd.DataFrame(
            {
                "photo_id": [f"{p}-{v}" for p, v in zip(place_ids, views, strict=True)],
                "place_id": place_ids,
                "lat": lat,
                "lon": lon,
                "country_code": self.gazetteer.country_codes[rows],
                "location_id": place_ids,
                "split": split,
                "view": views,
                "kind": STREET,
            }
        ).astype({"photo_id": str, "place_id": str, "country_code": str, "location_id": str})
        if not self.settings.aerial:
            return table
        names = {name: table[name] + f"-{AERIAL}" for name in ("photo_id", "location_id")}
        measured = split if split == "train" else f"{split}_{AERIAL}"
        tiles = table.assign(**names, split=measured, kind=AERIAL)
        return pd.concat([table, tiles], ignore_index=True)

    def _camera(
        self, rows: NDArray[np.int64], place_ids: Iterable[str], views: Iterable[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where each photo was taken: lat, lon (n,), a few kilometres around its city."""
        keys = zip(place_ids, views, strict=True)
        draws = [generator(*self._key(p, v), "camera").normal(0, JITTER_KM, 2) for p, v in keys]
        north, east = np.array(draws).reshape(-1, 2).T / KM_PER_DEGREE
        lat = np.clip(self.gazetteer.lat[rows] + north, -90, 90)
        lon = wrap_longitude(self.gazetteer.lon[rows] + east / np.cos(np.radians(lat)))
        return np.round(lat, 5), np.round(lon, 5)

    def _files(self, photos: pd.DataFrame, paths: list[Path]) -> list[SceneFile]:
        traits = {place_id: self.traits_of(place_id) for place_id in photos["place_id"].unique()}
        size = self.settings.image_size
        shots = zip(photos["place_id"], photos["view"], photos["kind"], paths, strict=True)
        return [SceneFile(traits[p], self._key(p, v, k), size, path, k) for p, v, k, path in shots]


def _take(countries: list[list[int]], total: int) -> tuple[list[int], list[list[int]]]:
    """`total` rows shared among the countries (the first ones of each), and the rows left."""
    given = shares(np.array([len(rows) for rows in countries]), total).tolist()
    pairs = list(zip(countries, given, strict=True))
    taken = [row for rows, n in pairs for row in rows[:n]]
    return taken, [rows[n:] for rows, n in pairs]
