import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.planet.climate import SmoothField, climate_at, generator

RNG = np.random.default_rng(5)
LAT = np.degrees(np.arcsin(RNG.uniform(-1, 1, 3000)))
LON = RNG.uniform(-180, 180, 3000)


def test_generator_depends_on_the_whole_key_and_not_on_its_joining():
    draw = lambda *key: generator(*key).integers(1 << 60)  # noqa: E731
    assert draw(0, "a", 1) == draw(0, "a", 1)
    assert (
        len({draw(0, "a", 1), draw(0, "a", 2), draw(1, "a", 1), draw(0, "a1"), draw(0, "1a")}) == 5
    )


def test_generator_is_the_same_on_every_machine():
    assert generator(0, "2996944", 1).integers(0, 1000, 4).tolist() == [287, 360, 510, 348]


@pytest.mark.parametrize("wavelength", [14000, 4000, 400])
def test_fields_have_unit_variance(wavelength):
    values = SmoothField(0, "test", wavelength)(LAT, LON)
    assert abs(values.mean()) < 0.1
    assert values.std() == pytest.approx(1, abs=0.1)


@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 3))
def test_fields_are_smooth_and_join_at_the_date_line(lat, lon, seed):
    field = SmoothField(seed, "test", 1500)
    near = field([lat, lat], [lon, lon + 360])
    assert near[0] == pytest.approx(near[1], abs=1e-8)
    step = 10 / 111.195  # 10 km north, a hundred and fiftieth of the wavelength
    assert abs(field(min(lat + step, 90), lon) - near[0]) < 0.5


def test_near_places_agree_and_far_ones_do_not():
    field = SmoothField(0, "test", 4000)
    here, near = field(LAT, LON), field(np.clip(LAT + 3, -90, 90), LON)
    assert np.corrcoef(here, near)[0, 1] > 0.8
    assert abs(np.corrcoef(here, field(-LAT, LON + 70))[0, 1]) < 0.3


def test_fields_of_other_names_and_seeds_are_unrelated():
    values = [SmoothField(s, n, 3000)(LAT, LON) for s, n in ((0, "a"), (0, "b"), (1, "a"))]
    off_diagonal = np.corrcoef(values)[np.triu_indices(3, 1)]
    assert np.abs(off_diagonal).max() < 0.25


def test_climate_knows_the_map():
    #                   Cairo  Manaus Yakutsk Lhasa  Amsterdam
    lat = np.array([30.0, -3.1, 62.0, 29.7, 52.4])
    lon = np.array([31.2, -60.0, 129.7, 91.1, 4.9])
    climate = climate_at(lat, lon)
    assert climate.aridity[0] > 0.5 > climate.aridity[1]
    assert climate.temperature[2] < 8 and climate.temperature[1] > 20
    assert 6 < climate.temperature[4] < 14
    assert climate.hilliness[3] > 0.7 > climate.hilliness[4]
    assert climate.sun[1] > climate.sun[4] > climate.sun[2]
    assert climate[2].temperature == climate.temperature[2]
