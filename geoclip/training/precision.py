"""Mixed precision, so that it is no slower than full precision on processors either."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CONVOLUTION: Callable[..., Any] = torch.conv2d


@contextmanager
def mixed_precision(device: torch.device, precision: str) -> Iterator[None]:
    """Compute in bfloat16 where `precision` is "bf16" and it does not cost accuracy or time."""
    if precision != "bf16":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16):
        if device.type != "cpu":
            yield
            return
        with _DepthwiseInFloat32():
            yield


class _DepthwiseInFloat32(TorchFunctionMode):
    """Convolutions of single channels in float32, their outputs in bfloat16 again.

    Gradients pass them three times as slowly in bfloat16 on a processor: an EfficientNet would
    take twice as long as without mixed precision, and takes little more than half as long so.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func is not CONVOLUTION or _groups(*args, **named) == 1:
            return func(*args, **named)
        with torch.autocast("cpu", enabled=False):
            wide = {name: _float32(value) for name, value in named.items()}
            return func(*map(_float32, args), **wide).bfloat16()


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value


def _groups(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> int:
    return groups
