"""Compiled towers take the same steps; where PyTorch cannot compile that is one sentence."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from tiny_encoders import clip_encoder

from geoclip.errors import GeoclipError
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer

SETTINGS = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-3)
WITHOUT_COMPILER = """
import torch
from geoclip.errors import GeoclipError
from geoclip.training.compiling import check_compiler
try:
    check_compiler(torch.device("cpu"))
except GeoclipError as problem:
    print(problem)
"""


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_compiled_towers_take_the_same_steps_and_keep_their_names(
    chunk_size, book, photos, tmp_path
):
    settings = replace(SETTINGS, chunk_size=chunk_size)
    plain = Trainer(clip_encoder(), photos, book, settings)
    compiled = Trainer(clip_encoder(), photos, book, replace(settings, compile=True))
    losses = [[record["loss"] for record in trainer.run()] for trainer in (plain, compiled)]
    assert losses[0] != losses[1], "nothing was compiled: rounding would be the same"
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    compiled.save(tmp_path)
    Trainer(clip_encoder(), photos, book, settings).resume(tmp_path)


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
        Trainer(clip_encoder(), photos, book, replace(SETTINGS, compile=True))
