"""Features of texts in a batch against those of each alone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def assert_same_features_and_gradients(
    together: Tensor, alone: Tensor, weights: Sequence[nn.Parameter]
) -> None:
    """Features (C, d) in float64, and the gradients of weights by a random direction."""
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    direction = torch.randn(alone.shape, generator=torch.Generator().manual_seed(0)).double()
    expected, found = (
        torch.autograd.grad((x * direction).sum(), weights, allow_unused=True)
        for x in (alone, together)
    )
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, atol=1e-9, rtol=0)
