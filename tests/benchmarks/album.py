"""How much trip smoothing helps: JSON with and without, and with some known positions.

    python tests/benchmarks/album.py --photos ../shared/data/photos.csv --model street-tiny

The photos have no times, so timelines are simulated: each travel folder is one journey through its
places in the order of the table; photos of a place are `--minutes` apart, and places are as far
apart as the journey by road (up to 800 km) or by air takes, and at least half a day. `--model
simulated` draws posteriors around the true place instead of looking at photos, to try the method by
itself.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geoclip.evaluation.metrics import within_km
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geoscore import geoscore
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.ranking import expected_score_city
from geoclip.ranking.travel import TripSettings
from geoclip.ranking.trip_smoothing import smooth_trip

ROAD_KM, ROAD_KMH, AIR_KMH, AIRPORT_HOURS, NIGHT_HOURS = 800, 70, 750, 6, 12


def journeys(photos: Path, splits: list[str]) -> pd.DataFrame:
    """The travel photos with known position and the folder each belongs to."""
    table = read_photo_table([photos])
    folder = table["photo_id"].str.split("/").str[0]
    wanted = folder.str.startswith("travel_") & table["split"].isin(splits) & table["lat"].notna()
    return table.assign(journey=folder)[wanted].reset_index(drop=True)


def simulated_hours(journey: pd.DataFrame, minutes: float) -> np.ndarray:
    """Hours (N,) of a journey through its places in order of first appearance."""
    hours = np.zeros(len(journey))
    clock = 0.0
    last = None
    for _, rows in journey.groupby("location_id", sort=False).indices.items():
        here = journey[["lat", "lon"]].to_numpy()[rows[0]]
        if last is not None:
            km = float(great_circle_km(*last, *here))
            by_air = km > ROAD_KM
            travel = AIRPORT_HOURS + km / AIR_KMH if by_air else km / ROAD_KMH
            clock += max(NIGHT_HOURS, travel)
        hours[rows] = clock + np.arange(len(rows)) * minutes / 60
        clock, last = hours[rows[-1]], here
    return hours


def simulated_posteriors(
    table: pd.DataFrame, h: Hierarchy, listed: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cities (N, listed) and probabilities around a point that misses the true one.

    Half of the miss is common to all photos of a place, as photos of a place look alike.
    """
    rng = np.random.default_rng(seed)
    shared = {name: rng.normal(0, 8, 2) for name in table["location_id"].unique()}
    cities, probabilities = [], []
    for row in table.itertuples():
        miss = shared[row.location_id] + rng.normal(0, 8, 2)
        lat = np.clip(row.lat + miss[0], -80, 80)
        km = great_circle_km(lat, row.lon + miss[1], h.lat, h.lon)
        p = np.exp(-km / 150) * rng.lognormal(0, 2, len(km)) + 1e-4
        p /= p.sum()
        best = np.argsort(-p)[:listed]
        cities.append(best)
        probabilities.append(p[best])
    return np.array(cities), np.array(probabilities)


def model_posteriors(
    table: pd.DataFrame, model: str, listed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cities and probabilities (N, listed) by an encoder, and which photos were read (N,)."""
    from geoclip.locator import Locator

    locator = Locator.from_pretrained(model)
    embeddings = locator.embed(table["path"].tolist())
    ranking = locator.ranker.rank(embeddings.values[embeddings.ok], listed)
    return ranking.cities, ranking.probabilities, embeddings.ok


def figures(
    table: pd.DataFrame, cities: np.ndarray, probabilities: np.ndarray, h: Hierarchy
) -> dict[str, Any]:
    """Accuracy by distance of the reported point, and certainty and accuracy of rank 1."""
    points = expected_score_city(cities, probabilities, h)
    truth = table["lat"].to_numpy(), table["lon"].to_numpy()
    km = great_circle_km(*truth, h.lat[points], h.lon[points])
    best = great_circle_km(*truth, h.lat[cities[:, 0]], h.lon[cities[:, 0]])
    return {
        "n": len(table),
        "within_km": {name: round(value, 1) for name, value in within_km(km).items()},
        "median_km": round(float(np.median(km)), 1),
        "geoscore": round(float(np.mean(geoscore(km))), 1),
        "rank1_probability": round(float(probabilities[:, 0].mean()), 3),
        "rank1_within_25_km": round(float((best <= 25).mean()), 3),
    }


def combined(
    table: pd.DataFrame,
    cities: np.ndarray,
    probabilities: np.ndarray,
    h: Hierarchy,
    known: np.ndarray,
    minutes: float,
    settings: TripSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors after sharing within each journey; `known` (N,) are anchors."""
    parts = []
    for rows in table.groupby("journey").indices.values():
        journey = table.iloc[rows]
        place = journey[["lat", "lon"]].to_numpy()
        anchors = np.where(known[rows, None], place, np.nan)
        listed = cities[rows].copy()
        for i in np.flatnonzero(known[rows]):
            listed[i, 0] = great_circle_km(*place[i], h.lat, h.lon).argmin()
        hours = simulated_hours(journey, minutes)
        album = smooth_trip(listed, probabilities[rows], hours, h.lat, h.lon, anchors, settings)
        parts.append((rows, album.cities, album.probabilities))
    order = np.argsort(np.concatenate([rows for rows, _, _ in parts]))
    return (
        np.concatenate([found for _, found, _ in parts])[order],
        np.concatenate([p for _, _, p in parts])[order],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", default="simulated")
    parser.add_argument("--splits", nargs="+", default=["dev_seen", "dev_unseen"])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--anchors", type=float, default=0.1, help="share of known positions")
    parser.add_argument(
        "--exponent", type=float, nargs="+", default=[TripSettings.neighbour_exponent]
    )
    parser.add_argument("--listed", type=int, default=50, help="places of each photo")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    h = Hierarchy.of(Gazetteer.default())
    table = journeys(arguments.photos, arguments.splits)
    if arguments.model == "simulated":
        cities, p = simulated_posteriors(table, h, arguments.listed, arguments.seed)
    else:
        cities, p, read = model_posteriors(table, arguments.model, arguments.listed)
        table = table[read].reset_index(drop=True)
    known = np.random.default_rng(arguments.seed).random(len(table)) < arguments.anchors
    none = np.zeros(len(table), dtype=bool)
    rest = table[~known]
    report: dict[str, Any] = {"model": arguments.model, "times": "simulated"}
    report["alone"] = figures(table, cities, p, h)
    report["alone, photos that are no anchors"] = figures(rest, cities[~known], p[~known], h)
    for exponent in arguments.exponent:
        settings = TripSettings(neighbour_exponent=exponent)
        shared = combined(table, cities, p, h, none, arguments.minutes, settings)
        report[f"album, exponent {exponent}"] = figures(table, *shared, h)
        found, q = combined(table, cities, p, h, known, arguments.minutes, settings)
        key = f"album with {arguments.anchors:.0%} anchors, exponent {exponent}"
        report[key] = figures(rest, found[~known], q[~known], h)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
