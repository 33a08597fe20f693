import pandas as pd
import pytest

from geoclip.evaluation.oracle import LARGEST, listed_cities, oracle, oracle_figures
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import great_circle_km

FIELD = {
    "30": [11.9, 59.5, 86.3, 98.1, 98.8],
    "100": [16.5, 68.8, 92.3, 99.6, 100],
    "all": [26.1, 84.8, 99.5, 99.9, 100],
}


def test_the_figures_of_the_field_on_im2gps3k(shared_data, world):
    """The limits of the packaged gazetteer on the 2,997 photos, in percent, to within 0.3."""
    truth = pd.read_csv(shared_data / "im2gps" / "im2gps3k_places365.csv")
    figures = oracle_figures(truth["LAT"], truth["LON"], world)
    for name, expected in FIELD.items():
        assert list(figures[name]["within_km"].values()) == pytest.approx(expected, abs=0.3)


def test_the_nearest_of_all_cities_one_by_one(small_gazetteer):
    cities = small_gazetteer.level_rows("city")
    lat, lon = [46.0, -10.0, 64.0], [3.0, -77.0, -179.5]
    nearest = [
        min(great_circle_km(a, o, small_gazetteer.lat[c], small_gazetteer.lon[c]) for c in cities)
        for a, o in zip(lat, lon, strict=True)
    ]
    figures = oracle(lat, lon, small_gazetteer)
    assert figures["mean_km"] == pytest.approx(sum(nearest) / 3)


def test_the_largest_cities_of_each_country(small_gazetteer):
    def kept(n: int | None) -> pd.DataFrame:
        rows = listed_cities(small_gazetteer, n)
        g: Gazetteer = small_gazetteer
        return pd.DataFrame({"c": g.country_codes[rows], "p": g.population[rows], "row": rows})

    everything, one = kept(None), kept(1)
    assert set(one["c"]) == set(everything["c"])
    assert one["c"].is_unique
    largest = everything.groupby("c")["p"].max()
    assert one.set_index("c")["p"].to_dict() == largest.to_dict()
    assert kept(100)["row"].tolist() == everything["row"].tolist()
    assert LARGEST["all"] is None
