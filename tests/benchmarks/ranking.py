"""Ranking photos against places, beside the bare matrix product of their embeddings.

    python -m tests.benchmarks.ranking --photos 1000 --threads 1

The embeddings are random unit vectors; the places are the packaged gazetteer's. "levels" is what
`geoclip locate` runs: places of the level that each photo is answered at, and the point.
"""

import argparse

from tests.benchmarks.timing import ROUNDS, interleaved, ratio, report, use_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--width", type=int, default=512, help="size of an embedding")
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)

    import numpy as np

    from geoclip.places.gazetteer import Gazetteer
    from geoclip.ranking.confidence import LevelRule
    from geoclip.ranking.hierarchy import Hierarchy
    from geoclip.ranking.logits import LevelEmbeddings
    from geoclip.ranking.prior import CityPrior
    from geoclip.ranking.ranking import rank_embeddings, rank_embeddings_at_level
    from geoclip.ranking.settings import UNCALIBRATED, PointEstimate, RankingSettings
    from geoclip.support.process import keep_freed_memory

    keep_freed_memory()
    gazetteer = Gazetteer.default()
    hierarchy = Hierarchy.of(gazetteer)
    rng = np.random.default_rng(0)

    def unit_rows(n: int) -> np.ndarray:
        rows = rng.normal(size=(n, arguments.width)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    photos, places = unit_rows(arguments.photos), unit_rows(len(gazetteer))
    levels = LevelEmbeddings.of(places, hierarchy)

    given = photos, levels, hierarchy, 100.0
    prior = CityPrior.of(UNCALIBRATED.prior, hierarchy)

    def ranked(point: str) -> object:
        how = RankingSettings(point=PointEstimate.of(point))
        return rank_embeddings(*given, how, arguments.top_k, threads=arguments.threads)

    def ranked_at_level() -> object:
        how = UNCALIBRATED, LevelRule(), arguments.top_k, prior, arguments.threads
        return rank_embeddings_at_level(*given, *how)

    sides = interleaved(
        {
            "product": lambda: photos @ levels.city.T,
            "city": lambda: ranked("city"),
            "expected score": lambda: ranked("expected_score"),
            "expected score of regions": lambda: ranked("expected_score_regions"),
            "levels": ranked_at_level,
        },
        arguments.rounds,
    )
    report(
        "ranking",
        arguments.threads,
        photos=len(photos),
        cities=len(hierarchy.cities),
        top_k=arguments.top_k,
        sides=sides,
        city_over_product=ratio(sides, "city", "product"),
        expected_score_over_product=ratio(sides, "expected score", "product"),
        expected_score_regions_over_product=ratio(sides, "expected score of regions", "product"),
        levels_over_product=ratio(sides, "levels", "product"),
    )


if __name__ == "__main__":
    main()
