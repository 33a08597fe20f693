"""How towers run: mixed precision on a processor; compiled, and where PyTorch cannot compile."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tiny_encoders import clip_encoder
from torch import Tensor, nn
from torch.nn import functional

from geoclip.errors import GeoclipError
from geoclip.training.batches import Batches
from geoclip.training.settings import TrainingSettings
from geoclip.training.towers import mixed_precision
from geoclip.training.trainer import Trainer

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-3)
WITHOUT_COMPILER = """
import torch
from geoclip.errors import GeoclipError
from geoclip.training.towers import check_compiler
try:
    check_compiler(torch.device("cpu"))
except GeoclipError as problem:
    print(problem)
"""


@pytest.fixture
def pixels() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 8, 9, 9)


def _layer(pixels: Tensor, weight: Tensor) -> Tensor:
    layer = nn.Conv2d(8, 8, 3, groups=8, bias=False)
    layer.weight.data = weight
    return layer(pixels)


def _by_position(pixels: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(pixels, weight, None, 1, 0, 1, 8)


def _by_name(pixels: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(input=pixels, weight=weight, groups=8)


@pytest.mark.parametrize("convolve", [_layer, _by_position, _by_name])
def test_depthwise_convolutions_are_computed_in_full_precision(
    pixels: Tensor, convolve: Callable[[Tensor, Tensor], Tensor]
) -> None:
    def convolved(values: Tensor) -> Tensor:
        torch.manual_seed(1)
        return convolve(values, torch.randn(8, 1, 3, 3))

    with mixed_precision(CPU, "bf16"):
        found = convolved(pixels)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = convolved(pixels)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, convolved(pixels).bfloat16())
    assert not torch.equal(found, narrow)


def test_other_layers_are_computed_in_bfloat16(pixels: Tensor) -> None:
    layers = nn.Sequential(nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(4 * 81, 3))
    with mixed_precision(CPU, "bf16"):
        found = layers(pixels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found, layers(pixels))


def test_full_precision_changes_nothing(pixels: Tensor) -> None:
    layer = nn.Conv2d(8, 8, 3, groups=8)
    with mixed_precision(CPU, "fp32"):
        found = layer(pixels)
    assert torch.equal(found, layer(pixels))


def test_gradients_are_near_those_of_full_precision(pixels: Tensor) -> None:
    def gradients(precision: str) -> Tensor:
        torch.manual_seed(1)
        layers = nn.Sequential(
            nn.Conv2d(8, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 8, 1)
        )
        with mixed_precision(CPU, precision):
            outputs = layers(pixels)
        outputs.float().square().sum().backward()
        return torch.cat([p.grad.flatten() for p in layers.parameters()])

    full, mixed = gradients("fp32"), gradients("bf16")
    assert mixed.dtype == torch.float32
    assert functional.cosine_similarity(full, mixed, dim=0) > 0.999
    assert not torch.equal(full, mixed)


def trainer_of(photos, book, settings):
    return Trainer(Batches(clip_encoder(vision_layers=1), book, photos, settings))


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_compiled_towers_take_the_same_steps_and_keep_their_names(
    chunk_size, book, photos, tmp_path
):
    settings = replace(SETTINGS, chunk_size=chunk_size)
    plain = trainer_of(photos, book, settings)
    compiled = trainer_of(photos, book, replace(settings, compile=True))
    losses = [[record["loss"] for record in trainer.run()] for trainer in (plain, compiled)]
    assert losses[0] != losses[1], "nothing was compiled: rounding would be the same"
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    compiled.save(tmp_path)
    trainer_of(photos, book, settings).resume(tmp_path)


@pytest.mark.slow
def test_no_compiler_is_one_sentence(tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER],
        env={
            "PYTHONPATH": ":".join(sys.path),
            "CXX": str(tmp_path / "none"),
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.startswith("compile is set, but PyTorch cannot compile for cpu here (")
    assert out.stdout.count("\n") == 1 and "leave compile out" in out.stdout


def test_a_compiler_that_fails_stops_the_run_before_its_first_step(book, photos, monkeypatch):
    def broken(function):
        raise RuntimeError("no g++\nand a long story")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(GeoclipError, match=r"here \(no g\+\+\); install"):
        trainer_of(photos, book, replace(SETTINGS, compile=True))
