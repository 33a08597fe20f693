"""GeoCLIP's location encoder, on weights made here, beside a slow one of plain numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from pipelines.embedded_models.place_features import PlaceFeatureSettings, place_features
from pipelines.embedded_models.place_looks import equal_earth, place_looks

WIDTH, OUT = 6, 5
EARTH_IN_UNITS = 66.50336 / 180
"""Units of the plane for a radius of 1."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    shapes = {
        "capsule.0.b": (3, 2),
        "capsule.1.weight": (WIDTH, 6),
        "capsule.3.weight": (WIDTH, WIDTH),
        "capsule.5.weight": (WIDTH, WIDTH),
        "head.0.weight": (OUT, WIDTH),
        "capsule.1.bias": (WIDTH,),
        "capsule.3.bias": (WIDTH,),
        "capsule.5.bias": (WIDTH,),
        "head.0.bias": (OUT,),
    }
    path = tmp_path_factory.mktemp("looks") / "location_encoder_weights.safetensors"
    branches = ("LocEnc0", "LocEnc1")
    save_file({f"{b}.{n}": torch.randn(s) for b in branches for n, s in shapes.items()}, path)
    return path


def slow_looks(path, lat, lon):
    from safetensors.numpy import load_file

    stored, total = load_file(path), np.zeros(OUT)
    point = equal_earth(np.array([lat]), np.array([lon]))[0]
    for branch in ("LocEnc0", "LocEnc1"):
        layer = {n.split(".", 1)[1]: v for n, v in stored.items() if n.startswith(branch)}
        angles = [2 * np.pi * float(row @ point) for row in layer["capsule.0.b"]]
        x = np.array([np.cos(a) for a in angles] + [np.sin(a) for a in angles])
        for number in (1, 3, 5):
            x = layer[f"capsule.{number}.weight"] @ x + layer[f"capsule.{number}.bias"]
            x = np.maximum(x, 0)
        total = total + layer["head.0.weight"] @ x + layer["head.0.bias"]
    return total / np.linalg.norm(total)


def test_equal_to_a_slow_one(weights):
    lat, lon = np.array([48.9, -33.9, 0.0]), np.array([2.3, 151.2, -180.0])
    slow = [slow_looks(weights, *place) for place in zip(lat, lon, strict=True)]
    np.testing.assert_allclose(place_looks(weights, lat, lon), slow, atol=1e-5)


@given(st.floats(-89, 89), st.floats(-179, 179))
def test_the_projection_keeps_areas(lat, lon):
    step = 1e-4
    at = equal_earth(np.array([lat, lat + step, lat]), np.array([lon, lon, lon + step]))
    north, east = (at[1:] - at[0]) / np.radians(step) / EARTH_IN_UNITS
    area = abs(north[0] * east[1] - north[1] * east[0])
    assert area == pytest.approx(np.cos(np.radians(lat)), rel=1e-3, abs=1e-4)


def test_looks_join_the_coordinates(weights, tiny_world: Gazetteer):
    """Inner products are those of both parts, as far as so few components can hold them."""
    looks = place_looks(weights, tiny_world.lat, tiny_world.lon)
    settings = PlaceFeatureSettings(dim=64, looks_share=0.25, reduced_dim=64 + OUT)
    both = place_features(tiny_world, settings, looks)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, rtol=1e-5)
    cities = tiny_world.level_rows("city")
    centred = looks - looks[cities].mean(axis=0)
    centred = (centred / np.linalg.norm(centred, axis=1, keepdims=True))[cities]
    where = place_features(tiny_world, settings)[cities]
    expected = 0.75 * where @ where.T + 0.25 * centred @ centred.T
    np.testing.assert_allclose(both[cities] @ both[cities].T, expected, atol=1e-4)


def test_fewer_components_are_shorter_vectors(weights, tiny_world):
    looks = place_looks(weights, tiny_world.lat, tiny_world.lon)
    few = place_features(tiny_world, PlaceFeatureSettings(dim=64, reduced_dim=3), looks)
    assert few.shape == (len(tiny_world), 3) and few.dtype == np.float32


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other.safetensors"
    if content is None:
        save_file({"LocEnc0.head.0.bias": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(GeoclipError, match=r"other\.safetensors does not hold GeoCLIP"):
        place_looks(path, np.zeros(2), np.zeros(2))
