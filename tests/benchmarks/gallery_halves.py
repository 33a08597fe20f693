"""The value of a gallery: half of the places are the gallery, the others are located.

    python -m tests.benchmarks.gallery_halves --photos photos.csv --split dev_seen dev_unseen

Ten halves. The weights and radii are fitted to the half that is the gallery. Figures are of places
(the mean of the views of a location), without and with the gallery, plain and as means over
countries; those of places without a gallery photo in their own 1° block stand apart. Intervals are
of the difference, by bootstrap of 1° blocks. Shares in percent say how many points are due to the
gallery, and how many radii of 50 and 90 % hold the true point.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from geoclip.evaluation.fitting.known_photos import KnownPhotos
    from geoclip.ranking.gallery.photo_gallery import Gallery
    from geoclip.ranking.ranker import PlaceRanker

KM = (25, 200, 750)
HALVES, DRAWS = 10, 1000


def located(ranker: "PlaceRanker", places: "KnownPhotos", half: np.ndarray) -> dict[str, Any]:
    """Distances of the other half's points (n,), without and with the gallery of `half` (N,)."""
    from geoclip.evaluation.fitting.gallery_fit import calibrate_gallery, gallery_of

    gallery = calibrate_gallery(ranker, places.take(half))
    asked = ranker.with_settings(replace(ranker.settings, gallery=gallery))
    found = compared(asked, places.take(~half), gallery_of(places.take(half)))
    return found | {"others": np.flatnonzero(~half), "weights": gallery.weights}


def compared(
    ranker: "PlaceRanker", photos: "KnownPhotos", gallery: "Gallery"
) -> dict[str, np.ndarray]:
    """Distances of points (n,) without and with a gallery; whether it decided and radii hold."""
    from geoclip.places.sphere import great_circle_km
    from geoclip.ranking.confidence import LevelRule
    from geoclip.ranking.gallery.lookup import GalleryLookup
    from geoclip.ranking.gallery_ranking import GalleryRanker

    h, true = ranker.hierarchy, (photos.lat, photos.lon)
    cities = ranker.rank_at_level(photos.embeddings, LevelRule(), 1).points
    no_ids = np.full((len(photos), 1), "", dtype=object)
    by_gallery = GalleryRanker(ranker, GalleryLookup(gallery))
    answers = by_gallery.rank_at_level(photos.embeddings, no_ids, LevelRule(), 1)
    km = great_circle_km(answers.lat, answers.lon, *true)
    return {
        "without": great_circle_km(h.lat[cities], h.lon[cities], *true),
        "with": km,
        "by_gallery": answers.by_gallery,
        "holds_50": km <= answers.ranking.radius,
        "holds_90": km <= answers.ranking.radius_90,
    }


def figures(
    before: np.ndarray, after: np.ndarray, countries: np.ndarray, blocks: np.ndarray
) -> dict[str, Any]:
    """Shares within some km of n answers, plain and by country, and how much the gallery adds."""
    rng = np.random.default_rng(0)
    names, which = np.unique(blocks, return_inverse=True)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)[:, which]
    codes, country = np.unique(countries, return_inverse=True)
    of_country = np.zeros((len(country), len(codes)))
    of_country[np.arange(len(country)), country] = 1
    found: dict[str, Any] = {"n": len(before), "blocks": len(names)}
    for limit in KM:
        hit, now = 100.0 * (before <= limit), 100.0 * (after <= limit)
        for kind, weigh in (("plain", lambda w: w), ("by_country", None)):
            if weigh is None:
                counts = draws @ of_country
                inverse = np.divide(1, counts, out=np.zeros_like(counts), where=counts > 0)
                weights = draws * inverse[:, country] / (counts > 0).sum(axis=1, keepdims=True)
                own = 1 / np.bincount(country)[country] / len(codes)
            else:
                weights = draws / draws.sum(axis=1, keepdims=True)
                own = np.full(len(before), 1 / len(before))
            spread = np.quantile(weights @ (now - hit), [0.025, 0.975])
            found[f"{kind}_{limit}"] = {
                "without": round(float(own @ hit), 1),
                "with": round(float(own @ now), 1),
                "interval": [round(float(x), 1) for x in spread],
            }
    return found


def halves(ranker: "PlaceRanker", places: "KnownPhotos", splits: np.ndarray) -> dict[str, Any]:
    """The figures of all halves together, by split and where the gallery covers the block."""
    from geoclip.evaluation.fitting.known_photos import TruePlaces
    from geoclip.places.sphere import degree_blocks

    blocks = np.array([str(block) for block in degree_blocks(places.lat, places.lon)])
    countries = ranker.hierarchy.country_codes[TruePlaces.of(places, ranker).country]
    runs = []
    for seed in range(HALVES):
        half = np.random.default_rng(seed).permutation(len(places)) < len(places) // 2
        run = located(ranker, places, half)
        runs.append(run | {"covered": np.isin(blocks[run["others"]], blocks[half])})
    all_of = {k: np.concatenate([r[k] for r in runs]) for k in runs[0] if k != "weights"}
    row, covered = all_of["others"], all_of["covered"]
    groups = {str(name): splits[row] == name for name in np.unique(splits)}
    groups |= {"own block covered": covered, "own block not covered": ~covered}
    made = {
        name: figures(
            *(all_of[k][mask] for k in ("without", "with")), countries[row][mask], blocks[row][mask]
        )
        for name, mask in groups.items()
    }
    shares = {
        what: {name: round(100 * float(all_of[what][m].mean()), 1) for name, m in groups.items()}
        for what in ("by_gallery", "holds_50", "holds_90")
    }
    return {
        "figures": made,
        **shares,
        "weights": [asdict(r["weights"]) for r in runs],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", default="street-tiny")
    parser.add_argument("--split", nargs="*", default=[])
    arguments = parser.parse_args()

    from geoclip.evaluation.fitting.known_photos import KnownPhotos
    from geoclip.locator import Locator
    from geoclip.photos.photo_table import read_photo_table

    locator = Locator.from_pretrained(arguments.model)
    table = read_photo_table(arguments.photos)
    table = table[
        table["lat"].notna() & (table["split"].isin(arguments.split) | (not arguments.split))
    ]
    found = locator.embed(table["path"].tolist())
    table = table[found.ok]
    columns = ("lat", "lon", "country_code", "source", "location_id")
    known = KnownPhotos(found.values[found.ok], *(table[name].to_numpy() for name in columns))
    places = known.by_location()
    split = table.drop_duplicates("location_id").set_index("location_id")["split"]
    splits = split.loc[places.location_ids].to_numpy()
    print(json.dumps(halves(locator.ranker, places, splits), indent=2))


if __name__ == "__main__":
    main()
