"""The farthest guesses, against a plain sort."""

import numpy as np
import pandas as pd
import pytest

from geoclip.errors import GeoclipError
from geoclip.evaluation.worst_photos import worst
from geoclip.places.sphere import great_circle_km


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(3)
    names = [f"{i}.jpg" for i in range(12)]
    truth = pd.DataFrame({"path": names, "lat": rng.uniform(-60, 60, 12), "lon": 10.0})
    guesses = truth.assign(lat=rng.uniform(-60, 60, 12), country="France", probability=0.25)
    guesses.loc[4, ["lat", "lon"]] = np.nan
    return guesses.assign(status=["ok"] * 4 + ["truncated"] + ["ok"] * 7), truth


def test_the_farthest_come_first(tables):
    guesses, truth = tables
    km = great_circle_km(guesses["lat"], guesses["lon"], truth["lat"], truth["lon"])
    expected = sorted((i for i in range(12) if i != 4), key=lambda i: -km[i])
    found = worst(guesses, truth, 5)
    assert found["path"].tolist() == [f"{i}.jpg" for i in expected[:5]]
    np.testing.assert_allclose(found["km"], [km[i] for i in expected[:5]])
    assert found["true_lat"].tolist() == [truth["lat"][i] for i in expected[:5]]
    assert set(found["country"]) == {"France"} and set(found["probability"]) == {0.25}
    assert len(worst(guesses, truth, 99)) == 11
    assert "<table>" in found._repr_html_()


def test_tables_and_their_files_say_the_same(tables, tmp_path):
    guesses, truth = tables
    guesses.to_csv(tmp_path / "guesses.csv", index=False)
    truth.to_csv(tmp_path / "truth.csv", index=False)
    columns = ["path", "km", "true_country"]
    whole = worst(guesses, truth, 3)[columns].to_numpy().tolist()
    of_files = worst(tmp_path / "guesses.csv", str(tmp_path / "truth.csv"), 3)
    mixed = worst(guesses, tmp_path / "truth.csv", 3)
    assert whole == of_files[columns].to_numpy().tolist() == mixed[columns].to_numpy().tolist()


def test_none_asked_for_is_refused(tables):
    with pytest.raises(GeoclipError, match="at least 1"):
        worst(*tables, 0)
