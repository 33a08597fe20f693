"""Mixed precision on a processor: what is wide, what is narrow, and gradients through both."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from geoclip.training.precision import mixed_precision

CPU = torch.device("cpu")


@pytest.fixture
def photos() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 8, 9, 9)


def _layer(photos: Tensor, weight: Tensor) -> Tensor:
    layer = nn.Conv2d(8, 8, 3, groups=8, bias=False)
    layer.weight.data = weight
    return layer(photos)


def _by_position(photos: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(photos, weight, None, 1, 0, 1, 8)


def _by_name(photos: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(input=photos, weight=weight, groups=8)


@pytest.mark.parametrize("convolve", [_layer, _by_position, _by_name])
def test_depthwise_convolutions_are_computed_in_full_precision(
    photos: Tensor, convolve: Callable[[Tensor, Tensor], Tensor]
) -> None:
    def convolved(values: Tensor) -> Tensor:
        torch.manual_seed(1)
        return convolve(values, torch.randn(8, 1, 3, 3))

    with mixed_precision(CPU, "bf16"):
        found = convolved(photos)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = convolved(photos)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, convolved(photos).bfloat16())
    assert not torch.equal(found, narrow)


def test_other_layers_are_computed_in_bfloat16(photos: Tensor) -> None:
    layers = nn.Sequential(nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(4 * 81, 3))
    with mixed_precision(CPU, "bf16"):
        found = layers(photos)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found, layers(photos))


def test_full_precision_changes_nothing(photos: Tensor) -> None:
    layer = nn.Conv2d(8, 8, 3, groups=8)
    with mixed_precision(CPU, "fp32"):
        found = layer(photos)
    assert torch.equal(found, layer(photos))


def test_gradients_are_near_those_of_full_precision(photos: Tensor) -> None:
    def gradients(precision: str) -> Tensor:
        torch.manual_seed(1)
        layers = nn.Sequential(
            nn.Conv2d(8, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 8, 1)
        )
        with mixed_precision(CPU, precision):
            outputs = layers(photos)
        outputs.float().square().sum().backward()
        return torch.cat([p.grad.flatten() for p in layers.parameters()])

    full, mixed = gradients("fp32"), gradients("bf16")
    assert mixed.dtype == torch.float32
    assert functional.cosine_similarity(full, mixed, dim=0) > 0.999
    assert not torch.equal(full, mixed)
