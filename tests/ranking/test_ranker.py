"""A ranker with other settings, or narrowed, equals a new one: no cached value goes stale."""

import numpy as np

from geoclip.ranking.confidence import LevelRule
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import Prior, RankingSettings, Temperatures

OTHER = RankingSettings(temperatures=Temperatures(2.0), prior=Prior(("FR", "NL"), 3.0))


def test_other_settings_and_a_narrowed_world_leave_nothing_behind(small_gazetteer):
    rng = np.random.default_rng(0)
    index = PlaceIndex(rng.normal(size=(len(small_gazetteer), 8)).astype(np.float32), "key")
    photos = rng.normal(size=(20, 8)).astype(np.float32)
    ranker = PlaceRanker(index, small_gazetteer, 2.0)

    def answers(one: PlaceRanker) -> list[np.ndarray]:
        """A ranker's answers; this fills its caches."""
        ranking = one.rank_at_level(photos, LevelRule("city"))
        return [ranking.points, ranking.probabilities, *one.main_cities.of_level]

    before = answers(ranker)
    narrowed = ranker.narrowed(countries=["CN", "HK"])
    changed = {"settings": ranker.with_settings(OTHER), "world": narrowed}
    changed["both"] = narrowed.with_settings(OTHER)
    for name, one in changed.items():
        anew = PlaceRanker(index, small_gazetteer, 2.0, one.settings, one.log_prior)
        for shared, fresh in zip(answers(one), answers(anew), strict=True):
            np.testing.assert_array_equal(shared, fresh)
        assert any((a != b).any() for a, b in zip(answers(one)[:2], before[:2], strict=True)), name
    for again, first in zip(answers(ranker), before, strict=True):
        np.testing.assert_array_equal(again, first)
