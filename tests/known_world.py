"""Six countries, photos of sixty places in them: something to calibrate."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

PLACES = 60
VIEWS = 2
CAPITALS = {  # country: continent, latitude, longitude
    "FR": ("EU", 48.9, 2.4),
    "PL": ("EU", 52.2, 21.0),
    "JP": ("AS", 35.7, 139.7),
    "IN": ("AS", 28.6, 77.2),
    "BR": ("SA", -15.8, -47.9),
    "CL": ("SA", -33.4, -70.7),
}


def write_gazetteer(folder: Path) -> Path:
    """Three cities in one region of each country."""
    folder.mkdir()
    countries, regions, cities = [], [], []
    for code, (continent, lat, lon) in CAPITALS.items():
        countries.append((code, code, code + "X", continent, code, lat, lon, 10_000))
        regions.append((f"{code}.1", f"{code} region", code, lat, lon, 9_000))
        for i in range(3):
            name = f"{code} {i}"
            cities.append((f"{code}{i}", name, f"{code}.1", code, lat + i, lon + i, 3_000 - i))
    places = ["lat", "lon", "population"]
    named = ["place_id", "name", "ascii_name"]
    for table, rows, columns in (
        ("countries", countries, ["place_id", "name", "iso3", "continent", "sovereign", *places]),
        ("regions", [row[:2] + row[1:] for row in regions], [*named, "country_code", *places]),
        (
            "cities",
            [row[:2] + row[1:] for row in cities],
            [*named, "region_id", "country_code", *places],
        ),
    ):
        pd.DataFrame(rows, columns=columns).to_csv(folder / f"{table}.csv", index=False)
    return folder


def write_photos(folder: Path) -> Path:
    """photos.csv of views of the places, in turn of each country and each of four folders."""
    rng = np.random.default_rng(0)
    rows = []
    for place in range(PLACES):
        code = list(CAPITALS)[place % 6]
        lat, lon = (degrees + rng.uniform(0, 2.5) for degrees in CAPITALS[code][1:])
        for view in range(VIEWS):
            path = f"source{place % 4}/{place}_{view}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / path)
            split = "old" if place < 2 else "new"
            rows.append((path, lat, lon, code, f"place {place}", split, f"person {place % 3}"))
    columns = ["path", "lat", "lon", "country_code", "location_id", "split", "author"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "photos.csv", index=False)
    return folder / "photos.csv"
