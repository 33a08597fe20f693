"""Place features: inner products fall with distance as the kernel does."""

import itertools

import numpy as np
import pytest

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import EARTH_RADIUS_KM, great_circle_km, unit_vectors
from pipelines.embedded_models.place_features import PlaceFeatureSettings, place_features

COORDINATES_ONLY = {"country_weight": 0.0, "region_weight": 0.0}


@pytest.fixture(scope="module")
def world():
    return Gazetteer.default()


@pytest.fixture(scope="module")
def features(world):
    return place_features(world, PlaceFeatureSettings())


def test_rows_have_unit_length_and_are_the_same_again(tiny_world):
    settings = PlaceFeatureSettings(dim=64)
    first, again = (place_features(tiny_world, settings) for _ in range(2))
    assert first.shape == (len(tiny_world), 64) and first.dtype == np.float32
    assert np.array_equal(first, again)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)
    other = place_features(tiny_world, PlaceFeatureSettings(dim=64, seed=1))
    assert not np.allclose(first, other)


def test_inner_products_approximate_the_centred_kernel(tiny_world):
    settings = PlaceFeatureSettings(dim=16384, scales_km=(4000.0, 500.0), **COORDINATES_ONLY)
    ours = place_features(tiny_world, settings)
    cities = tiny_world.level_rows("city")
    xyz = unit_vectors(tiny_world.lat[cities], tiny_world.lon[cities])
    chord = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1) * EARTH_RADIUS_KM
    kernel = np.mean([np.exp(-(chord**2) / (2 * s**2)) for s in settings.scales_km], axis=0)
    mean = kernel.mean(axis=0)
    centred = kernel - mean[:, None] - mean[None] + mean.mean()
    length = np.sqrt(np.diag(centred))
    got = ours[cities] @ ours[cities].T
    np.testing.assert_allclose(got, centred / length[:, None] / length[None], atol=0.06)


def test_inner_products_fall_with_distance_on_average(world, features):
    cities = np.random.default_rng(0).choice(world.level_rows("city"), 1500, replace=False)
    lat, lon = world.lat[cities], world.lon[cities]
    km = great_circle_km(lat[:, None], lon[:, None], lat[None], lon[None])
    products = features[cities] @ features[cities].T
    edges = [1, 100, 300, 1000, 2000, 4000, 8000]
    means = [products[(km >= a) & (km < b)].mean() for a, b in itertools.pairwise(edges)]
    assert all(a > b + 0.03 for a, b in itertools.pairwise(means)), means
    assert means[0] > 0.8


def test_a_country_lies_nearest_to_its_neighbours(world, features):
    countries = world.level_rows("country")
    near = {"BE": {"NL", "LU", "FR", "DE", "GB"}, "UY": {"AR", "PY", "BR"}, "LA": {"TH", "VN"}}
    for code, neighbours in near.items():
        row = world.rows([code])[0]
        products = features[countries] @ features[row]
        nearest = countries[np.argsort(-products)[1:6]]
        assert neighbours & set(world.ids[nearest]), (code, world.ids[nearest])


def test_a_country_without_cities_has_its_own_coordinates_features(world, features):
    bouvet, africa, alaska = world.rows(["BV", "ZA", "CA"])
    assert np.linalg.norm(features[bouvet]) == pytest.approx(1, rel=1e-5)
    assert features[bouvet] @ features[africa] > features[bouvet] @ features[alaska]


def test_a_region_is_the_weighted_mean_of_its_cities(tiny_world):
    ours = place_features(tiny_world, PlaceFeatureSettings(dim=64, **COORDINATES_ONLY))
    brussels, city = tiny_world.rows(["BE.BRU", "6"])
    np.testing.assert_allclose(ours[brussels], ours[city], atol=1e-6)


def test_members_of_a_country_share_a_vector(tiny_world):
    apart = place_features(tiny_world, PlaceFeatureSettings(dim=64, **COORDINATES_ONLY))
    joined = place_features(tiny_world, PlaceFeatureSettings(dim=64, country_weight=4.0))
    lyon, paris = tiny_world.rows(["1", "3"])
    assert joined[lyon] @ joined[paris] > apart[lyon] @ apart[paris]


def test_a_width_that_the_scales_do_not_divide_is_refused():
    with pytest.raises(GeoclipError, match="multiple of 8"):
        PlaceFeatureSettings(dim=100)
