"""How a tower is run in training: by chunks, in mixed precision, compiled."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from geoclip.encoders import Encoder
from geoclip.encoders.compiling import check_compiler
from geoclip.encoders.precision import BF16, computing_in
from geoclip.training.settings import TrainingSettings
from geoclip.training.workers import pad_rows

CONVOLUTION: Callable[..., Any] = torch.conv2d


class TowerPass:
    """Embeddings of one tower's inputs, and backpropagation from their gradients.

    Inputs of more than `settings.chunk_size` rows pass the tower twice, a chunk at a time: first
    without a graph, then again in the backward pass (gradient caching; Gao et al. 2021, arXiv
    2101.06983). Zeros pad the inputs to `rows`, which is the same on all workers, so that all run
    the tower equally often (sharded weights need this) and no share is empty.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        inputs: Tensor,
        rows: int,
        settings: TrainingSettings,
    ) -> None:
        self.encode = encode
        self.settings = settings
        self.chunks = torch.split(pad_rows(inputs, rows), settings.chunk_size or rows)
        self.random_states: list[list[Tensor]] = []
        if len(self.chunks) > 1:
            with torch.no_grad():
                self.filled = torch.cat([self._first_pass(chunk) for chunk in self.chunks])
        else:
            self.filled = self._encode(self.chunks[0])
        self.features = self.filled[: len(inputs)]

    def _encode(self, chunk: Tensor) -> Tensor:
        again = self.settings.activation_checkpointing
        with mixed_precision(chunk.device, self.settings.precision, again):
            return self.encode(chunk)

    def _first_pass(self, chunk: Tensor) -> Tensor:
        self.random_states.append(_random_states(chunk.device))
        return self._encode(chunk)

    def backward(
        self, gradient: Tensor, last: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        """Carry the gradient (n, d) of the embeddings into the tower's parameters.

        Within `last` the parameters receive their last gradients.
        """
        gradient = pad_rows(gradient.to(self.filled.dtype), len(self.filled))
        if not self.random_states:
            if self.filled.requires_grad:
                with last():
                    torch.autograd.backward(self.filled, gradient)
            return
        after = _random_states(gradient.device)
        pieces = torch.split(gradient, [len(chunk) for chunk in self.chunks])
        for chunk, piece, states in zip(self.chunks, pieces, self.random_states, strict=True):
            # Dropout must fall on the same units as in the first pass.
            _set_random_states(states, chunk.device)
            features = self._encode(chunk)
            if features.requires_grad:
                with last() if chunk is self.chunks[-1] else nullcontext():
                    torch.autograd.backward(features, piece)
        _set_random_states(after, gradient.device)


def _random_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def _set_random_states(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])


def freeze_batch_norm(model: nn.Module) -> None:
    """Let BatchNorm layers use their running statistics.

    In training mode an embedding would depend on the other photos of its chunk or worker, so
    neither gradient caching nor sharing a batch would give the gradient of the whole batch.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


@contextmanager
def on_trial(model: nn.Module) -> Iterator[None]:
    """A context for passes as in a training step; weights, mode and random state stay unchanged."""
    # A gradient is dropped at once: no step uses it.
    drops = [
        p.register_post_accumulate_grad_hook(_drop_gradient)  # type: ignore[no-untyped-call]
        for p in model.parameters()
        if p.requires_grad
    ]
    training = model.training
    model.train()
    freeze_batch_norm(model)
    device = next(model.parameters()).device
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        model.train(training)
        for drop in drops:
            drop.remove()


def _drop_gradient(parameter: Tensor) -> None:
    parameter.grad = None


@contextmanager
def mixed_precision(device: torch.device, precision: str, again: bool = False) -> Iterator[None]:
    """Compute in bfloat16 where `precision` is "bf16" and it costs neither accuracy nor time.

    A repeated computation in the backward pass (`again`) gives equal results, which may cost time.
    """
    with computing_in(precision, device):
        # The backward pass repeats autocast and no other mode.
        if precision != BF16 or device.type != "cpu" or again:
            yield
            return
        with _DepthwiseInFloat32():
            yield


class _DepthwiseInFloat32(TorchFunctionMode):
    """Convolutions of single channels in float32, their outputs in bfloat16 again.

    On a processor their gradients take three times as long in bfloat16: an EfficientNet would
    take twice as long as without mixed precision. This way it takes little more than half as long.
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


def compile_towers(encoder: Encoder) -> None:
    """Compile the towers at their first run, in place; weights keep their names.

    In text towers with a causal mask only the layers around the blocks are compiled: the blocks
    share common prefixes (`encoders.causal_text`), which saves more. Raises GeoclipError where
    PyTorch cannot compile.
    """
    check_compiler(encoder.device)
    for part in encoder.model.children():
        part.compile()
