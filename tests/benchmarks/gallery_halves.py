"""What a gallery is worth: half of the places are the gallery, the others are located.

    python -m tests.benchmarks.gallery_halves --photos photos.csv --split dev_seen dev_unseen

Ten halves. The weights are fitted to the half that is the gallery. Figures are of places (the mean
of the views of a location), without and with the gallery, plain and as means over countries; those
of places without a gallery photo in their own 1° block stand apart. Intervals are of the
difference, by bootstrap of 1° blocks.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from geoclip.evaluation.fitting.known_photos import KnownPhotos
    from geoclip.ranking.ranker import PlaceRanker

KM = (25, 200, 750)
HALVES, DRAWS, BLOCK = 10, 1000, 32


def located(ranker: "PlaceRanker", places: "KnownPhotos", half: np.ndarray) -> dict[str, Any]:
    """Distances of the other half's points (n,), without and with the gallery of `half` (N,)."""
    from geoclip.evaluation.fitting.gallery_fit import fit_gallery, gallery_of
    from geoclip.places.sphere import great_circle_km
    from geoclip.ranking.confidence import LevelRule
    from geoclip.ranking.gallery.lookup import GalleryLookup
    from geoclip.ranking.level_ranking import rank_at_level

    weights = fit_gallery(ranker, places.take(half))
    evidence = ranker.gallery_evidence(GalleryLookup(gallery_of(places.take(half))))
    others, h = np.flatnonzero(~half), ranker.hierarchy
    km: dict[str, list[np.ndarray]] = {"without": [], "with": []}
    parts: list[np.ndarray] = []
    for start in range(0, len(others), BLOCK):
        some = places.take(others[start : start + BLOCK])
        text = ranker.posterior(some.embeddings)
        terms = evidence.terms(some.embeddings, text)
        e = terms.evidence(weights).sum(axis=1)
        parts.append(e / (1 + e))
        for name, posterior in (("without", text), ("with", terms.mixed(text, weights))):
            city = rank_at_level(posterior, ranker.settings, LevelRule(), 1).points
            km[name].append(great_circle_km(h.lat[city], h.lon[city], some.lat, some.lon))
    found = {name: np.concatenate(values) for name, values in km.items()}
    return found | {"part": np.concatenate(parts), "others": others, "weights": weights}


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
    from dataclasses import asdict

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
    part = {name: round(float(all_of["part"][mask].mean()), 3) for name, mask in groups.items()}
    return {
        "figures": made,
        "part_of_gallery": part,
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
