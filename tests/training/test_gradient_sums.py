"""Sums of gradients go out while others are computed; true sums are shown in test_step."""

import pytest
import torch
from torch import Tensor, distributed, nn

from geoclip.training import gradient_sums
from geoclip.training.gradient_sums import GradientSums
from geoclip.training.settings import TrainingSettings
from geoclip.training.towers import TowerPass
from geoclip.training.workers import Workers

WIDTH, LAYERS = 8, 5


class TwinsSum:
    """Represents a second worker with the same gradients."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def __call__(self, flat: Tensor, async_op: bool) -> "TwinsSum":
        assert async_op
        self.sent.append(flat.numel())
        flat *= 2
        return self

    def wait(self) -> None:
        pass


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    twin = TwinsSum()
    monkeypatch.setattr(distributed, "all_reduce", twin)
    monkeypatch.setattr(gradient_sums, "BUCKET", 4 * WIDTH * WIDTH)
    return twin.sent


def tower() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)])


@pytest.mark.parametrize("chunk_size", [2, 3, 6])
def test_buckets_go_out_within_the_last_pass_alone(sent: list[int], chunk_size: int) -> None:
    model, alone, unused = tower(), tower(), nn.Parameter(torch.ones(3))
    alone(torch.ones(6, WIDTH)).sum().backward()
    sums = GradientSums(Workers(0, 2), [model.parameters(), [unused]])
    within: list[int] = []
    model[0].weight.register_post_accumulate_grad_hook(lambda _: within.append(len(sent)))
    settings = TrainingSettings(chunk_size=chunk_size)
    passed = TowerPass(model, torch.ones(6, WIDTH), 6, settings)
    passed.backward(torch.ones(6, WIDTH), sums.as_they_come)
    # The first layer comes last in the backward pass: the others are already being sent.
    assert within == [0] * (6 // chunk_size - 1) + [LAYERS - 1]
    assert sent == [WIDTH * WIDTH] * LAYERS
    sums.finish()
    assert sent == [*[WIDTH * WIDTH] * LAYERS, 3] and unused.grad.tolist() == [0, 0, 0]
    for own, other in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(own.grad, 2 * other.grad)
    model(torch.ones(1, WIDTH)).sum().backward()
    assert len(sent) == LAYERS + 1


def test_all_workers_send_in_one_order(sent: list[int]) -> None:
    """Also if gradients are final in another order: sent buckets pair up by turn."""
    small, large = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(100))
    sums = GradientSums(Workers(0, 2), [[small], [large]])
    with sums.as_they_come():
        large.sum().backward()
        assert sent == []
        small.sum().backward()
    assert sent == [2, 100]
    sums.finish()
    assert small.grad.tolist() == [2, 2] and large.grad.tolist() == [2] * 100


def test_a_frozen_weight_and_a_worker_alone_send_nothing(sent: list[int]) -> None:
    frozen, own = nn.Parameter(torch.ones(2), requires_grad=False), nn.Parameter(torch.ones(2))
    GradientSums(Workers(0, 2), [[frozen]]).finish()
    sums = GradientSums(Workers(), [[own]])
    with sums.as_they_come():
        own.sum().backward()
    sums.finish()
    assert sent == [] and own.grad.tolist() == [1, 1] and frozen.grad is None
