"""Which photos a model is calibrated on."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.evaluation.fitting.calibration import FEWEST_PLACES
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.runs import calibrate_model
from geoclip.runs.calibrate_model import FreshPhotos


def views(places: int, each: int = 2) -> pd.DataFrame:
    """Views of places with fingerprints 1, 2, …"""
    ids = [f"place {i}" for i in range(places) for _ in range(each)]
    numbers = np.arange(1, len(ids) + 1, dtype=np.uint64)
    return pd.DataFrame({"location_id": ids, "fingerprint": numbers, "photo": numbers})


def trained_on(numbers: list[int]) -> TrainedPhotos:
    return TrainedPhotos().joined(np.array(numbers, np.uint64), ["FR"] * len(numbers))


@given(st.lists(st.integers(1, 140), max_size=20), st.lists(st.integers(1, 140), max_size=10))
def test_a_place_is_left_out_where_a_view_was_trained_on(trained, missing):
    photos = views(70)
    photos.loc[photos["photo"].isin(missing), "fingerprint"] = 0
    fresh = FreshPhotos.of(photos, trained_on(trained))
    seen = {(n - 1) // 2 for n in trained if n not in missing}
    kept = [n for n in range(1, 141) if (n - 1) // 2 not in seen and n not in missing]
    assert fresh.table["photo"].tolist() == kept
    assert fresh.left_out["trained_on"] == 2 * len(seen)
    assert sum(fresh.left_out.values()) == 140 - len(kept)


def test_too_few_places_are_refused_with_what_was_left_out():
    enough = FreshPhotos.of(views(FEWEST_PLACES), TrainedPhotos())
    assert enough.told() == ""
    said = r"here are 49; give more\. Left out are photos: 2 that the model was trained on\."
    with pytest.raises(GeoclipError, match=said):
        FreshPhotos.of(views(FEWEST_PLACES), trained_on([7]))


def test_places_are_drawn_whole_and_alike_in_any_order(monkeypatch):
    photos = views(200)
    monkeypatch.setattr(calibrate_model, "MOST_PLACES", 60)
    drawn = FreshPhotos.of(photos, TrainedPhotos())
    assert drawn.table["location_id"].nunique() == 60 and len(drawn.table) == 120
    assert drawn.left_out == {"trained_on": 0, "missing": 0, "not_drawn": 280}
    shuffled = FreshPhotos.of(photos.sample(frac=1, random_state=0), TrainedPhotos())
    assert set(shuffled.table["photo"]) == set(drawn.table["photo"])
    monkeypatch.setattr(calibrate_model, "MOST_PLACES", 61)
    assert set(FreshPhotos.of(photos, TrainedPhotos()).table["photo"]) > set(drawn.table["photo"])
