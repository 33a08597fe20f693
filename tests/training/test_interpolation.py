"""Averages of weights."""

import pytest
import torch
from tiny_encoders import timm_encoder

from geoclip.training.interpolation import interpolate_weights


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_every_weight_is_the_average_and_counters_keep_the_tuned_value(alpha):
    tuned, start = timm_encoder().model, timm_encoder().model
    with torch.no_grad():
        for value in tuned.state_dict().values():
            value.add_(3)
    before = {n: v.clone() for n, v in tuned.state_dict().items()}
    interpolate_weights(tuned, start, alpha)
    counters = 0
    for name, value in tuned.state_dict().items():
        if value.is_floating_point():
            expected = alpha * before[name] + (1 - alpha) * start.state_dict()[name]
            torch.testing.assert_close(value, expected)
        else:
            counters += 1
            assert torch.equal(value, before[name])
    assert counters
